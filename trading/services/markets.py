"""Which markets an exchange lists, as it says itself: asked for by whoever sets a bot up, kept for a while by this process."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from dgbot.core.errors import ExchangeUnavailable
from dgbot.core.types import TradingRules
from trading.services import venues

GOOD_FOR_S = 600.0  # minima and listings change seldom
FAILED_FOR_S = 15.0  # an exchange that did not answer is not asked again by every keystroke in a form


@dataclass(frozen=True)
class _Answer:
    good_until: float
    rules: Mapping[str, TradingRules]
    failure: str


_kept: dict[str, _Answer] = {}


def listed(exchange: str) -> Mapping[str, TradingRules]:
    """Symbol → rules of every market of a real exchange. Asks it at most once in GOOD_FOR_S; never call it inside a transaction.

    Raises ExchangeUnavailable, and VenueUnavailable for an exchange that has no public data.
    """
    answer = _kept.get(exchange)
    if answer is None or answer.good_until < time.monotonic():
        answer = _kept[exchange] = _ask(exchange)
    if answer.failure:
        raise ExchangeUnavailable(answer.failure)
    return answer.rules


def known(exchange: str) -> list[str]:
    """Symbols that were told before, sorted; asks nobody."""
    answer = _kept.get(exchange)
    return [] if answer is None else sorted(answer.rules)


def forget() -> None:
    """Ask anew next time."""
    _kept.clear()


def _ask(exchange: str) -> _Answer:
    try:
        rules = {one.symbol: one for one in venues.public_exchange(exchange).markets()}
    except ExchangeUnavailable as error:
        return _Answer(good_until=time.monotonic() + FAILED_FOR_S, rules={}, failure=str(error))
    return _Answer(good_until=time.monotonic() + GOOD_FOR_S, rules=rules, failure="")
