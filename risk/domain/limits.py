"""Which limits hold: the account's hard ones over a bot's own over its profile's; and whether a change of them loosens any."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from decimal import Decimal

Value = Decimal | int | timedelta | None


@dataclass(frozen=True)
class EffectiveLimits:
    """The limits in force for one bot at one decision. Fractions: 0.05 is 5 %; None: not limited. `origins` says whose each is.

    position, daily and weekly fractions refer to the bot's allocation; the exposure fractions to the account's equity.
    """

    spacing: timedelta = timedelta(0)
    entries_per_day: int | None = None
    stop_fraction: Decimal | None = None
    daily_loss_fraction: Decimal | None = None
    weekly_loss_fraction: Decimal | None = None
    drawdown_fraction: Decimal | None = None
    loss_streak: int | None = None
    position_fraction: Decimal | None = None
    slippage_limit: Decimal | None = None
    rsi_buy_limit: Decimal | None = None
    account_exposure_fraction: Decimal | None = None
    symbol_exposure_fraction: Decimal | None = None
    group_exposure_fraction: Decimal | None = None
    leverage_limit: Decimal | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    def as_row(self) -> dict[str, str | None]:
        """As it is pinned to an order; `from_row` reads it."""
        told = {name: getattr(self, name) for name in NAMES}
        return {name: _text(value) for name, value in told.items()}


NAMES = tuple(item.name for item in fields(EffectiveLimits) if item.name != "origins")
LARGER_IS_TIGHTER = frozenset({"spacing"})
COUNTS = frozenset({"entries_per_day", "loss_streak"})


def from_row(row: Mapping[str, str | None]) -> EffectiveLimits:
    """Limits as `as_row` wrote them. A name that is missing is not limited, so older rows stay readable."""
    values = {name: _value(name, text) for name, text in row.items() if name in NAMES and text is not None}
    return EffectiveLimits(**values, origins=dict.fromkeys(values, "pinned"))  # type: ignore[arg-type]


def resolve(*, profile: Mapping[str, Value], bot: Mapping[str, Value], account: Mapping[str, Value], profile_name: str) -> EffectiveLimits:
    """The bot's own number instead of the profile's, and of that and the account's hard one the tighter. None: not told here."""
    values: dict[str, Value] = {}
    origins = {}
    for name in NAMES:
        own = bot.get(name)
        value, origin = (profile.get(name), f"profile {profile_name}") if own is None else (own, "bot")
        hard = account.get(name)
        if hard is not None and (value is None or is_tighter(name, hard, value)):
            value, origin = hard, "account"
        if value is not None:
            values[name], origins[name] = value, origin
    return EffectiveLimits(**values, origins=origins)  # type: ignore[arg-type]


def tighter(one: EffectiveLimits, other: EffectiveLimits) -> EffectiveLimits:
    """Limit by limit the tighter of two; the first where they are equal."""
    values, origins = {}, {}
    for name in NAMES:
        a, b = getattr(one, name), getattr(other, name)
        source, value = (other, b) if is_tighter(name, b, a) else (one, a)
        values[name] = value
        if name in source.origins:
            origins[name] = source.origins[name]
    return EffectiveLimits(**values, origins=origins)


def is_tighter(name: str, one: Value, other: Value) -> bool:
    """Whether `one` allows less than `other`; None allows everything."""
    if one is None or other is None:
        return one is not None and other is None
    return one > other if name in LARGER_IS_TIGHTER else one < other  # type: ignore[operator]


def loosened(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """Names of what a change lets loose, in the order of `before`.

    A limit loosens when it allows more than it did. Whatever is not a limit but changes how money is used (a sizing mode, a
    trailing stop) counts as loosened whenever it changes: nothing here can prove that it became safer.
    """
    changed = [name for name in before if name in after and after[name] != before[name]]
    return tuple(name for name in changed if name not in NAMES or not is_tighter(name, after[name], before[name]))  # type: ignore[arg-type]


def beyond(hard: Mapping[str, Value], own: Mapping[str, Value]) -> tuple[str, ...]:
    """Names of a bot's own limits that lie beyond its account's hard ones."""
    return tuple(name for name, value in own.items() if value is not None and is_tighter(name, hard.get(name), value))


def _text(value: Value) -> str | None:
    if value is None:
        return None
    return (
        str(round(value.total_seconds() * 1_000_000))
        if isinstance(value, timedelta)
        else f"{value:f}"
        if isinstance(value, Decimal)
        else str(value)
    )


def _value(name: str, text: str) -> Value:
    if name in LARGER_IS_TIGHTER:
        return timedelta(microseconds=int(text))
    return int(text) if name in COUNTS else Decimal(text)
