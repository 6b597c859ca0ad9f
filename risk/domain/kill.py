"""The kill switch: what each level forbids, and what changing it asks of a person.

    level        opening  exits  cancelling
    0 run          yes     yes      yes
    1 no open      no      yes      yes
    2 cancel       no      yes      yes       entry orders are cancelled, protective stops stay
    3 flatten      no      yes      yes       positions are sold, in parts the book can take
    4 freeze       no      no       no        nothing is written; stops that rest at the exchange stay

Source: order-path §2.9. Where several switches cover a bot, the highest level holds.
"""

from enum import StrEnum

RUN, NO_OPEN, CANCEL, FLATTEN, FREEZE = range(5)
TYPED_FROM = FLATTEN  # from here on the level's word is typed: a slip of the mouse must not sell everything
SECOND_PERSON_FROM = FLATTEN


class Deed(StrEnum):
    """What an order or a command would do."""

    OPEN = "open"
    EXIT = "exit"
    CANCEL = "cancel"


FORBIDDEN_FROM = {Deed.OPEN: NO_OPEN, Deed.EXIT: FREEZE, Deed.CANCEL: FREEZE}


def forbids(level: int, deed: Deed) -> bool:
    """Whether this level forbids it."""
    return level >= FORBIDDEN_FROM[deed]


def requires_second_factor(*, before: int, after: int) -> bool:
    """Whether whoever changes the level must have just proven a second factor: raising never waits for one."""
    return after < before


def requires_second_person(*, before: int, after: int, two_person: bool) -> bool:
    """Whether another person must ask for the same: only where the operator wants it so (DGBOT_TWO_PERSON)."""
    return two_person and after < before and before >= SECOND_PERSON_FROM


def is_typed(level: int) -> bool:
    """Whether the level's word is typed before it is set."""
    return level >= TYPED_FROM
