"""What an analyst answers: a closed JSON schema, read so strictly that nonsense is an abstention and never a trade."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

LONGEST_ANSWER = 20_000  # characters; six sections take a tenth of it
LONGEST_NUMBER = 30  # characters
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,2})?")
DIGITS = re.compile(rf"\d{{{LONGEST_NUMBER},}}")
LONGEST_SECTION = 2000
MOST_HOURS = 720  # thirty days
HIGHEST_PRICE = Decimal(10) ** 15

SECTIONS = ("overall", "trend", "momentum", "volatility_and_volume", "market_structure", "weighing")
DECISIONS = ("buy", "sell", "hold")
OUTCOMES = ("higher", "lower")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["symbol", "decision", "outcome", "probability", "horizon_hours", "invalidation_price", "reasons"],
    "properties": {
        "symbol": {"type": "string", "description": "The symbol of the data, unchanged."},
        "decision": {"type": "string", "enum": list(DECISIONS)},
        "outcome": {"type": "string", "enum": list(OUTCOMES), "description": "Where the close at the horizon lies, against the price now."},
        "probability": {"type": "number", "description": "Of the stated outcome, from 0 to 1."},
        "horizon_hours": {"type": "integer", "description": "Whole hours from now, 1 to 720."},
        "invalidation_price": {"type": ["number", "null"], "description": "The price at which the view is wrong; null when there is none."},
        "reasons": {
            "type": "object",
            "additionalProperties": False,
            "required": list(SECTIONS),
            "properties": {name: {"type": "string"} for name in SECTIONS},
        },
    },
}


class Nonsense(ValueError):
    """An answer that cannot be used, in one sentence."""


@dataclass(frozen=True)
class Answer:
    """A usable answer. probability: of the outcome, 0…1. horizon_hours: until it is known. invalidation_price: quote, None: none."""

    symbol: str
    decision: str
    outcome: str
    probability: Decimal
    horizon_hours: int
    invalidation_price: Decimal | None
    reasons: Mapping[str, str]

    @property
    def confidence(self) -> Decimal:
        """100 × the probability, two decimals."""
        return (self.probability * 100).quantize(Decimal("0.01"))

    @property
    def reason(self) -> str:
        """The six sections as one text."""
        return "\n\n".join(f"{number}. {self.reasons[name]}" for number, name in enumerate(SECTIONS, start=1))

    def as_row(self) -> dict[str, Any]:
        """As it is stored."""
        price = None if self.invalidation_price is None else f"{self.invalidation_price:f}"
        return {**asdict(self), "probability": f"{self.probability:f}", "invalidation_price": price}


def parse(raw: str, *, symbol: str) -> Answer:
    """The answer for `symbol`. Raises Nonsense for anything the schema, the bounds or plain sense forbid."""
    row = _object(_loaded(raw), SCHEMA["required"], name="the answer")
    if row["symbol"] != symbol:
        raise Nonsense(f"it speaks of another market than {symbol}")
    reasons = _object(row["reasons"], SECTIONS, name="reasons")
    answer = Answer(
        symbol=symbol,
        decision=_one_of(row["decision"], DECISIONS, name="decision"),
        outcome=_one_of(row["outcome"], OUTCOMES, name="outcome"),
        probability=_number(row["probability"], name="probability", least=Decimal(0), most=Decimal(1)),
        horizon_hours=_hours(row["horizon_hours"]),
        invalidation_price=None
        if row["invalidation_price"] is None
        else _number(row["invalidation_price"], name="invalidation_price", least=Decimal("1e-12"), most=HIGHEST_PRICE),
        reasons={name: _section(reasons[name], name=name) for name in SECTIONS},
    )
    if (answer.decision, answer.outcome) in (("buy", "lower"), ("sell", "higher")):
        raise Nonsense(f"it says {answer.decision} and expects the price to be {answer.outcome}")
    return answer


def _loaded(raw: str) -> object:
    if len(raw) > LONGEST_ANSWER:
        raise Nonsense(f"it has {len(raw):,} characters, more than {LONGEST_ANSWER:,}")
    if DIGITS.search(raw):
        raise Nonsense("it holds a number that is too long")
    try:
        return json.loads(raw, parse_float=_decimal, parse_int=_decimal, parse_constant=_constant, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise Nonsense(f"it is no JSON that can be used: {str(error)[:120] or type(error).__name__}") from None


def _decimal(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER or not NUMBER.fullmatch(text):
        raise ValueError("a number is too long")
    return Decimal(text)


def _constant(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is said twice")
    return found


def _object(value: object, names: Any, *, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise Nonsense(f"{name} must be an object with exactly {', '.join(names)}")
    return value


def _one_of(value: object, allowed: tuple[str, ...], *, name: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise Nonsense(f"{name} must be one of {', '.join(allowed)}")
    return value


def _number(value: object, *, name: str, least: Decimal, most: Decimal) -> Decimal:
    if not isinstance(value, Decimal) or not least <= value <= most:
        raise Nonsense(f"{name} must be a number from {least} to {most}")
    return value


def _hours(value: object) -> int:
    hours = _number(value, name="horizon_hours", least=Decimal(1), most=Decimal(MOST_HOURS))
    if hours != int(hours):
        raise Nonsense("horizon_hours must be a whole number")
    return int(hours)


def _section(value: object, *, name: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= LONGEST_SECTION:
        raise Nonsense(f"section {name} must be a text of at most {LONGEST_SECTION:,} characters")
    return value.replace("\x00", "").strip() or "–"  # PostgreSQL stores no NUL
