"""From a spec to numbers: candles loaded, the engine run, its trial counted, everything told as JSON. The one path of every face."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.archive import content_sha256
from backtests.candles.series import Candles
from backtests.engine import Account, Member, Part, PortfolioResult, Result, Setup, run, run_portfolio
from backtests.engine.metrics import returns_of
from backtests.models import CandleSeries
from backtests.research.monte_carlo import resample_trades, trade_returns
from backtests.research.promotion import deflated_by
from backtests.research.searching import judge_chosen
from backtests.research.splits import Span, hold_out, purge_bars, traded
from backtests.research.trials import plain
from backtests.selectors import Counted, candles_of
from backtests.services import trials
from backtests.specs import MOST_BARS, MarketSpec, RunSpec
from backtests.storage.tables import Tables, Traded, tables_of
from backtests.strategies.base import Parameters, Strategy
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput

Worked = Callable[[Callable[[], Any]], Any]


@dataclass(frozen=True, eq=False)
class LoadedMarket:
    """One market with its candles. span: the bars it trades."""

    spec: MarketSpec
    candles: Candles
    span: Span
    funding: NDArray[np.float64] | None

    @property
    def setup(self) -> Setup:
        """Money, costs, limits, grids."""
        return self.spec.setup

    @property
    def lot_step(self) -> float:
        """Base currency."""
        return float(self.setup.grids[-1].rules.lot_step)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A spec with everything it is computed from."""

    spec: RunSpec
    strategy: Strategy[Any]
    parameters: Parameters
    markets: list[LoadedMarket]

    @property
    def account(self) -> Account:
        """What the markets share."""
        return self.spec.account or Account.of(self.markets[0].setup)

    @property
    def members(self) -> list[Member]:
        """As the portfolio takes them."""
        return [Member(one.candles, self.strategy, self.parameters, one.setup, funding=one.funding) for one in self.markets]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the engine said."""

    result: Result | PortfolioResult

    def tables(self, loaded: Loaded) -> Tables:
        """As it is stored."""
        parts: Sequence[Result | Part] = self.result.parts if isinstance(self.result, PortfolioResult) else [self.result]
        markets = [Traded(one.candles, part, lot_step=one.lot_step) for one, part in zip(loaded.markets, parts, strict=True)]
        return tables_of(self.result, markets)


def load(spec: RunSpec) -> Loaded:
    """Candles of every market, memory-mapped. Raises BadInput for a market the archive does not hold and for too many bars."""
    strategy, parameters = spec.chosen()
    markets = []
    for market in spec.markets:
        candles = candles_of(exchange=spec.exchange, symbol=market.symbol, interval=spec.interval)
        markets.append(LoadedMarket(market, candles, traded(candles, market.setup), market.funding(candles)))
    bars = sum(len(market.span) for market in markets)
    if bars > MOST_BARS:
        raise BadInput(f"{bars:,} bars are asked for; at most {MOST_BARS:,} are computed in one backtest, so choose a shorter period.")
    return Loaded(spec, strategy, parameters, markets)


def run_loaded(loaded: Loaded) -> Outcome:
    """Ask the engine. Raises BadInput as it does."""
    if loaded.spec.account is not None or len(loaded.markets) > 1:
        return Outcome(run_portfolio(loaded.members, loaded.account))
    [market] = loaded.markets
    return Outcome(run(market.candles, loaded.strategy, loaded.parameters, market.setup, funding=market.funding))


def told(loaded: Loaded, outcome: Outcome, permuted: NDArray[np.float64], *, worked: Worked) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics and summary as JSON; counts the run as a trial. worked: calls what computes for long, so that it can be stopped."""
    result, spec = outcome.result, loaded.spec
    research = _of_portfolio(loaded, result) if isinstance(result, PortfolioResult) else _of_one(loaded, result, permuted, worked=worked)
    opened = outcome.tables(loaded).equity.time
    since = result.safe_since
    summary = {
        "cash": str(spec.cash),
        "currency": loaded.markets[0].setup.grids[-1].rules.quote,
        "parameters": asdict(loaded.parameters),
        "changed": loaded.parameters.changed(),
        "bars": len(opened),
        "first_opened_at": _time(opened[0]),
        "last_opened_at": _time(opened[-1]),
        "final_equity": float(result.equity[-1]),
        "safe_mode_since": None if since is None else _time(_safe_time(loaded, result, since)),
        "markets": _markets(loaded, result),
        **research,
    }
    return result.metrics.as_row(), summary


