"""How much may be at stake at once: per symbol, correlated group and account; leverage, and liquidation beyond the stop.

At stake is what open positions cost plus what is reserved for orders on their way, quote currency. Cost and not market value:
then only our own orders change it, and no price move can put an account over its limit. docs/decisions/0014-how-much-is-at-stake.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from dgbot.core.money import EXACT, plain
from dgbot.core.types import MarginTier
from risk.domain.limits import EffectiveLimits
from risk.domain.reasons import Reason
from risk.domain.sizing import DOWN, ONE, UP

ZERO = Decimal(0)


@dataclass(frozen=True)
class AtStake:
    """What is at stake in one account, quote currency, by symbol: positions at cost and reservations, fees included.

    equity: what fractions refer to; None is unknown, and unknown leaves no room.
    """

    by_symbol: Mapping[str, Decimal]
    equity: Decimal | None

    @property
    def account(self) -> Decimal:
        """All symbols together."""
        return sum(self.by_symbol.values(), ZERO)

    def group(self, symbols: frozenset[str]) -> Decimal:
        """Symbols that move together."""
        return sum((amount for symbol, amount in self.by_symbol.items() if symbol in symbols), ZERO)

    def with_order(self, symbol: str, notional: Decimal) -> "AtStake":
        """As it would be with one more order."""
        return AtStake(by_symbol={**self.by_symbol, symbol: self.by_symbol.get(symbol, ZERO) + notional}, equity=self.equity)


@dataclass(frozen=True)
class Bound:
    """One exposure limit: how much of it is used, quote currency. limit None: it cannot be told."""

    code: str
    name: str
    used: Decimal
    limit: Decimal | None


def bounds(*, limits: EffectiveLimits, at_stake: AtStake, symbol: str, group: frozenset[str]) -> tuple[Bound, ...]:
    """The exposure limits that hold for an entry in `symbol`. group: the symbols that move with it, itself among them."""
    found = []
    for code, name, used, fraction in (
        ("account_exposure", "account exposure limit", at_stake.account, limits.account_exposure_fraction),
        ("symbol_exposure", f"exposure limit of {symbol}", at_stake.by_symbol.get(symbol, ZERO), limits.symbol_exposure_fraction),
        ("group_exposure", f"exposure limit of the group of {symbol}", at_stake.group(group | {symbol}), limits.group_exposure_fraction),
        ("leverage", "leverage limit", at_stake.account, limits.leverage_limit),
    ):
        if fraction is not None:
            limit = None if at_stake.equity is None else DOWN.multiply(max(at_stake.equity, ZERO), fraction)
            found.append(Bound(code=code, name=name, used=used, limit=limit))
    return tuple(found)


def room(bounds: tuple[Bound, ...], *, fee_rate: Decimal) -> dict[str, Decimal]:
    """What each bound leaves for one more order, quote currency without its fee; zero when it cannot be told."""
    return {
        bound.name: ZERO if bound.limit is None else max(DOWN.divide(EXACT.subtract(bound.limit, bound.used), ONE + fee_rate), ZERO)
        for bound in bounds
    }


def exceeded(bounds: tuple[Bound, ...]) -> tuple[Reason, ...]:
    """Every bound that is passed or cannot be told; reaching it is allowed."""
    found = []
    for bound in bounds:
        if bound.limit is None:
            found.append(
                Reason(
                    "equity_unknown",
                    f"The {bound.name} cannot be told: the account's equity is unknown.",
                    remedy="Wait until the gateway has told the account's balances.",
                )
            )
        elif bound.used > bound.limit:
            found.append(
                Reason(
                    bound.code,
                    f"{bound.used:f} at stake would pass the {bound.name} of {bound.limit:f}.",
                    value=f"{bound.used:f}",
                    limit=f"{bound.limit:f}",
                    remedy="Wait until a position is closed, or raise the limit with a reason.",
                )
            )
    return tuple(found)


def whole_leverage(*, limit: Decimal | None, maximum: Decimal) -> Decimal:
    """The leverage an entry asks the exchange for: the limit in whole numbers, never more than the market's maximum, at least 1.

    Without a limit it is 1: nobody asked for more.
    """
    return max(min(ONE if limit is None else limit, maximum).to_integral_value(ROUND_FLOOR), ONE)


def maintenance_rate(tiers: Sequence[MarginTier], *, notional: Decimal) -> Decimal | None:
    """Fraction of `notional` (quote) that must stay as margin; None where the exchange tells no tier for it."""
    return next((tier.maintenance_rate for tier in tiers if notional <= tier.up_to), None)


def unfit_leverage(*, confirmed: Decimal | None, limit: Decimal | None) -> tuple[Reason, ...]:
    """Why the exchange's leverage forbids an entry. confirmed: as the exchange told it; None is unknown and blocks (W-64)."""
    if confirmed is None:
        return (
            Reason(
                "leverage_unknown", "The exchange has not confirmed the leverage.", remedy="Wait for the gateway, or check the account."
            ),
        )
    if limit is not None and confirmed > limit:
        return (
            Reason(
                "leverage",
                f"The leverage is {plain(confirmed)}; the limit is {plain(limit)}.",
                value=plain(confirmed),
                limit=plain(limit),
                remedy="Lower it at the exchange, or raise the limit with a reason.",
            ),
        )
    return ()


def liquidation_price(*, entry: Decimal, leverage: Decimal, maintenance_rate: Decimal, fee_rate: Decimal, is_long: bool) -> Decimal:
    """Price at which an isolated linear position is liquidated, quote currency, rounded toward the entry.

    Margin entry / leverage plus profit equals maintenance and closing fee there: long entry × (1 − 1/L) / (1 − m − f),
    short entry × (1 + 1/L) / (1 + m + f). Source: the definition of isolated margin; Bitget's keepMarginRate is m.
    Raises ValueError for a leverage below 1 and for rates that leave no price.
    """
    held_back = maintenance_rate + fee_rate
    if leverage < 1 or not ZERO <= held_back < ONE:
        raise ValueError(f"no liquidation price for leverage {leverage} with maintenance {maintenance_rate} and fee {fee_rate}")
    if is_long:
        return UP.divide(UP.multiply(entry, leverage - ONE), EXACT.multiply(leverage, ONE - held_back))
    return DOWN.divide(DOWN.multiply(entry, leverage + ONE), EXACT.multiply(leverage, ONE + held_back))


def liquidated_first(*, entry: Decimal, stop: Decimal, liquidation: Decimal, gap_fraction: Decimal) -> tuple[Reason, ...]:
    """Why the stop would come too late: liquidation must lie beyond it by more than `gap_fraction` of the entry price."""
    gap = EXACT.subtract(stop, liquidation) if stop < entry else EXACT.subtract(liquidation, stop)
    needed = EXACT.multiply(entry, gap_fraction)
    if gap > needed:
        return ()
    return (
        Reason(
            "liquidation_before_stop",
            f"Liquidation at {liquidation:f} is not beyond the stop at {stop:f} by more than {needed:f}.",
            value=f"{liquidation:f}",
            limit=f"{stop:f}",
            remedy="Lower the leverage, or move the stop nearer.",
        ),
    )
