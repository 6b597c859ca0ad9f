"""The settings operators change while bots run: each key with its form, its meaning and its first value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from dgbot.core.errors import BadInput
from dgbot.core.money import parse_decimal

RISK_LEVELS = {"low": "conservative", "medium": "medium", "high": "aggressive"}  # risk level → risk profile
MINUTES_OF_AN_HOUR = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)
MINUTES_OF_A_DAY = tuple(hours * 60 for hours in (2, 3, 4, 6, 8, 12, 24))
PERIODS = (*MINUTES_OF_AN_HOUR, *MINUTES_OF_A_DAY)  # only these give the same instants every day
LARGEST_TRADE_KRW = Decimal(1_000_000_000)  # the exchange's own maximum
MOST_SYMBOLS = 100


@dataclass(frozen=True)
class Setting:
    """One key. `form` is shown to whoever got it wrong; `check` raises ValueError with what is wrong."""

    key: str
    first: Mapping[str, object]
    form: str
    meaning: str
    check: Callable[[object], None]


@dataclass(frozen=True)
class Settings:
    """All settings at one instant, typed; `version` is the id of the newest change."""

    enabled: bool
    interval_minutes: int
    max_trade_amount_krw: Decimal
    risk_level: str
    target_symbols: tuple[str, ...]
    version: int | None = None


def _check_enabled(value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"enabled must be true or false, was {value!r}")


def _check_minutes(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value not in PERIODS:
        raise ValueError(f"minutes must divide an hour or a day, one of {', '.join(map(str, PERIODS))}; was {value!r}")


def _check_amount(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"amount must be a whole number or a decimal as text, was {value!r}")
    if not 0 < parse_decimal(value, name="amount") <= LARGEST_TRADE_KRW:
        raise ValueError(f"amount must be above 0 and at most {LARGEST_TRADE_KRW:f}, was {value!r}")


def _check_level(value: object) -> None:
    if not isinstance(value, str) or value not in RISK_LEVELS:
        raise ValueError(f"level must be one of {', '.join(RISK_LEVELS)}; was {value!r}")


def _check_symbols(value: object) -> None:
    if not isinstance(value, list) or not value or len(value) > MOST_SYMBOLS:
        raise ValueError(f"symbols must be a list of 1 to {MOST_SYMBOLS} symbols, was {value!r}")
    wrong = [item for item in value if not isinstance(item, str) or not 3 <= len(item) <= 30 or item != item.strip()]
    if wrong:
        raise ValueError(f"symbols must be texts such as KRW-BTC; {wrong[0]!r} is not")
    if len(set(value)) < len(value):
        raise ValueError("symbols must not repeat")


SETTINGS: dict[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting("bot_status", {"enabled": False}, '{"enabled": true or false}', "Paper and live bots may open positions.", _check_enabled),
        Setting(
            "trading_interval_minutes",
            {"minutes": 60},
            '{"minutes": 60}',
            "Period of the schedule “Trading cycle (hourly)”.",
            _check_minutes,
        ),
        Setting("max_trade_amount_krw", {"amount": 1_000_000}, '{"amount": 1000000}', "Most that one entry may spend, KRW.", _check_amount),
        Setting(
            "risk_level", {"level": "medium"}, '{"level": "low", "medium" or "high"}', "Risk profile of bots that name none.", _check_level
        ),
        Setting(
            "target_symbols",
            {"symbols": ["KRW-BTC", "KRW-ETH"]},
            '{"symbols": ["KRW-BTC", "KRW-ETH"]}',
            "Symbols on which entries are allowed.",
            _check_symbols,
        ),
    )
}


def cap_in(currency: str, *, cap_krw: Decimal, krw_per_unit: Decimal | None) -> Decimal | None:
    """A cap in KRW as units of `currency`. krw_per_unit: KRW for one unit; None when that is unknown, and then so is the cap."""
    if currency == "KRW":
        return cap_krw
    if krw_per_unit is None or not krw_per_unit.is_finite() or krw_per_unit <= 0:
        return None
    return cap_krw / krw_per_unit


def setting(key: str) -> Setting:
    """The setting of that key. Raises BadInput naming the known keys."""
    if key not in SETTINGS:
        raise BadInput(f"There is no setting {key!r}; known are {', '.join(SETTINGS)}.")
    return SETTINGS[key]


def check(key: str, value: object) -> None:
    """Raise BadInput, with the allowed form, unless `value` is legal for `key`."""
    known = setting(key)
    (field,) = known.first
    try:
        if not isinstance(value, dict) or set(value) != {field}:
            raise ValueError(f"it must have the one field {field!r}")
        known.check(value[field])
    except ValueError as error:
        raise BadInput(f"{key} was not changed: {error}. Allowed form: {known.form}.") from None


def parse(rows: Mapping[str, object], *, version: int | None) -> Settings:
    """Typed settings from the rows of the table. Raises BadInput for a missing or broken one: nothing is made up."""
    missing = [key for key in SETTINGS if key not in rows]
    if missing:
        raise BadInput(f"The settings {', '.join(missing)} are missing; run `manage.py prepare`.")
    for key in SETTINGS:
        check(key, rows[key])
    values = {key: next(iter(value.values())) for key, value in rows.items() if key in SETTINGS and isinstance(value, dict)}
    return Settings(
        enabled=values["bot_status"],
        interval_minutes=values["trading_interval_minutes"],
        max_trade_amount_krw=parse_decimal(values["max_trade_amount_krw"], name="max_trade_amount_krw"),
        risk_level=values["risk_level"],
        target_symbols=tuple(values["target_symbols"]),
        version=version,
    )
