"""Asks Telegram for messages, one poller at a time: whoever holds the advisory lock. It dies with its session."""

import logging
import threading
from typing import Any

import psycopg2
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from django.utils import translation

from dgbot.base.locks import connect_direct
from monitoring.notifications.models import ChatOffset
from monitoring.notifications.senders import NotDelivered, Unreachable
from monitoring.notifications.senders.telegram import BotApi
from monitoring.notifications.telegram import inbox
from monitoring.notifications.telegram.catalogue import COMMANDS

log = logging.getLogger(__name__)

LOCK_KEY = 0x6467_7467_7264  # any constant nobody else uses
LONG_POLL_S = 25  # Telegram answers at once when there is something
SLACK_S = 10.0
WAIT_S = 3.0  # until a waiting poller asks for the lock again
PAUSE_S = 5.0  # after a failure


class Poller(threading.Thread):
    """A thread of the notifier. A process that ends takes it along; what it had not committed Telegram tells again."""

    def __init__(self) -> None:
        super().__init__(name="telegram", daemon=True)
        self._ending = threading.Event()
        self._lock: Any = None
        self._has_menu = False

    def end(self) -> None:
        """Ask for nothing more."""
        self._ending.set()

    def run(self) -> None:
        """Until told to end; nothing that goes wrong ends it."""
        while not self._ending.is_set():
            try:
                close_old_connections()
                pause_s = self.step()
            except Unreachable as error:
                log.warning("Telegram gives no messages: %s", error)
                pause_s = error.retry_after_s or PAUSE_S
            except NotDelivered as error:
                log.error("Telegram gives no messages: %s", error)
                pause_s = 12 * PAUSE_S
            except (OperationalError, InterfaceError, psycopg2.Error) as error:
                log.warning("the Telegram poller lost the database: %s", error)
                connections.close_all()
                self._let_go()
                pause_s = PAUSE_S
            except Exception:
                log.exception("the Telegram poller failed")
                pause_s = PAUSE_S
            self._ending.wait(pause_s)
        self._let_go()

    def step(self, *, long_poll_s: int = LONG_POLL_S) -> float:
        """Ask once and take what came. Returns the seconds to wait before the next time."""
        if not settings.TELEGRAM_BOT_TOKEN:
            return 60.0
        if not self._holds_lock():
            return WAIT_S
        api = BotApi()
        self._show_menu(api)
        known = ChatOffset.objects.filter(bot=api.number).values_list("update_id", flat=True).first() or 0
        updates = api.call("getUpdates", read_s=long_poll_s + SLACK_S, offset=known + 1, timeout=long_poll_s, allowed_updates=["message"])
        for update in updates:
            inbox.take(update, bot=api.number)
        return 0.0

    def _show_menu(self, api: BotApi) -> None:
        """The list of commands that Telegram offers while typing, in both languages."""
        if self._has_menu:
            return
        for code in ("", "ko"):
            with translation.override(code or "en"):
                commands = [{"command": one.name, "description": str(one.says)} for one in COMMANDS.values()]
            api.call("setMyCommands", commands=commands, language_code=code)
        self._has_menu = True

    def _holds_lock(self) -> bool:
        if self._lock is None:
            self._lock = connect_direct("telegram poller lock")
        with self._lock.cursor() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted)"
                " OR pg_try_advisory_lock(%s)",
                [LOCK_KEY],
            )
            return bool(cursor.fetchone()[0])

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
