"""The rules analyst: the strategy's own word, asked of no model. Default when no key is set."""

import math
from decimal import Decimal

import numpy as np

from backtests.candles.series import Candles
from backtests.indicators import rsi14
from backtests.strategies.base import UNKNOWN, YES, Parameters, Signals, Strategy
from backtests.strategies.exits import exit_at_close
from dgbot.core.money import SMALLEST_STEP, from_float, plain
from trading.domain.stages import DecisionKind, Proposal

GATE_WORDS = {UNKNOWN: "unknown", YES: "open"}


def propose_entry(*, candles: Candles, strategy: Strategy[Parameters], parameters: Parameters) -> Proposal:
    """What the strategy says at the newest close when nothing is held. Only longs are proposed: a short stays a backtest's."""
    signals = strategy.signals(candles, parameters)
    entry, gates = int(signals.entry[-1]), {name: int(column[-1]) for name, column in signals.gates.items()}
    told = ", ".join(f"{name} {GATE_WORDS.get(answer, 'shut')}" for name, answer in gates.items())
    indicators = {"rsi14": _known(rsi14(candles.close)[-1]), "adx14": _known(signals.strength[-1]), "close": float(candles.close[-1])}
    if entry == UNKNOWN:
        reason = f"{strategy.name} cannot tell at this close{_why_unknown(candles, strategy, parameters, told)}."
        return Proposal(DecisionKind.ABSTAIN, reason, gates=gates, indicators=indicators)
    if entry != YES:
        short = " It would open a short, which rules do not propose." if signals.short_entry[-1] == YES else ""
        return Proposal(DecisionKind.HOLD, f"{strategy.name} proposes nothing: {told}.{short}", gates=gates, indicators=indicators)
    plan = _plan(signals)
    return Proposal(DecisionKind.BUY, f"{strategy.name} proposes a buy: {told}.", plan=plan, gates=gates, indicators=indicators)


def plan_at_close(candles: Candles, strategy: Strategy[Parameters], parameters: Parameters) -> dict[str, str | None]:
    """The distances the strategy gives an entry at the newest close, whoever proposes it; empty where it replays decisions."""
    return {} if strategy.needs_decisions else _plan(strategy.signals(candles, parameters))


def propose_exit(
    *,
    candles: Candles,
    strategy: Strategy[Parameters],
    parameters: Parameters,
    entry_price: Decimal,
    opened_at_ns: int,
    plan: dict[str, str | None],
) -> Proposal:
    """Whether the strategy leaves at the newest close. opened_at_ns: time of the entry's fill, ns UTC."""
    signals = strategy.signals(candles, parameters)
    fill_bar = int(np.searchsorted(candles.open_time, opened_at_ns, side="right")) - 1
    bars = len(candles) - 1 - fill_bar
    close, strength = float(candles.close[-1]), float(signals.strength[-1])
    indicators = {"adx14": _known(strength), "close": close, "bars_since_fill": float(bars)}
    reason = exit_at_close(
        bars_since_fill=bars,
        close=close,
        entry_price=float(entry_price),
        fakeout_distance=_number(plan.get("fakeout_distance")),
        strength=strength,
        signal_strength=_number(plan.get("strength")),
        rules=strategy.exit_rules(parameters),
        signal=int(signals.exit[-1]),
    )
    if reason is None:
        return Proposal(DecisionKind.HOLD, f"{strategy.name} keeps the position, {bars} bars after its fill.", indicators=indicators)
    return Proposal(DecisionKind.SELL, f"{strategy.name} leaves: {reason}.", exit_reason=reason, indicators=indicators)


def _plan(signals: Signals) -> dict[str, str | None]:
    """Distances in quote currency from the entry price; None: the strategy gives none."""
    return {
        "stop_distance": _money(signals.stop_distance[-1]),
        "target_distance": _money(signals.target_distance[-1]),
        "fakeout_distance": _money(signals.fakeout_distance[-1]),
        "strength": None if math.isnan(signals.strength[-1]) else repr(float(signals.strength[-1])),
    }


def _why_unknown(candles: Candles, strategy: Strategy[Parameters], parameters: Parameters, told: str) -> str:
    needed = strategy.warm_up(parameters) + 1
    if strategy.needs_decisions:
        return ": it replays stored decisions and has none of its own; let its analyst propose"
    if len(candles) < needed:
        return f" ({told}); it needs {needed} candles, there are {len(candles)}"
    return f" ({told}): the prices or volumes give no answer"


def _money(value: float) -> str | None:
    """A distance as decimal text, None when unknown."""
    return None if math.isnan(value) else plain(from_float(value, step=SMALLEST_STEP))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _number(text: str | None) -> float:
    return math.nan if text is None else float(text)
