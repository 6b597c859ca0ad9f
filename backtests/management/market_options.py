"""What `backtest` and `optimize` are told alike: which candles, which money, costs and limits. Options to values, nothing else."""

import json
import re
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.candles.importing import ImportOptions, read_file
from backtests.candles.series import Candles
from backtests.candles.timestamps import ZONES
from backtests.engine import Grid, Setup
from backtests.selectors import candles_of
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval
from dgbot.core.money import parse_decimal
from risk.domain.sizing import SizingMode, SizingPlan
from trading.services import market_grids

UPBIT_NAME = re.compile(r"(KRW-[A-Z0-9]+)(?:_|\.|$)")
SPOT_FEE, PERPETUAL_FEE = Decimal("0.0005"), Decimal("0.0006")  # Upbit KRW; Bitget futures, taker
SPOT_CASH, PERPETUAL_CASH = Decimal(1_000_000), Decimal(1_000)
FUNDING_EVERY_NS = 8 * 3600 * 10**9
NO_LIMIT = Decimal("0.999999")  # a breaker that never trips


def add_market_arguments(parser: ArgumentParser, *, takes_several: bool = False) -> None:
    """The arguments both commands share. takes_several: any number of files, for `markets_in`."""
    told = "Candles from a file; without it they come from the archive."
    if takes_several:
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help=f"{told} Several share one cash.")
        parser.add_argument("--symbols", metavar="A,B", help="Several markets of the archive on one cash, in the order of their claims.")
    else:
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help=told)
    parser.add_argument("--exchange", default="upbit", help="Whose candles (default upbit).")
    parser.add_argument("--symbol", help="The market's code, such as KRW-BTC; a file called KRW-BTC_… need not be told.")
    parser.add_argument("--interval", choices=[str(interval) for interval in Interval], help="Default 1h; a file's own step.")
    parser.add_argument("--timezone", choices=list(ZONES), help="Zone of a file's time stamps that say none.")
    parser.add_argument("--from", dest="start", metavar="DATE", help="First candle to trade, ISO 8601, UTC unless it says otherwise.")
    parser.add_argument("--to", dest="end", metavar="DATE", help="Where to end, itself left out.")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--spot", dest="is_perpetual", action="store_false", help="A spot market (default).")
    kind.add_argument("--perp", dest="is_perpetual", action="store_true", help="A perpetual: shorts, leverage, funding, liquidation.")
    parser.set_defaults(is_perpetual=False)
    parser.add_argument("--cash", metavar="Q", help="Cash at the start, quote currency (default 1000000; --perp: 1000).")
    parser.add_argument("--fee", metavar="F", help="Fee, a fraction (default 0.0005; --perp: 0.0006).")
    parser.add_argument("--slippage", metavar="F", help="Slippage, a fraction (default 0.0002).")
    parser.add_argument("--leverage", metavar="X", default="1", help="--perp alone (default 1).")
    parser.add_argument("--funding", metavar="F", help="--perp alone: a fixed rate longs pay every eight hours, such as 0.0001.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--amount", metavar="Q", help="What an entry costs, quote currency (default 50000; --perp: 5 %% of the cash).")
    size.add_argument("--fraction", metavar="F", help="What an entry costs as a share of equity, such as 0.5.")
    parser.add_argument("--stop", metavar="F", help="Stop of the risk profile, a fraction (default 0.05); the nearer one holds.")
    parser.add_argument("--target", metavar="F", help="Target of the risk profile, a fraction (default 0.10).")
    parser.add_argument("--no-limits", action="store_true", help="Without spacing, daily count, breakers and the validator's RSI limit.")
    parser.add_argument("--tick", metavar="Q", help="Price step where it is not known; by default the finest of the candles' prices.")
    parser.add_argument("--lot", metavar="B", help="Lot step where it is not known, base currency.")


def markets_in(options: dict[str, Any]) -> list[dict[str, Any]]:
    """The options of each market asked for, in their order: one for a single run, several for a portfolio. Raises BadInput."""
    files, symbols = options["files"], [symbol for symbol in (options["symbols"] or "").split(",") if symbol]
    if symbols and (files or options["symbol"]):
        raise BadInput("--symbols names markets of the archive; say either it, or --symbol, or files.")
    if len(files) > 1 and options["symbol"]:
        raise BadInput(f"--symbol names one market and {len(files)} files were given; their names must say which markets they hold.")
    if symbols:
        return [options | {"file": None, "symbol": symbol} for symbol in symbols]
    return [options | {"file": path} for path in files or [None]]


def candles_from(options: dict[str, Any], *, now: datetime) -> Candles:
    """The candles asked for. Raises BadInput with one sentence."""
    symbol, path = options["symbol"], options["file"]
    if path is None:
        if not symbol:
            raise BadInput("Say which market: --symbol KRW-BTC for the archive's candles, or the name of a file.")
        return candles_of(exchange=options["exchange"], symbol=symbol, interval=Interval(options["interval"] or "1h"))
    told = ImportOptions(interval=Interval(options["interval"]) if options["interval"] else None, timezone=options["timezone"])
    try:
        return read_file(path, exchange=options["exchange"], symbol=symbol or _symbol_in(path), now=now, options=told).candles
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error


