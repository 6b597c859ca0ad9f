"""An entry on margin: what it was planned under, and where it would be liquidated."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from dgbot.core.money import parse_decimal, plain
from risk.domain import exposure
from risk.domain.reasons import Reason


@dataclass(frozen=True)
class Terms:
    """What an entry on margin was planned under, pinned to its order. Prices in quote currency, rates as fractions."""

    leverage: Decimal
    entry: Decimal
    stop: Decimal
    maintenance_rate: Decimal
    fee_rate: Decimal

    def as_row(self) -> dict[str, str]:
        """As it is pinned; `from_row` reads it."""
        return {name: plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "Terms":
        """Raises ValueError for a number that is none."""
        return cls(**{name: parse_decimal(row[name], name=name) for name in cls.__dataclass_fields__})

    def liquidation(self, *, leverage: Decimal) -> Decimal:
        """Price at which the position would be taken away, quote currency."""
        return exposure.liquidation_price(
            entry=self.entry,
            leverage=leverage,
            maintenance_rate=self.maintenance_rate,
            fee_rate=self.fee_rate,
            is_long=self.stop < self.entry,
        )

    def unsafe(self, *, leverage: Decimal, gap_fraction: Decimal) -> tuple[Reason, ...]:
        """Why its stop would come too late at this leverage, or nothing."""
        liquidation = self.liquidation(leverage=leverage)
        return exposure.liquidated_first(entry=self.entry, stop=self.stop, liquidation=liquidation, gap_fraction=gap_fraction)
