"""Run a strategy over closed candles and tell what it was worth, after all that was tried before."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backtests.candles.archive import content_sha256
from backtests.candles.series import Candles
from backtests.drawing import drawings
from backtests.engine import Result, Setup, run
from backtests.engine.metrics import returns_of
from backtests.management import market_options, portfolios, reports, result_files
from backtests.research.monte_carlo import MonteCarlo, resample_trades, trade_returns
from backtests.research.permutation import PermutationTest, permutation_test
from backtests.research.promotion import Promotion, Thresholds, deflated_by
from backtests.research.searching import judge_chosen, run_on
from backtests.research.splits import Span, hold_out, purge_bars, traded
from backtests.selectors import Counted
from backtests.services import trials
from backtests.strategies.base import Parameters, Strategy
from backtests.strategies.registry import strategy_named
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput, DgbotError

EXAMPLE = """example:
  manage.py backtest volatility_breakout --symbol KRW-BTC --from 2023-01-01 --to 2024-01-01
  manage.py backtest volume_zone_breakout KRW-BTC_minute60.csv.gz --param zone_bars=20 --param hold_bars=4 --fraction 0.5 --no-limits
  manage.py backtest conservative_ema --exchange bitget --symbol BTC/USDT:USDT --perp --leverage 2 --funding 0.0001 --json
  manage.py backtest volatility_breakout --symbol KRW-ETH --hold-out 0.3 --must-pass --plot drawings --export trades.csv
  manage.py backtest volatility_breakout --symbols KRW-BTC,KRW-ETH --exposure 0.5 --entries-per-day 4

Every run is counted as a trial of the strategy on these candles (the same question twice is one), and the deflated Sharpe ratio is the
probability that the true one is above what the best of so many worthless trials would show.

