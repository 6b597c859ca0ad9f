"""A slice of a job: what it left to do, and what becomes of a job whose slice failed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from django.db import InterfaceError, OperationalError

from backtests.services.jobs import Held, JobStopped
from backtests.storage.places import StorageUnavailable
from dgbot.core.errors import DgbotError

logger = logging.getLogger(__name__)


class Next(StrEnum):
    """What is to be done with a job after a slice."""

    NOTHING = "nothing"  # it has ended, or somebody else holds it
    AGAIN = "again"  # queue it again
    LATER = "later"  # after a pause; the watch queues it then


@dataclass(frozen=True)
class Slice:
    """What a slice left. lanes: how often to queue it again, for AGAIN. pause_s: for LATER."""

    next: Next
    pause_s: float = 0.0
    lanes: int = 1


def guarded(held: Held, work: Callable[[], Slice]) -> Slice:
    """Do a slice. A refusal ends the job, what may pass is tried again as often as allowed, and nothing is swallowed."""
    try:
        return work()
    except JobStopped as stop:
        held.stopped(stop.word)
        return Slice(Next.NOTHING)
    except StorageUnavailable as error:
        return _later(held, str(error))
    except DgbotError as error:
        held.fail(str(error))
        return Slice(Next.NOTHING)
    except (OperationalError, InterfaceError) as error:
        logger.warning("%s %s: the database failed: %s", held.model.__name__, held.pk, error)
        return _later(held, f"The database failed: {str(error).splitlines()[0]}.")
    except Exception as error:  # a fault of ours: it is logged whole, and ends among the dead with its reason
        logger.exception("%s %s failed", held.model.__name__, held.pk)
        return _later(held, f"{type(error).__name__}: {error}")


def _later(held: Held, reason: str) -> Slice:
    pause_s = held.try_later(reason)
    return Slice(Next.NOTHING) if pause_s is None else Slice(Next.LATER, pause_s=pause_s)
