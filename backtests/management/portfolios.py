"""`manage.py backtest` for several markets on one cash: from its options to its report."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.db import ProgrammingError

from backtests.candles.archive import content_sha256
from backtests.drawing import portfolio_drawings
from backtests.engine import Account, Member, PortfolioResult, run_portfolio
from backtests.engine.metrics import returns_of
from backtests.management import market_options, reports, result_files
from backtests.research.promotion import Thresholds, deflated_by
from backtests.research.trials import plain
from backtests.selectors import Counted
from backtests.services import trials
from backtests.strategies.registry import strategy_named
from dgbot.core.clock import from_nanoseconds
from dgbot.core.errors import BadInput

OF_ONE_MARKET = {"hold_out": "--hold-out", "must_pass": "--must-pass", "permutations": "--permutations"}
OF_SEVERAL_MARKETS = {"entries_per_day": "--entries-per-day", "largest": "--largest", "exposure": "--exposure"}


def add_account_arguments(parser: ArgumentParser) -> None:
    """What several markets share besides cash."""
    account = parser.add_argument_group("several markets on one cash")
    account.add_argument("--entries-per-day", type=int, metavar="N", help="Entries a day in all (default: each market's own limit alone).")
    account.add_argument("--largest", metavar="Q", help="What one entry may cost at most, quote currency.")
    account.add_argument("--exposure", metavar="F", help="Share of the account's equity that may be at stake at once, such as 0.5.")


def refuse_account_options(options: dict[str, Any]) -> None:
    """Raises BadInput when one market was told a limit of several."""
    for name, option in OF_SEVERAL_MARKETS.items():
        if options[name] is not None:
            raise BadInput(f"{option} limits an account that several markets share; leave it out, or name more markets with --symbols.")


@dataclass(frozen=True, eq=False)
class Told:
    """What was asked and what came out. counted: on the market that was tried most, this run included. deflated: None unknown."""

    members: list[Member]
    assumed: list[bool]
    account: Account
    result: PortfolioResult
    counted: Counted
    deflated: float | None

    @property
    def currency(self) -> str:
        """What everything is counted in."""
        return self.members[0].setup.grids[-1].rules.quote


def tell(markets: list[dict[str, Any]], options: dict[str, Any], *, stdout: Any, prepare: Callable[[], None]) -> None:
    """Run the markets together, count it, and print the report. Raises BadInput for what cannot be asked of several markets."""
    for name, option in OF_ONE_MARKET.items():
        if options[name]:
            raise BadInput(f"{option} judges one market; leave it out, or backtest the {len(markets)} markets one by one.")
    told = _run(markets, options, prepare=prepare)
    rows = _trade_rows(told)
    written = result_files.write(
        export=options["export"],
        plot=options["plot"],
        name=[told.members[0].strategy.name, f"{len(markets)}_markets", str(told.members[0].candles.interval)],
        rows=lambda: rows,
        drawn=lambda: portfolio_drawings(told.result, [one.candles for one in told.members], cash=float(told.account.cash)),
    )
    newest = rows[max(len(rows) - options["trades"], 0) :]
    if options["json"]:
        stdout.write(json.dumps(reports.known(_as_json(told, newest, written)), ensure_ascii=False))
    else:
        _show(told, newest, total=len(rows), written=written, stdout=stdout)


def _run(markets: list[dict[str, Any]], options: dict[str, Any], *, prepare: Callable[[], None]) -> Told:
    strategy = strategy_named(options["strategy"])
    if strategy.needs_decisions:
        raise BadInput(f"Strategy {strategy.name} replays an analyst's stored decisions, which a series of candles does not hold.")
    values = market_options.pairs(options["param"], option="--param")
    parameters = strategy.parameters.of({name: market_options.number_or_truth(text) for name, text in values.items()})
    members, assumed = [], []
    for market in markets:
        candles = market_options.candles_from(market, now=datetime.now(tz=UTC))
        setup, is_assumed = market_options.setup_from(market, candles)
        members.append(Member(candles, strategy, parameters, setup, funding=market_options.funding_from(market, candles)))
        assumed.append(is_assumed)
    account = _account(options, members)
    result = run_portfolio(members, account)
    try:
        counted = trials.count_portfolio(members, account, statistics=result.statistics)
    except ProgrammingError:  # a database nothing was ever started on
        prepare()
        counted = trials.count_portfolio(members, account, statistics=result.statistics)
    deflated = deflated_by(returns_of(result.equity, cash=float(account.cash)), counted.tally)
    return Told(members, assumed, account, result, counted, deflated)


def _account(options: dict[str, Any], members: list[Member]) -> Account:
    account, given = Account.of(members[0].setup), market_options.Numbers(options)
    most = options["entries_per_day"]
    if most is not None and most < 1:
        raise BadInput(f"--entries-per-day must be at least 1, was {most}.")
    return replace(
        account,
        entries_per_day=account.entries_per_day if most is None else most,
        largest_amount=given.number("largest", account.largest_amount),
        exposure_fraction=given.number("exposure", account.exposure_fraction),
    )


def _trade_rows(told: Told) -> list[dict[str, Any]]:
    """The closed trades of all markets, by their exit."""
    rows = [
        {"symbol": part.symbol, **row}
        for member, part in zip(told.members, told.result.parts, strict=True)
        for row in reports.trade_rows(part, member.candles, lot_step=float(member.setup.grids[-1].rules.lot_step))
    ]
    return sorted(rows, key=lambda row: row["exit_at"])


def _as_json(told: Told, newest: list[dict[str, Any]], written: list[str]) -> dict[str, Any]:
    result, cash, first = told.result, float(told.account.cash), told.members[0]
    since = result.safe_since
    return {
        "strategy": first.strategy.name,
        "parameters": asdict(first.parameters),
        "changed": first.parameters.changed(),
        "account": plain(told.account),
        "first_opened_at": from_nanoseconds(int(result.times[0])).isoformat(),
        "last_opened_at": from_nanoseconds(int(result.times[-1])).isoformat(),
        "metrics": result.metrics.as_row(),
        "final_equity": float(result.equity[-1]),
        "safe_mode_since": None if since is None else from_nanoseconds(int(result.times[since])).isoformat(),
        "markets": [
            {
                "exchange": member.candles.exchange,
                "symbol": part.symbol,
                "interval": str(member.candles.interval),
                "rows": len(member.candles),
                "content_sha256": content_sha256(member.candles),
                "setup": reports.setup_row(member.setup, is_assumed=is_assumed),
                "profit": part.profit,
                "profit_of_cash": part.profit / cash,
                "trades": len(part.trades),
                "win_rate": part.win_rate,
                "hit_rates": part.hit_rates,
            }
            for member, part, is_assumed in zip(told.members, result.parts, told.assumed, strict=True)
        ],
        "trials": {
            "count": told.counted.tally.count,
            "sharpe_variance": told.counted.tally.sharpe_variance,
            "deflated_sharpe": told.deflated,
        },
        "trades": newest,
        "files": written,
    }


def _show(told: Told, newest: list[dict[str, Any]], *, total: int, written: list[str], stdout: Any) -> None:
    console, result, first = reports.console_on(stdout), told.result, told.members[0]
    begins, ends = (from_nanoseconds(int(result.times[at])) for at in (0, -1))
    console.print(
        f"[bold]{first.strategy.title}[/bold] on {', '.join(part.symbol for part in result.parts)} {first.candles.interval}, one cash of "
        f"{told.account.cash:,} {told.currency}, {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC",
        highlight=False,
    )
    changed = ", ".join(f"{name}={value:g}" for name, value in first.parameters.changed().items())
    console.print(f"Parameters: {changed or 'as designed'}. Final equity {result.equity[-1]:,.2f} {told.currency}.", highlight=False)
    if any(told.assumed):
        unknown = ", ".join(part.symbol for part, is_assumed in zip(result.parts, told.assumed, strict=True) if is_assumed)
        console.print(f"The price and lot steps of {unknown} are not known and were assumed; say --tick and --lot.", style="yellow")
    console.print(reports.metrics_table([""], [result.metrics], currency=told.currency))
    console.print()
    console.print(reports.parts_table(result, cash=float(told.account.cash), currency=told.currency))
    console.print()
    console.print(reports.filter_table(result.metrics, thresholds=Thresholds()))
    console.print()
    if newest:
        console.print(reports.trades_table(newest, total=total))
        console.print()
    deflated = "unknown" if told.deflated is None else f"{told.deflated:.1%}"
    count = reports.counted_in_words(told.counted.tally.count, "trial")
    console.print(f"Deflated Sharpe: {deflated} after {count} on the market tried most, this run included.", highlight=False)
    if result.safe_since is not None:
        since = from_nanoseconds(int(result.times[result.safe_since]))
        console.print(f"A breaker ended all entries at {since:%Y-%m-%d %H:%M} UTC.", style="yellow")
    for path in written:
        console.print(f"Written: {path}", highlight=False, soft_wrap=True)
