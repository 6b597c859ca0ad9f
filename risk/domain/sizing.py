"""How much to trade: a wanted amount by one of six modes, cut by every cap, rounded toward less risk, or no trade with all reasons.

    wanted (by mode) × size hint → smallest of wanted, caps and free cash / (1 + fee) → down to the grid → at least the minimum?

Every quotient is rounded down and every loss up, so that no digit is ever lost in the direction of more risk. What cannot be told
(an edge from too few trades, an ATR of zero) is a refusal, never a guess. Sources: requirements §2.5 and S2-21, corrected by W-08
and W-30; docs/decisions/0014-how-much-is-at-stake.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from enum import StrEnum
from functools import reduce

from dgbot.core.money import EXACT, round_down, round_up
from risk.domain.reasons import Reason

ZERO, ONE, TWO = Decimal(0), Decimal(1), Decimal(2)
TRAPS = [DivisionByZero, InvalidOperation, Overflow]
DOWN = Context(prec=80, rounding=ROUND_FLOOR, traps=TRAPS)
UP = Context(prec=80, rounding=ROUND_CEILING, traps=TRAPS)

KELLY_FLOOR = Decimal("0.05")  # a half Kelly below it is no trade: raising it to the floor would bet more than the edge bears
KELLY_CEILING = Decimal("0.30")
KELLY_TRADES = 30  # fewer closed trades tell no edge


class SizingMode(StrEnum):
    """How the wanted amount of an entry is found."""

    FIXED = "fixed"
    EQUITY_FRACTION = "equity_fraction"
    RISK_AT_STOP = "risk_at_stop"
    VOLATILITY_TARGET = "volatility_target"
    HALF_KELLY = "half_kelly"
    BUY_RATIO = "buy_ratio"


@dataclass(frozen=True)
class SizingPlan:
    """The operator's choice of mode and its numbers. Fractions: 0.01 is 1 %."""

    mode: SizingMode = SizingMode.FIXED
    fixed_amount: Decimal = Decimal(50_000)  # quote
    equity_fraction: Decimal = Decimal("0.10")
    risk_fraction: Decimal = Decimal("0.01")
    volatility_fraction: Decimal = Decimal("0.01")
    buy_ratio: Decimal = Decimal("0.30")


@dataclass(frozen=True)
class Market:
    """What an entry would meet, quote currency; None is unknown. entry: expected fill; stop: where it would be left.

    atr: ATR14 of the signal bar. slippage_fraction: expected on leaving at the stop.
    """

    entry: Decimal
    stop: Decimal
    fee_rate: Decimal
    slippage_fraction: Decimal
    atr: Decimal | None = None


@dataclass(frozen=True)
class Edge:
    """What closed trades say. mean_win, mean_loss: mean net return of winners and, as a positive number, of the others; fractions."""

    wins: int
    losses: int
    mean_win: Decimal
    mean_loss: Decimal


