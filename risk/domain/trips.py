"""What trips the kill switch of an account by itself: each rule names the fact, the limit and the remedy. Source: order-path §2.9.

Facts count from the last change of the account's switch, so that one that was lowered trips on new facts only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from risk.domain.reasons import Reason

UNKNOWN_WINDOW_S = 300
MOST_UNKNOWN = 3
ANSWERS_LOOKED_AT = 10
MOST_REJECTED = 5  # of ten: more than half
RATE_WINDOW_S = 60
WORST_CLOCK_S = 5.0
WORST_SILENCE_S = 300.0  # of a market with positions; for shorter the price alarm blocks its entries while it lasts


@dataclass(frozen=True)
class Facts:
    """What an account has just seen. rejected: of the last `answers` sends. sent_by_bot: entries of the last minute, by bot."""

    unknown: int = 0
    answers: int = 0
    rejected: int = 0
    resurrected: tuple[int, ...] = ()  # orders that were given up and came back
    known_before: tuple[int, ...] = ()  # orders sent once, whose client id the exchange had before
    sent_by_bot: Mapping[int, int] = field(default_factory=dict)


def trips(facts: Facts, *, most_by_account: int, most_by_bot: int) -> tuple[Reason, ...]:
    """Every rule these facts break. most_by_account, most_by_bot: entries a minute."""
    found = []
    if facts.unknown > MOST_UNKNOWN:
        found.append(
            Reason(
                "many_unknown",
                f"{facts.unknown} orders of unknown fate within {UNKNOWN_WINDOW_S // 60} minutes, at most {MOST_UNKNOWN} are borne.",
                value=str(facts.unknown),
                limit=str(MOST_UNKNOWN),
                remedy="Look at the exchange's state and at the connection; lower the switch once these orders are settled.",
            )
        )
    if facts.answers >= ANSWERS_LOOKED_AT and facts.rejected > MOST_REJECTED:
        found.append(
            Reason(
                "many_rejected",
                f"The exchange rejected {facts.rejected} of the last {facts.answers} orders, at most {MOST_REJECTED} are borne.",
                value=str(facts.rejected),
                limit=str(MOST_REJECTED),
                remedy="Read why under Orders, mend it, then lower the switch.",
            )
        )
    if facts.resurrected:
        named = ", ".join(map(str, facts.resurrected))
        found.append(
            Reason(
                "resurrected",
                f"Order {named} was given up and has come back at the exchange.",
                value=named,
                limit="none",
                remedy="Compare positions with the exchange, then lower the switch.",
            )
        )
    if facts.known_before:
        named = ", ".join(map(str, facts.known_before))
        found.append(
            Reason(
                "duplicate_id",
                f"The exchange knew order {named} before we sent it, and we sent it once.",
                value=named,
                limit="one send",
                remedy="Look for a second platform with the same key, renew the key, then lower the switch.",
            )
        )
    found.extend(_too_fast(facts, most_by_account=most_by_account, most_by_bot=most_by_bot))
    return tuple(found)


def clock_trip(offset_s: float, *, exchange: str) -> Reason | None:
    """Why a machine whose clock is so far from the exchange's must open nothing, or None."""
    if abs(offset_s) <= WORST_CLOCK_S:
        return None
    return Reason(
        "clock",
        f"This machine's clock is {offset_s:+.1f} s off that of {exchange}, at most {WORST_CLOCK_S:g} s are borne.",
        value=f"{offset_s:+.1f} s",
        limit=f"{WORST_CLOCK_S:g} s",
        remedy="Let this machine keep its time (NTP), then lower the switch.",
    )


def stale_trip(age_s: float, *, symbol: str) -> Reason | None:
    """Why a market whose price has been unknown for so long must open nothing until a person has looked, or None."""
    if age_s <= WORST_SILENCE_S:
        return None
    return Reason(
        "stale",
        f"The price of {symbol} has been unknown for {age_s:.0f} s, at most {WORST_SILENCE_S:.0f} s are borne.",
        value=f"{age_s:.0f} s",
        limit=f"{WORST_SILENCE_S:.0f} s",
        remedy="Look at the exchange and at the feed; lower the switch once prices flow.",
    )


def _too_fast(facts: Facts, *, most_by_account: int, most_by_bot: int) -> list[Reason]:
    remedy = "Find out which bot sends so much and stop it, then lower the switch."
    total = sum(facts.sent_by_bot.values())
    found = []
    if total > most_by_account:
        text = f"The account sent {total} entries within a minute, at most {most_by_account} are allowed."
        found.append(Reason("rate_account", text, value=str(total), limit=str(most_by_account), remedy=remedy))
    for bot_id, count in sorted(facts.sent_by_bot.items()):
        if count > most_by_bot:
            text = f"Bot {bot_id} sent {count} entries within a minute, at most {most_by_bot} are allowed."
            found.append(Reason("rate_bot", text, value=str(count), limit=str(most_by_bot), remedy=remedy))
    return found
