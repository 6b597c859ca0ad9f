"""Search a strategy's parameters, and say how much of what was found is luck."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from backtests.engine.metrics import Metrics
from backtests.management import market_options, reports
from backtests.models import Search, SearchStatus
from backtests.research.promotion import Promotion
from backtests.research.sampling import Range, space_of
from backtests.research.searching import OBJECTIVES
from backtests.services import searches
from backtests.services.searches import AUTO, OPTUNA, SOBOL, Wanted, Work
from backtests.strategies.base import Strategy
from backtests.strategies.registry import strategy_named
from dgbot.core.errors import BadInput, DgbotError
from risk.domain.reasons import Reason

EXAMPLE = """example:
  manage.py optimize volatility_breakout --symbol KRW-BTC --sets 4096
  manage.py optimize volume_zone_breakout --symbol KRW-BTC --bound zone_bars=5..60 --bound hold_bars=1..24 --fix include_wicks=true
  manage.py optimize conservative_ema BTCUSDT_1h.csv.gz --symbol BTC/USDT:USDT --perp --objective calmar --folds 6 --json
  manage.py optimize --resume 7                 go on with search 7; without a number: the newest that has not ended

The newest candles (--hold-out, default 0.3) are not read before the very end, when the one chosen set is judged by them. Every set
counts as a trial of the strategy on these candles, in this search and in all before it.