def setup_from(options: dict[str, Any], candles: Candles) -> tuple[Setup, bool]:
    """The setup asked for, and whether the market's grid was assumed because it is not known."""
    is_perpetual, given = options["is_perpetual"], Numbers(options)
    if not is_perpetual and options["funding"]:
        raise BadInput("A spot market has no funding; leave --funding out or say --perp.")
    grids, is_assumed = _grids(options, candles)
    cash = given.number("cash", PERPETUAL_CASH if is_perpetual else SPOT_CASH)
    setup = Setup(
        grids=grids,
        cash=cash,
        fee_rate=given.number("fee", PERPETUAL_FEE if is_perpetual else SPOT_FEE),
        slippage=given.number("slippage", Setup.slippage),
        quote_grain=Decimal("0.01") if is_perpetual else Decimal(1),
        stop_fraction=given.number("stop", Setup.stop_fraction),
        target_fraction=given.number("target", Setup.target_fraction),
        is_perpetual=is_perpetual,
        leverage=given.number("leverage", Decimal(1)),
        start=instant(options["start"], name="--from"),
        end=instant(options["end"], name="--to"),
    )
    return _without_limits(_sized(setup, given)) if options["no_limits"] else _sized(setup, given), is_assumed


def funding_from(options: dict[str, Any], candles: Candles) -> NDArray[np.float64] | None:
    """The fixed rate at the open of each bar at which it is due, 0 elsewhere; None when none was told."""
    if not options["funding"]:
        return None
    rate = float(Numbers(options).number("funding", Decimal(0), is_signed=True))
    return np.where(candles.open_time % FUNDING_EVERY_NS == 0, rate, 0.0)


def pairs(texts: Sequence[str] | None, *, option: str) -> dict[str, str]:
    """`name=value` texts as a dict. Raises BadInput for one without `=` and for a name said twice."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator or not name or not value:
            raise BadInput(f"{option} takes name=value, such as {option} zone_bars=20; was {text!r}.")
        if name in found:
            raise BadInput(f"{option} {name} was said twice.")
        found[name] = value
    return found


def number_or_truth(text: str) -> object:
    """A parameter's value as typed: a number, true or false; anything else stays text, which a strategy refuses by name."""
    try:
        return json.loads(text.lower())
    except ValueError:
        return text


def instant(text: str | None, *, name: str) -> datetime | None:
    """An aware time. Raises BadInput naming the option."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{name} must be a date such as 2023-01-01 or 2023-01-01T12:00:00+09:00, was {text!r}.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Numbers:
    """Options that are decimal numbers."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def has(self, name: str) -> bool:
        return self.options[name] is not None

    def number(self, name: str, default: Decimal, *, is_signed: bool = False) -> Decimal:
        if not self.has(name):
            return default
        try:
            value = parse_decimal(str(self.options[name]), name=f"--{name}")
        except ValueError as error:
            raise BadInput(f"{error}.") from None
        if value < 0 and not is_signed:
            raise BadInput(f"--{name} must not be negative, was {value}.")
        return value


def _symbol_in(path: Path) -> str:
    found = UPBIT_NAME.match(path.name)
    if not found:
        raise BadInput(f"The file's name {path.name} does not say which market it holds; say --symbol.")
    return found[1]


def _grids(options: dict[str, Any], candles: Candles) -> tuple[tuple[Grid, ...], bool]:
    given = Numbers(options)
    told = {name: given.number(name, Decimal(0)) if given.has(name) else None for name in ("tick", "lot")}
    return market_grids.grids_for(candles, is_perpetual=options["is_perpetual"], **told)


def _sized(setup: Setup, given: Numbers) -> Setup:
    """What an operator says an entry costs is what it costs: the profile's caps stay for the default alone."""
    uncapped: dict[str, Any] = {"largest_amount": setup.cash * 1_000_000, "position_fraction": setup.leverage}
    if given.has("amount"):
        return replace(setup, sizing=SizingPlan(fixed_amount=given.number("amount", Decimal(0))), **uncapped)
    if given.has("fraction"):
        plan = SizingPlan(mode=SizingMode.EQUITY_FRACTION, equity_fraction=given.number("fraction", Decimal(0)))
        return replace(setup, sizing=plan, **uncapped)
    return replace(setup, sizing=SizingPlan(fixed_amount=setup.cash / 20)) if setup.is_perpetual else setup


def _without_limits(setup: Setup) -> Setup:
    return replace(
        setup,
        spacing=timedelta(0),
        entries_per_day=1_000_000,
        daily_loss_fraction=NO_LIMIT,
        weekly_loss_fraction=NO_LIMIT,
        rsi_limit=None,
    )