@dataclass(frozen=True)
class Size:
    """Quote currency to spend without fee; zero comes with at least one reason."""

    quote_amount: Decimal
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What a mode asks for before caps, quote currency, not rounded; zero comes with a reason."""

    quote_amount: Decimal
    reasons: tuple[Reason, ...] = ()


def wanted(plan: SizingPlan, *, equity: Decimal, free_cash: Decimal, market: Market, edge: Edge | None, size_hint: Decimal = ONE) -> Wanted:
    """The amount the plan's mode asks for, times `size_hint`, the share of it the strategy wants (0…1).

    equity: the bot's own, quote currency: allocation plus all it earned, open position at the last price.
    free_cash: the account's, quote currency. edge: None when no trades were looked at.
    Raises ValueError for a number that is not finite and for a hint outside 0…1.
    """
    numbers = {"equity": equity, "free cash": free_cash, "size hint": size_hint, "entry": market.entry, "stop": market.stop}
    numbers |= {"fee rate": market.fee_rate, "slippage": market.slippage_fraction}
    _check_finite(numbers | {"ATR": ZERO if market.atr is None else market.atr})
    if not ZERO <= size_hint <= ONE:
        raise ValueError(f"the size hint must lie between 0 and 1, was {size_hint}")
    if plan.mode is SizingMode.FIXED:
        found = Wanted(plan.fixed_amount)
    elif plan.mode is SizingMode.EQUITY_FRACTION:
        found = Wanted(DOWN.multiply(equity, plan.equity_fraction))
    elif plan.mode is SizingMode.RISK_AT_STOP:
        found = _risking(equity=equity, risk_fraction=plan.risk_fraction, market=market)
    elif plan.mode is SizingMode.VOLATILITY_TARGET:
        found = _swinging(equity=equity, volatility_fraction=plan.volatility_fraction, market=market)
    elif plan.mode is SizingMode.HALF_KELLY:
        found = _betting(equity=equity, edge=edge)
    else:
        found = Wanted(DOWN.multiply(free_cash, plan.buy_ratio))
    return Wanted(DOWN.multiply(found.quote_amount, size_hint), found.reasons)


def loss_per_unit(market: Market) -> Decimal:
    """Quote currency lost per base unit when an entry at `entry` is left at `stop`, slippage there and both fees included.

    x = stop × (1 − slippage) for a long, stop × (1 + slippage) for a short; |entry − x| + fee × (entry + x).
    """
    is_long = market.stop < market.entry
    exit_price = UP.multiply(market.stop, ONE - market.slippage_fraction if is_long else ONE + market.slippage_fraction)
    return UP.add(abs(UP.subtract(market.entry, exit_price)), UP.multiply(market.fee_rate, UP.add(market.entry, exit_price)))


def half_kelly(edge: Edge | None) -> tuple[Decimal, tuple[Reason, ...]]:
    """Fraction of equity to spend: f/2 with f = p − (1 − p)/R, at most 30 %; zero with a reason below 5 % or without a known edge.

    p = wins / n, R = mean_win / mean_loss, so f = (wins × mean_win − losses × mean_loss) / (n × mean_win). n: all closed trades.
    Source: J. L. Kelly, "A New Interpretation of Information Rate", 1956; requirements §2.5. A negative edge is never raised to the floor.
    """
    count = 0 if edge is None else edge.wins + edge.losses
    if edge is None or count < KELLY_TRADES:
        return ZERO, (
            Reason(
                "edge_unknown",
                f"No order: {count} closed trades tell no edge; half Kelly needs {KELLY_TRADES}.",
                value=str(count),
                limit=str(KELLY_TRADES),
                remedy="Choose another sizing mode until there are enough trades.",
            ),
        )
    if not edge.wins or not edge.losses or edge.mean_win <= 0 or edge.mean_loss <= 0:
        return ZERO, (
            Reason(
                "edge_unknown",
                f"No order: {edge.wins} winning and {edge.losses} losing trades tell no odds; half Kelly needs both kinds.",
                value=f"{edge.wins}/{edge.losses}",
                remedy="Choose another sizing mode until both kinds were seen.",
            ),
        )
    won, lost = EXACT.multiply(Decimal(edge.wins), edge.mean_win), EXACT.multiply(Decimal(edge.losses), edge.mean_loss)
    half = DOWN.divide(EXACT.subtract(won, lost), EXACT.multiply(TWO * count, edge.mean_win))
    if half < KELLY_FLOOR:
        return ZERO, (
            Reason(
                "edge_too_small",
                f"No order: half Kelly is {half * 100:.2f} %, below its floor of {KELLY_FLOOR * 100:.0f} %.",
                value=f"{half * 100:.4f} %",
                limit=f"{KELLY_FLOOR * 100:.4f} %",
                remedy="Nothing to do: the trades so far do not earn a bet.",
            ),
        )
    return min(half, KELLY_CEILING), ()


def edge_of(returns: Sequence[Decimal]) -> Edge:
    """What the net returns of closed trades say, fractions; a return of zero counts among the losses."""
    wins = [value for value in returns if value > 0]
    others = [-value for value in returns if value <= 0]
    return Edge(wins=len(wins), losses=len(others), mean_win=_mean(wins, DOWN), mean_loss=_mean(others, UP))


def size_within(
    *, wanted: Decimal, caps: Mapping[str, Decimal], free_cash: Decimal, fee_rate: Decimal, minimum_total: Decimal, step: Decimal
) -> Size:
    """The wanted amount, at most each named cap, and at most what the free cash pays for with the fee on top.

    floor(min(wanted, each cap, free_cash / (1 + fee_rate)) / step) × step. All in quote currency; step: the grain of an amount to
    spend. Below minimum_total there is no trade: the limits conflict, and every one that is too small is named, smallest first.
    Raises ValueError for a step that is not positive and for a number that is not finite.
    """
    _check_finite({"trade amount": wanted, **caps, "free cash": free_cash, "fee rate": fee_rate, "minimum": minimum_total})
    if fee_rate < 0:
        raise ValueError(f"fee rate must not be negative, was {fee_rate}")
    limits = {"trade amount": wanted, **caps, "free cash after fees": DOWN.divide(free_cash, ONE + fee_rate)}
    amounts = {name: round_down(max(value, ZERO), step=step) for name, value in limits.items()}
    amount = min(amounts.values())
    if amount > 0 and amount >= minimum_total:
        return Size(quote_amount=amount)
    smallest_first = sorted(amounts.items(), key=lambda item: item[1])
    too_small = [(name, value) for name, value in smallest_first if value <= 0 or value < minimum_total]
    return Size(quote_amount=ZERO, reasons=tuple(_below_minimum(name, value, minimum_total) for name, value in too_small))


def trapped(*, quote_amount: Decimal, entry: Decimal, stop: Decimal, lot_step: Decimal, minimum_total: Decimal) -> tuple[Reason, ...]:
    """Why an entry could not be sold at its stop, or nothing: the exchange refuses sales below its minimum total.

    Held against it: (quote_amount / entry − lot_step) × stop, one lot less than could be bought. Quote currency; lot_step in base.
    """
    amount = DOWN.subtract(DOWN.divide(quote_amount, entry), lot_step)
    if sellable(amount=amount, price=stop, minimum_total=minimum_total):
        return ()
    worth = f"{max(DOWN.multiply(amount, stop), ZERO):.0f}"
    return (
        Reason(
            "unsellable_at_stop",
            f"At its stop this entry would be worth {worth}, less than the minimum order of {minimum_total:f}.",
            value=worth,
            limit=f"{minimum_total:f}",
            remedy="Raise the trade amount.",
        ),
    )


def size_sale(*, held: Decimal, ratio: Decimal, price: Decimal, lot_step: Decimal, minimum_total: Decimal) -> Decimal:
    """Base currency to sell of what is held when the strategy leaves with `ratio` (0…1]: up to the lot step, at most all.

    All of it when the part or the rest would be worth less than minimum_total at `price` (quote): a rest that cannot be sold is a trap.
    Stops, targets and emergencies always sell all. Raises ValueError for a ratio outside (0, 1] and for numbers that are not positive.
    """
    _check_finite({"held": held, "ratio": ratio, "price": price, "minimum": minimum_total})
    if not ZERO < ratio <= ONE or held <= 0 or price <= 0:
        raise ValueError(f"a sale needs a ratio within (0, 1] and a positive amount and price, was {ratio} of {held} at {price}")
    part = min(round_up(UP.multiply(held, ratio), step=lot_step), held)
    pieces = (part, EXACT.subtract(held, part))
    return part if all(sellable(amount=piece, price=price, minimum_total=minimum_total) for piece in pieces) else held


def sellable(*, amount: Decimal, price: Decimal, minimum_total: Decimal) -> bool:
    """Whether an exchange would take a sale of `amount` (base) at `price` (quote)."""
    return EXACT.multiply(amount, price) >= minimum_total


def _risking(*, equity: Decimal, risk_fraction: Decimal, market: Market) -> Wanted:
    """equity × risk_fraction × entry / loss_per_unit: what is bought loses at most that share of equity at its stop."""
    loss = loss_per_unit(market)
    if market.entry <= 0 or market.stop <= 0 or loss <= 0:
        return _unknown(f"an entry at {market.entry:f} with its stop at {market.stop:f} risks nothing that could be measured")
    return Wanted(DOWN.divide(DOWN.multiply(DOWN.multiply(equity, risk_fraction), market.entry), loss))


def _swinging(*, equity: Decimal, volatility_fraction: Decimal, market: Market) -> Wanted:
    """equity × volatility_fraction × entry / ATR: a move by one ATR14 changes equity by that share."""
    if market.atr is None or market.atr <= 0:
        return _unknown("the ATR of the signal bar is unknown or zero")
    return Wanted(DOWN.divide(DOWN.multiply(DOWN.multiply(equity, volatility_fraction), market.entry), market.atr))


def _betting(*, equity: Decimal, edge: Edge | None) -> Wanted:
    fraction, reasons = half_kelly(edge)
    return Wanted(DOWN.multiply(equity, fraction), reasons)


def _unknown(why: str) -> Wanted:
    return Wanted(ZERO, (Reason("size_unknown", f"No order: {why}.", remedy="Wait, or choose another sizing mode."),))


def _below_minimum(name: str, amount: Decimal, minimum_total: Decimal) -> Reason:
    return Reason(
        code="below_minimum",
        message=f"No order: {amount:f} allowed by the {name} is below the market's minimum of {minimum_total:f}.",
        value=f"{amount:f}",
        limit=f"{minimum_total:f}",
        remedy=f"Raise the {name}.",
    )


def _mean(values: Sequence[Decimal], context: Context) -> Decimal:
    return context.divide(reduce(context.add, values), Decimal(len(values))) if values else ZERO


def _check_finite(numbers: Mapping[str, Decimal]) -> None:
    for what, value in numbers.items():
        if not value.is_finite():
            raise ValueError(f"{what} must be finite, was {value}")
