"""How much to trade: an amount, cut by every cap, rounded toward less risk, or no trade with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from dgbot.core.money import EXACT, round_down
from risk.domain.reasons import Reason


@dataclass(frozen=True)
class Size:
    """Quote currency to spend without fee; zero comes with at least one reason."""

    quote_amount: Decimal
    reasons: tuple[Reason, ...] = ()


def size_fixed(
    *, wanted: Decimal, caps: Mapping[str, Decimal], free_cash: Decimal, fee_rate: Decimal, minimum_total: Decimal, step: Decimal
) -> Size:
    """The wanted amount, at most each named cap, and at most what the free cash pays for with the fee on top.

    All in quote currency; fee_rate is a fraction; step: the quote currency's grain. Below minimum_total there is no trade.
    Raises ValueError for a step that is not positive and for a number that is not finite.
    """
    for what, value in {"trade amount": wanted, **caps, "free cash": free_cash, "fee rate": fee_rate, "minimum": minimum_total}.items():
        if not value.is_finite():
            raise ValueError(f"{what} must be finite, was {value}")
    # Divided exactly: 28 digits would round up what lacks the last one.
    limits = {"trade amount": wanted, **caps, "free cash after fees": EXACT.divide(free_cash, 1 + fee_rate)}
    name, smallest = min(limits.items(), key=lambda item: item[1])
    amount = round_down(max(smallest, Decimal(0)), step=step)
    if amount > 0 and amount >= minimum_total:
        return Size(quote_amount=amount)
    return Size(
        quote_amount=Decimal(0),
        reasons=(
            Reason(
                code="below_minimum",
                message=f"No order: {amount:f} allowed by the {name} is below the market's minimum of {minimum_total:f}.",
                value=f"{amount:f}",
                limit=f"{minimum_total:f}",
                remedy=f"Raise the {name}.",
            ),
        ),
    )


def sellable(*, amount: Decimal, price: Decimal, minimum_total: Decimal) -> bool:
    """Whether an exchange would take a sale of `amount` (base) at `price` (quote)."""
    return amount * price >= minimum_total