exit codes: 0 done · 1 refused, with one sentence · 3 --must-pass and the promotion gate said no
"""
NOT_PROMOTED = 3


@dataclass(frozen=True, eq=False)
class Asked:
    """One backtest as it was asked for."""

    candles: Candles
    strategy: Strategy[Any]
    parameters: Parameters
    setup: Setup
    is_assumed: bool
    funding: NDArray[np.float64] | None
    span: Span


@dataclass(frozen=True, eq=False)
class Told:
    """What came out. counted: this run included. deflated: probability, None unknown."""

    result: Result
    counted: Counted
    deflated: float | None
    monte_carlo: MonteCarlo | None
    permutation: PermutationTest | None
    promotion: Promotion | None


class Command(BaseCommand):
    """One strategy, one parameter set, one series or several on one cash. Nothing but the counter of trials is written."""

    help = "Backtest a strategy on archived candles or a file: metrics, recent trades, gates, deflated Sharpe ratio."
    requires_system_checks = []  # they load every page of the admin, which takes longer than the backtest

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the example's line breaks."""
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("strategy", help="A registered strategy, such as volatility_breakout.")
        market_options.add_market_arguments(parser, takes_several=True)
        portfolios.add_account_arguments(parser)
        parser.add_argument("--param", action="append", metavar="K=V", help="A parameter that differs from its default; may be repeated.")
        parser.add_argument(
            "--hold-out", type=float, metavar="SHARE", help="Judge by this newest share of the candles: the promotion gate."
        )
        parser.add_argument("--must-pass", action="store_true", help="Exit with 3 when the gate says no (hold-out 0.3 unless said).")
        parser.add_argument(
            "--monte-carlo", type=int, default=1000, metavar="N", help="Draws of trades, one market (default 1000; 0: none)."
        )
        parser.add_argument(
            "--permutations", type=int, default=0, metavar="N", help="Markets in another order to compare with (default 0)."
        )
        parser.add_argument("--seed", type=int, default=1, help="Of Monte Carlo and permutations (default 1).")
        parser.add_argument("--trades", type=int, default=10, metavar="N", help="How many recent trades to show (default 10).")
        parser.add_argument("--export", type=Path, metavar="FILE", help="Write every trade to FILE, .csv or .json.")
        parser.add_argument("--plot", nargs="?", const="", metavar="DIR", help="Write six SVG drawings to DIR, by default the data folder.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse what is wrong in one sentence before anything is computed or counted."""
        try:
            markets = market_options.markets_in(options)
            if len(markets) > 1:
                portfolios.tell(markets, options, stdout=self.stdout, prepare=self._prepare)
                return
            portfolios.refuse_account_options(options)
            options = markets[0]
            asked = _asked(options)
            told = _backtested(asked, options, prepare=self._prepare)
            written = _written(asked, told, options)
        except DgbotError as error:
            raise CommandError(str(error)) from None
        except OperationalError as error:
            raise CommandError(f"Trials cannot be counted, the database does not answer: {str(error).splitlines()[0]}.") from None
        if options["json"]:
            self.stdout.write(json.dumps(reports.known(_as_json(asked, told, options, written)), ensure_ascii=False))
        else:
            _show(reports.console_on(self.stdout), asked, told, options, written)
        if options["must_pass"] and told.promotion is not None and not told.promotion.allowed:
            raise CommandError("Not promoted: " + " ".join(reason.message for reason in told.promotion.reasons), returncode=NOT_PROMOTED)

    def _prepare(self) -> None:
        call_command("prepare", stdout=self.stderr)  # stdout belongs to the report


def _asked(options: dict[str, Any]) -> Asked:
    strategy = strategy_named(options["strategy"])
    if strategy.needs_decisions:
        raise BadInput(f"Strategy {strategy.name} replays an analyst's stored decisions, which a series of candles does not hold.")
    values = market_options.pairs(options["param"], option="--param")
    parameters = strategy.parameters.of({name: market_options.number_or_truth(text) for name, text in values.items()})
    candles = market_options.candles_from(options, now=datetime.now(tz=UTC))
    setup, is_assumed = market_options.setup_from(options, candles)
    span = traded(candles, setup)
    return Asked(candles, strategy, parameters, setup, is_assumed, market_options.funding_from(options, candles), span)


def _backtested(asked: Asked, options: dict[str, Any], *, prepare: Any) -> Told:
    candles, setup, span = asked.candles, asked.setup, asked.span
    result = run(candles, asked.strategy, asked.parameters, setup, funding=asked.funding)
    share = options["hold_out"] or (0.3 if options["must_pass"] else None)
    purge = purge_bars(asked.strategy, [asked.parameters], holding_bars=_longest_holding(result))
    split = None if share is None else hold_out(span, share=share, purge=purge)
    judge_from = span.last if split is None else split.judge.first

    def count() -> Counted:
        return trials.count_run(
            candles, asked.strategy.name, asked.parameters, setup, span, statistics=result.statistics, judge_from=judge_from
        )

    try:
        counted = count()
    except ProgrammingError:  # a database nothing was ever started on
        prepare()
        counted = count()
    cash = float(setup.cash)
    draws = resample_trades(trade_returns(result, cash=cash), draws=options["monte_carlo"], seed=options["seed"])
    promotion = None
    if split is not None:
        judged = judge_chosen(
            candles, asked.strategy, asked.parameters, setup, split, tally=counted.tally, looks=counted.looks, funding=asked.funding
        )
        promotion = judged.promotion
    return Told(
        result=result,
        counted=counted,
        deflated=deflated_by(returns_of(result.equity, cash=cash), counted.tally),
        monte_carlo=draws,
        permutation=_permuted(asked, options) if options["permutations"] else None,
        promotion=promotion,
    )


def _longest_holding(result: Result) -> int:
    return int(np.max(result.trades.exit_bar - result.trades.entry_bar, initial=0))


def _permuted(asked: Asked, options: dict[str, Any]) -> PermutationTest:
    def sharpe(candles: Candles) -> float | None:
        return run_on(candles, asked.strategy, asked.parameters, asked.setup, asked.span, funding=asked.funding).metrics.sharpe

    columns = (TextColumn("[bold]Permuted markets"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("", total=options["permutations"])
        return permutation_test(
            sharpe,
            asked.candles,
            permutations=options["permutations"],
            seed=options["seed"],
            told=lambda done: progress.update(task, completed=done),
        )


def _written(asked: Asked, told: Told, options: dict[str, Any]) -> list[str]:
    """Export and drawings. Returns the paths."""
    return result_files.write(
        export=options["export"],
        plot=options["plot"],
        name=[asked.strategy.name, asked.candles.symbol, str(asked.candles.interval)],
        rows=lambda: reports.trade_rows(told.result, asked.candles, lot_step=_lot_step(asked)),
        drawn=lambda: drawings(told.result, asked.candles, cash=float(asked.setup.cash)),
    )


def _lot_step(asked: Asked) -> float:
    return float(asked.setup.grids[-1].rules.lot_step)


def _times(asked: Asked) -> tuple[datetime, datetime]:
    opened = asked.candles.open_time
    return from_nanoseconds(int(opened[asked.span.first])), from_nanoseconds(int(opened[asked.span.last - 1]))


def _as_json(asked: Asked, told: Told, options: dict[str, Any], written: list[str]) -> dict[str, Any]:
    candles, (first, last) = asked.candles, _times(asked)
    safe_since = told.result.safe_since
    return {
        "strategy": asked.strategy.name,
        "parameters": asdict(asked.parameters),
        "changed": asked.parameters.changed(),
        "candles": {
            "exchange": candles.exchange,
            "symbol": candles.symbol,
            "interval": str(candles.interval),
            "rows": len(candles),
            "traded_bars": len(asked.span),
            "first_opened_at": first.isoformat(),
            "last_opened_at": last.isoformat(),
            "content_sha256": content_sha256(candles),
        },
        "setup": reports.setup_row(asked.setup, is_assumed=asked.is_assumed),
        "metrics": told.result.metrics.as_row(),
        "final_equity": float(told.result.equity[-1]),
        "safe_mode_since": None if safe_since is None else from_nanoseconds(int(candles.open_time[safe_since])).isoformat(),
        "hit_rates": told.result.hit_rates,
        "trials": {
            "count": told.counted.tally.count,
            "sharpe_variance": told.counted.tally.sharpe_variance,
            "deflated_sharpe": told.deflated,
        },
        "monte_carlo": None if told.monte_carlo is None else told.monte_carlo.as_row(),
        "permutation": None
        if told.permutation is None
        else {"permutations": len(told.permutation.permuted), "p_value": told.permutation.p_value, "sharpe": told.permutation.real},
        "promotion": None if told.promotion is None else reports.promotion_row(told.promotion),
        "trades": reports.trade_rows(told.result, candles, lot_step=_lot_step(asked), newest=options["trades"]),
        "files": written,
    }


def _show(console: Console, asked: Asked, told: Told, options: dict[str, Any], written: list[str]) -> None:
    candles, result, (first, last) = asked.candles, told.result, _times(asked)
    currency = asked.setup.grids[-1].rules.quote
    console.print(
        f"[bold]{asked.strategy.title}[/bold] on {candles.symbol} {candles.interval}, {len(asked.span):,} candles, "
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC",
        highlight=False,
    )
    changed = ", ".join(f"{name}={value:g}" for name, value in asked.parameters.changed().items())
    console.print(f"Parameters: {changed or 'as designed'}. Final equity {result.equity[-1]:,.2f} {currency}.", highlight=False)
    if asked.is_assumed:
        console.print("The market's price and lot steps are not known and were assumed; say --tick and --lot.", style="yellow")
    console.print(reports.metrics_table([""], [result.metrics], currency=currency))
    console.print()
    console.print(reports.filter_table(result.metrics, thresholds=Thresholds()))
    console.print()
    if result.hit_rates:
        console.print(reports.hit_table(result.hit_rates))
        console.print()
    if len(result.trades) and options["trades"] > 0:
        rows = reports.trade_rows(result, candles, lot_step=_lot_step(asked), newest=options["trades"])
        console.print(reports.trades_table(rows, total=len(result.trades)))
        console.print()
    _show_research(console, told)
    if result.safe_since is not None:
        since = from_nanoseconds(int(candles.open_time[result.safe_since]))
        console.print(f"A breaker put the run into safe mode at {since:%Y-%m-%d %H:%M} UTC, to its end.", style="yellow")
    if told.promotion is not None:
        reports.tell_promotion(console, told.promotion)
    for path in written:
        console.print(f"Written: {path}", highlight=False, soft_wrap=True)


def _show_research(console: Console, told: Told) -> None:
    deflated = "unknown" if told.deflated is None else f"{told.deflated:.1%}"
    count = reports.counted_in_words(told.counted.tally.count, "trial")
    console.print(f"Deflated Sharpe: {deflated} after {count} on these candles, this one included.", highlight=False)
    if told.monte_carlo is not None:
        drawn = told.monte_carlo
        console.print(
            f"Monte Carlo of {drawn.trades} trades, 90 %: return {drawn.total_return.low:.1%} … {drawn.total_return.high:.1%}, "
            f"drawdown {drawn.max_drawdown.low:.1%} … {drawn.max_drawdown.high:.1%}, loss in {drawn.loss_probability:.0%} of the draws.",
            highlight=False,
        )
    if told.permutation is not None:
        value = "unknown" if told.permutation.p_value is None else f"{told.permutation.p_value:.3f}"
        console.print(f"Permutation test: p = {value} that the order of the bars does not matter to it.", highlight=False)