exit codes: 0 done · 1 refused, with one sentence · 3 --must-pass and the promotion gate said no · 130 interrupted, --resume goes on
"""
NOT_PROMOTED, INTERRUPTED = 3, 130
KEPT_OPTIONS = (
    *("file", "exchange", "symbol", "interval", "timezone", "start", "end", "is_perpetual", "cash", "fee", "slippage", "leverage"),
    *("funding", "amount", "fraction", "stop", "target", "no_limits", "tick", "lot"),
)


class Command(BaseCommand):
    """Each batch of sets is stored with its trials before the next begins."""

    help = "Search a strategy's parameters with quasi-random sets, walk forward, a hold-out and a count of every trial."
    requires_system_checks = []  # they load every page of the admin

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the example's line breaks."""
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("strategy", nargs="?", help="A registered strategy, such as volatility_breakout.")
        market_options.add_market_arguments(parser)
        parser.add_argument("--bound", action="append", metavar="K=LOW..HIGH", help="Search a parameter in less than its own bounds.")
        parser.add_argument("--fix", action="append", metavar="K=V", help="Do not search a parameter but give it this value.")
        parser.add_argument("--sets", type=int, default=2048, metavar="N", help="How many parameter sets (default 2048).")
        parser.add_argument("--objective", choices=OBJECTIVES, default="sharpe", help="What is to be large (default sharpe).")
        parser.add_argument("--hold-out", type=float, default=0.3, metavar="SHARE", help="The newest share of the candles, to judge by.")
        parser.add_argument("--folds", type=int, default=4, metavar="N", help="Blocks of the walk forward (default 4; 0: none).")
        parser.add_argument("--permutations", type=int, default=0, metavar="N", help="Repeat the search on so many permuted markets.")
        parser.add_argument(
            "--sampler", choices=(AUTO, SOBOL, OPTUNA), default=AUTO, help="auto: optuna where one run costs more than its proposal."
        )
        parser.add_argument("--seed", type=int, default=1, help="Of the sets, the proposals and the permutations (default 1).")
        parser.add_argument("--resume", nargs="?", const=0, type=int, metavar="ID", help="Go on with a search that was interrupted.")
        parser.add_argument("--show", type=int, default=10, metavar="N", help="How many of the best sets to list (default 10).")
        parser.add_argument("--must-pass", action="store_true", help="Exit with 3 when the promotion gate says no.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Search, or go on with a search; what was finished is only told again."""
        number = 0
        try:
            row = None if options["resume"] is None else _unfinished(options["resume"])
            if row is not None and row.status == SearchStatus.DONE:
                result, number = row.result, row.pk
            else:
                work = self._begun(options) if row is None else _continued(row)
                number = work.row.pk
                result = _searched(work, shown=options["show"])
        except DgbotError as error:
            raise CommandError(str(error)) from None
        except OperationalError as error:
            raise CommandError(f"Trials cannot be counted, the database does not answer: {str(error).splitlines()[0]}.") from None
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted; go on with `manage.py optimize --resume {number}`.", returncode=INTERRUPTED) from None
        self._tell(Search.objects.select_related("data_set").get(pk=number), result, options)

    def _begun(self, options: dict[str, Any]) -> Work:
        if not options["strategy"]:
            raise BadInput("Say which strategy to search, or --resume to go on with a search.")
        strategy = strategy_named(options["strategy"])
        if strategy.needs_decisions:
            raise BadInput(f"Strategy {strategy.name} replays an analyst's stored decisions; there is nothing to search.")
        space = space_of(strategy, _narrowed(strategy, options))
        try:
            Search.objects.exists()
        except ProgrammingError:  # a database nothing was ever started on
            call_command("prepare", stdout=self.stderr)
        candles = market_options.candles_from(options, now=datetime.now(tz=UTC))
        setup, _is_assumed = market_options.setup_from(options, candles)
        wanted = Wanted(
            sets=options["sets"],
            seed=options["seed"],
            objective=options["objective"],
            hold_out=options["hold_out"],
            folds=options["folds"],
            sampler=options["sampler"],
            permutations=options["permutations"],
            told={
                name: str(value.resolve()) if isinstance(value, Path) else value for name, value in options.items() if name in KEPT_OPTIONS
            },
        )
        return searches.start(candles, strategy, setup, space, wanted, funding=market_options.funding_from(options, candles))

    def _tell(self, row: Search, result: dict[str, Any], options: dict[str, Any]) -> None:
        if options["json"]:
            told = {"search": row.pk, "strategy": row.strategy, "spec": row.spec, "data_sha256": row.data_set.content_sha256} | result
            self.stdout.write(json.dumps(reports.known(told), ensure_ascii=False))
        else:
            _show(reports.console_on(self.stdout), row, result)
        promotion = result.get("promotion")
        if options["must_pass"] and not (promotion and promotion["allowed"]):
            reasons = " ".join(reason["message"] for reason in promotion["reasons"]) if promotion else "no set had a score."
            raise CommandError(f"Not promoted: {reasons}", returncode=NOT_PROMOTED)


def _unfinished(number: int) -> Search:
    wanted = {"pk": number} if number else {"status": SearchStatus.RUNNING, "sweep__isnull": True}
    found = Search.objects.select_related("data_set").filter(**wanted).first()
    if found is not None and found.status == SearchStatus.RUNNING and "sweep" in found.spec["told"]:
        raise BadInput(f"Search {found.pk} belongs to sweep {found.spec['told']['sweep']}, which goes on by itself.")
    if found is None:
        raise BadInput(f"There is no search {number}." if number else "There is no search that has not ended.")
    return found


def _continued(row: Search) -> Work:
    strategy, options = strategy_named(row.strategy), dict(row.spec["told"])
    options["file"] = Path(options["file"]) if options["file"] else None
    candles = searches.same_candles(row, market_options.candles_from(options, now=datetime.now(tz=UTC)))
    setup, _is_assumed = market_options.setup_from(options, candles)
    space = space_of(strategy, {name: (low, high) for name, (low, high) in row.spec["ranges"].items()})
    funding = market_options.funding_from(options, candles)
    split, folds = searches.cut(candles, strategy, setup, space, share=row.spec["hold_out"], folds=row.spec["folds"], funding=funding)
    return Work(row, candles, strategy, setup, space, split, folds, funding)


def _narrowed(strategy: Strategy[Any], options: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    found = {}
    for name, text in market_options.pairs(options["bound"], option="--bound").items():
        low, separator, high = text.partition("..")
        if not separator:
            raise BadInput(f"--bound takes name=low..high, such as --bound zone_bars=5..60; was {name}={text}.")
        found[name] = _number(name, low), _number(name, high)
    for name, text in market_options.pairs(options["fix"], option="--fix").items():
        value = market_options.number_or_truth(text)
        strategy.parameters.of({name: value})
        found[name] = (float(value), float(value))  # type: ignore[arg-type]  # a strategy's parameters are numbers
    return found


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"--bound {name} must be two numbers, was {text!r}.") from None


def _searched(work: Work, *, shown: int) -> dict[str, Any]:
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("sets", total=work.row.sets)
        proposer, done = searches.proposer_of(work), searches.sets_done(work.row)
        while done < work.row.sets:
            progress.update(task, completed=done)
            done = searches.step(work, proposer)
        tasks: dict[str, Any] = {}

        def told(what: str, count: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=count)

        progress.update(task, completed=done)
        return searches.finish(work, shown=shown, told=told)


def _show(console: Console, row: Search, result: dict[str, Any]) -> None:
    split = result["split"]
    purged = split["judge"]["first"] - split["search"]["last"]
    console.print(
        f"[bold]Search {row.pk}[/bold]: {row.strategy} on {row.data_set}, {result['sets']:,} sets by {row.spec['objective']} "
        f"({result['sampler']}); searched {split['search']['last'] - split['search']['first']:,} bars, purged {purged:,}, "
        f"held out {split['judge']['last'] - split['judge']['first']:,}.",
        highlight=False,
    )
    console.print(_best_table(row, result["best"]))
    if result["walk_forward"]:
        _show_walk(console, result["walk_forward"])
    if result["chosen"] is None:
        console.print("\nNo set closed enough trades to be chosen; search wider, or on more candles.", style="yellow")
        return
    currency = row.data_set.symbol.partition("-")[0] if "-" in row.data_set.symbol else "USDT"
    both = [Metrics(**result["searched"]), Metrics(**result["held_out"])]
    console.print()
    console.print(reports.metrics_table(["searched", "hold-out"], both, currency=currency))
    stability = result["stability"]
    console.print(
        f"\nStability: {_percent(stability['profitable'])} of {stability['neighbours']} neighbours earn, "
        f"they keep {_percent(stability['kept'])} of the score.",
        highlight=False,
    )
    if result["permutation"]:
        told = result["permutation"]
        value = "unknown" if told["p_value"] is None else f"{told['p_value']:.3f}"
        console.print(f"Permutation test of the search ({told['sets']} sets): p = {value}.", highlight=False)
    reasons = tuple(Reason(**reason) for reason in result["promotion"]["reasons"])
    counted = {name: result["promotion"][name] for name in ("deflated_sharpe", "trials", "looks")}
    reports.tell_promotion(console, Promotion(reasons=reasons, **counted))


def _best_table(row: Search, best: list[dict[str, Any]]) -> Table:
    ranges = {name: Range(low, high, float) for name, (low, high) in row.spec["ranges"].items()}
    order = strategy_named(row.strategy).parameters.bounds()  # stored JSON keeps none
    searched = [name for name in order if ranges[name].low != ranges[name].high]
    table = Table(title="Best where it was searched", title_justify="left", box=None, pad_edge=False)
    for heading in (row.spec["objective"], "deflated", "return", "drawdown", "trades"):
        table.add_column(heading, justify="right")
    table.add_column("parameters")
    for one in best:
        metrics = one["metrics"]
        table.add_row(
            "unknown" if one["score"] is None else f"{one['score']:.3g}",
            _percent(one["deflated_sharpe"]),
            _percent(metrics["total_return"]),
            _percent(metrics["max_drawdown"]),
            f"{metrics['trades']:,}",
            " ".join(f"{name}={one['parameters'][name]:.4g}" for name in searched),
        )
    return table


def _show_walk(console: Console, walked: dict[str, Any]) -> None:
    sharpe = "unknown" if walked["sharpe"] is None else f"{walked['sharpe']:.2f}"
    kept = "unknown" if walked["efficiency"] is None else f"{walked['efficiency']:.2f}"
    console.print(
        f"\nWalk forward over {walked['folds']} blocks, {walked['bars']:,} bars: return {walked['total_return']:.2%}, Sharpe {sharpe}, "
        f"drawdown {walked['max_drawdown']:.2%}, {walked['trades']:,} trades, efficiency {kept}.",
        highlight=False,
    )


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"
