"""The websockets of live pages: authenticate, join, deliver. A snapshot first, then numbered events.

Each frame carries `seq`, counted from 1 per connection, and `as_of`. The page may send `{"type": "refresh"}`.
Close codes: 4401 the session has ended · 4403 the rights have changed, connect again · 4404 no such bot for this user ·
4400 too many unreadable frames. Events and snapshots are encoded once for all pages that see the same; only `seq` is a page's own.
"""

import asyncio
import json
import logging
import time
from collections.abc import Coroutine
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.utils.translation import override

from dgbot.accounts import sign_ins
from dgbot.base.querysets import SEES_ALL
from monitoring import bot_page, events, hub, selectors
from trading.models import Bot

ENDED, CHANGED, MISSING, NONSENSE, FAILED = 4401, 4403, 4404, 4400, 1011
NONSENSE_LIMIT = 20
FRAME_LIMIT = 1000  # characters; a page has nothing longer to say
WAITING_LIMIT = 200  # events; a page that is slower gets a snapshot instead

logger = logging.getLogger(__name__)


class DashboardConsumer(AsyncWebsocketConsumer):
    """One open dashboard."""

    channel_layer_alias = "none"  # news comes through the hub, so that a page opens while Redis is down
    recheck_s = 10.0  # session and rights
    refresh_s = 30.0  # a fresh snapshot even when all goes well: news is delivered at most once
    away_s = 5.0  # the same while live updates are away
    refresh_pause_s = 0.5

    async def connect(self) -> None:
        """Refuse strangers at the handshake, join, and start to deliver."""
        self.user = self.scope.get("user")
        if self.user is None or not self.user.is_authenticated:
            await self.close()
            return
        self.sees_all = await self.user.ahas_perm(SEES_ALL)
        self.group = hub.EVERYONE if self.sees_all else hub.group_of(self.user.pk)
        self.seq = self.nonsense = 0
        self.waiting: list[str] = []
        self.is_stale, self.wake = True, asyncio.Event()
        self.wake.set()
        await self.accept()
        self.hub = hub.running()
        self.hub.join(self.group, self)
        self.tasks = [asyncio.create_task(self._guard(work)) for work in (self._deliver(), self._watch(), self._keep_fresh())]

    async def disconnect(self, code: int) -> None:
        """Leave the hub."""
        if hasattr(self, "tasks"):
            self.hub.leave(self.group, self)
            for task in self.tasks:
                task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Understand `refresh`; answer anything else with one error frame each, and part from a page that goes on."""
        if _kind(text_data) == "refresh":
            self.refresh()
            return
        self.nonsense += 1
        if self.nonsense > NONSENSE_LIMIT:
            await self.close(NONSENSE)
            return
        with override(self._language()):
            await self._send(events.error(_('This frame is not understood. Send {"type": "refresh"} for a new snapshot.')))

    def push(self, news: hub.News) -> None:
        """Queue an event; a page that cannot follow gets a snapshot instead."""
        if len(self.waiting) >= WAITING_LIMIT:
            self.refresh()
            return
        self.waiting.append(news.text)
        self.wake.set()

    def refresh(self) -> None:
        """Queue a fresh snapshot."""
        self.is_stale = True
        self.wake.set()

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except OSError:
            return  # the page left while something was being sent
        except RightsChanged:
            await self.close(CHANGED)
        except Bot.DoesNotExist:
            await self.close(MISSING)
        except Exception:
            logger.exception("user=%s dashboard closed: it could not be served", self.user.pk)
            await self.close(FAILED)

    async def _deliver(self) -> None:
        while True:
            await self.wake.wait()
            self.wake.clear()
            if self.is_stale:
                self.is_stale, self.waiting = False, []
                await self._send(events.live(is_live=self.hub.is_live, cause=self.hub.cause))
                await self._send_text(await self.hub.snapshots.take(self._shares_with(), self._snapshot))
                await asyncio.sleep(self.refresh_pause_s if self.is_stale else 0)
            waiting, self.waiting = self.waiting, []
            for text in waiting:
                await self._send_text(text)

    def _shares_with(self) -> Any:
        """Pages with an equal answer see the same snapshot."""
        return self.group

    def _snapshot(self) -> Any:
        return selectors.snapshot(_viewer(self.user.pk, sees_all=self.sees_all))

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self.refresh_s if self.hub.is_live else self.away_s)
            self.refresh()

    async def _watch(self) -> None:
        session_key = self.scope["session"].session_key
        while True:
            await asyncio.sleep(self.recheck_s)
            rights = await sync_to_async(_sees_all)(session_key, self.user.pk)
            if rights is None or rights != self.sees_all:
                await self.close(ENDED if rights is None else CHANGED)
                return

    async def _send(self, frame: Any) -> None:
        await self._send_text(json.dumps(frame))

    async def _send_text(self, encoded: str) -> None:
        """encoded: a JSON object that many pages share; this page's number is put at its end."""
        self.seq += 1
        await self.send(text_data=f'{encoded[:-1]}, "seq": {self.seq}}}')

    def _language(self) -> str:
        name = self.scope.get("cookies", {}).get(settings.LANGUAGE_COOKIE_NAME, "")
        return name if name in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


class BotConsumer(DashboardConsumer):
    """One open page of one bot: that bot's events, and a fresh snapshot when its figures follow from them."""

    refresh_pause_s = 1.0
    soon: asyncio.TimerHandle | None = None
    moves_figures = frozenset(("trade", "cycle", "bot", "order"))  # limits used, next slot and orders are read, not told

    def push(self, news: hub.News) -> None:
        """Only what concerns the bot."""
        if not bot_page.concerns(news.event, bot_pk=self.bot_pk):
            return
        super().push(news)
        if news.event["type"] in self.moves_figures and (self.soon is None or self.soon.when() < asyncio.get_running_loop().time()):
            # A snapshot after what has been pushed, not instead of it.
            self.soon = asyncio.get_running_loop().call_later(self.refresh_pause_s, self.refresh)

    @property
    def bot_pk(self) -> int:
        """Whose page it is."""
        return int(self.scope["url_route"]["kwargs"]["bot_pk"])

    def _shares_with(self) -> Any:
        return self.group, self.bot_pk

    def _snapshot(self) -> Any:
        return bot_page.snapshot(_viewer(self.user.pk, sees_all=self.sees_all), bot_pk=self.bot_pk)


class RightsChanged(Exception):
    """The user sees more or less than when the page was opened."""


def _kind(text: str | None) -> str:
    """The type a page's frame names; empty for whatever cannot be used."""
    if text is None or len(text) > FRAME_LIMIT:
        return ""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(frame.get("type", "")) if isinstance(frame, dict) else ""


def _viewer(user_pk: int, *, sees_all: bool) -> Any:
    """The user, read anew: rights are cached on the object. Raises RightsChanged: what one reading sees is shown to a whole group."""
    user = get_user_model().objects.get(pk=user_pk)
    if user.has_perm(SEES_ALL) != sees_all:
        raise RightsChanged
    return user


def _sees_all(session_key: str | None, user_pk: int) -> bool | None:
    """Whether the session's user still sees all owners; None when session or user have ended."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user_model().objects.filter(pk=user_pk, is_active=True).first()
    if user is None or session.get(SESSION_KEY) != str(user_pk) or BACKEND_SESSION_KEY not in session:
        return None
    if not constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return None
    if sign_ins.has_ended(session, now=time.time()):
        return None
    return user.has_perm(SEES_ALL)