def _of_one(loaded: Loaded, result: Result, permuted: NDArray[np.float64], *, worked: Worked) -> dict[str, Any]:
    spec, [market], cash = loaded.spec, loaded.markets, float(loaded.spec.cash)
    split = None
    if spec.hold_out is not None:
        longest = int(np.max(result.trades.exit_bar - result.trades.entry_bar, initial=0))
        split = hold_out(market.span, share=spec.hold_out, purge=purge_bars(loaded.strategy, [loaded.parameters], holding_bars=longest))
    counted = trials.count_run(
        market.candles,
        spec.strategy,
        loaded.parameters,
        market.setup,
        market.span,
        statistics=result.statistics,
        judge_from=market.span.last if split is None else split.judge.first,
    )
    draws = worked(lambda: resample_trades(trade_returns(result, cash=cash), draws=spec.monte_carlo, seed=spec.seed))
    judged = None
    if split is not None:
        judged = worked(
            lambda: judge_chosen(
                market.candles,
                loaded.strategy,
                loaded.parameters,
                market.setup,
                split,
                tally=counted.tally,
                looks=counted.looks,
                funding=market.funding,
            )
        )
    return {
        "trials": _counted_row(counted, deflated_by(returns_of(result.equity, cash=cash), counted.tally)),
        "monte_carlo": None if draws is None else draws.as_row(),
        "permutation": _permutation_row(result, permuted),
        "promotion": None if judged is None else asdict(judged.promotion) | {"allowed": judged.promotion.allowed},
    }


def _of_portfolio(loaded: Loaded, result: PortfolioResult) -> dict[str, Any]:
    counted = trials.count_portfolio(loaded.members, loaded.account, statistics=result.statistics)
    deflated = deflated_by(returns_of(result.equity, cash=float(loaded.account.cash)), counted.tally)
    return {"trials": _counted_row(counted, deflated), "monte_carlo": None, "permutation": None, "promotion": None}


def _permutation_row(result: Result, permuted: NDArray[np.float64]) -> dict[str, Any] | None:
    """As `permutation_test` judges: its own market counts, so the p-value is never zero."""
    if not len(permuted):
        return None
    real = result.metrics.sharpe
    p_value = None if real is None else (1 + int(np.sum(permuted >= real))) / (1 + len(permuted))
    return {"permutations": len(permuted), "p_value": p_value, "sharpe": real}


def _counted_row(counted: Counted, deflated: float | None) -> dict[str, Any]:
    return {
        "count": counted.tally.count,
        "sharpe_variance": counted.tally.sharpe_variance,
        "looks": counted.looks,
        "deflated_sharpe": deflated,
    }


def _markets(loaded: Loaded, result: Result | PortfolioResult) -> list[dict[str, Any]]:
    quality = {row.symbol: row for row in CandleSeries.objects.filter(exchange=loaded.spec.exchange, interval=loaded.spec.interval)}
    parts: list[Any] = list(result.parts) if isinstance(result, PortfolioResult) else [result]
    return [_market(loaded, one, part, quality.get(one.candles.symbol)) for one, part in zip(loaded.markets, parts, strict=True)]


def _market(loaded: Loaded, one: LoadedMarket, part: Any, series: CandleSeries | None) -> dict[str, Any]:
    setup: dict[str, Any] = plain(one.setup)
    del setup["grids"]
    opened = one.candles.open_time
    profit = part.profit if hasattr(part, "profit") else float(part.equity[-1]) - float(loaded.spec.cash)
    return {
        "exchange": one.candles.exchange,
        "symbol": one.candles.symbol,
        "interval": str(one.candles.interval),
        "rows": len(one.candles),
        "traded_bars": len(one.span),
        "first_opened_at": _time(opened[one.span.first]),
        "last_opened_at": _time(opened[one.span.last - 1]),
        "content_sha256": content_sha256(one.candles),
        "quality": None if series is None else series.quality or None,
        "missing": None if series is None else series.missing_count,
        "confirmed_missing": None if series is None else series.confirmed_count,
        "setup": setup | {"start": _iso(one.setup.start), "end": _iso(one.setup.end)},
        "grid_is_assumed": one.spec.grid_is_assumed,
        "funding_rate": None if one.spec.funding_rate is None else str(one.spec.funding_rate),
        "profit": profit,
        "trades": len(part.trades),
        "hit_rates": part.hit_rates,
    }


def _safe_time(loaded: Loaded, result: Result | PortfolioResult, at: int) -> Any:
    return result.times[at] if isinstance(result, PortfolioResult) else loaded.markets[0].candles.open_time[at]


def _iso(instant: Any) -> str | None:
    return None if instant is None else instant.isoformat()


def _time(nanoseconds: Any) -> str:
    return from_nanoseconds(int(nanoseconds)).isoformat()
