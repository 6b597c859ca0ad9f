"""The page of one bot, the guided creation of one, and what stands between it and its first trade."""

import logging

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _later
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from kombu.exceptions import OperationalError

from backtests import tasks
from backtests.services import syncs
from dgbot.accounts import second_factor
from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.interval import Interval
from dgbot.core.types import Mode
from monitoring import bot_page, chart, creation
from monitoring.words import WORDS
from trading import strategy_fields
from trading.models import Bot
from trading.services import new_bots, preflight, promotion
from trading.services.candle_sources import source_for

ADD, OPERATE, DOWNLOAD = "trading.add_bot", "trading.change_bot", "backtests.add_candlesync"
STEPS = (
    ("where", _later("Account"), ("home", "paper_cash", "name")),
    ("what", _later("Market"), ("symbol", "interval")),
    ("how", _later("Strategy"), ("strategy",)),
    ("who", _later("Analyst"), ("analyst", "analyst_mode")),
    ("when", _later("Schedule and money"), ("schedule", "trade_amount", "allocation", "risk_profile")),
)

logger = logging.getLogger(__name__)


@require_GET
@never_cache
@ensure_csrf_cookie
def page(request: HttpRequest, bot_pk: int) -> HttpResponse:
    """One bot, live: complete at its first byte; the script keeps it moving."""
    bot = _visible(request, bot_pk)
    viewer = {"may_operate": request.user.has_perm(OPERATE), "language": get_language(), "bot": bot.pk}
    context = {
        "bot": bot,
        "snapshot": bot_page.snapshot(request.user, bot_pk=bot.pk),
        "words": WORDS,
        "viewer": viewer,
        "preflight": preflight.checks(bot) if bot.mode != "replay" else (),
    }
    return render(request, "monitoring/bot.html", context)


@require_GET
@never_cache
def snapshot(request: HttpRequest, bot_pk: int) -> JsonResponse:
    """What the page shows, for a page without a websocket."""
    _visible(request, bot_pk)
    return JsonResponse(dict(bot_page.snapshot(request.user, bot_pk=bot_pk)))


@require_GET
@never_cache
def candles(request: HttpRequest, bot_pk: int) -> JsonResponse:
    """The chart."""
    return JsonResponse(dict(chart.chart_of(_visible(request, bot_pk))))


@require_GET
@never_cache
def checks(request: HttpRequest, bot_pk: int) -> HttpResponse:
    """The preflight of a bot, to be put into its page."""
    bot = _visible(request, bot_pk)
    return _preflight(request, bot)


@require_http_methods(["GET", "POST"])
@never_cache
@permission_required(ADD, raise_exception=True)
def new(request: HttpRequest) -> HttpResponse:
    """Guided creation. `do`: create; anything else only looks the draft over."""
    strategy = strategy_fields.asked_for(request, None)
    make = creation.form_for(strategy)
    if request.method == "GET":
        form = make(user=request.user, initial=creation.begins_with(request.user, strategy=strategy))
        return _wizard(request, form)
    form = make(request.POST, user=request.user)
    if form.is_valid() and request.POST.get("do") == "create":
        try:
            with transaction.atomic():
                bot = form.create()
        except DgbotError as error:
            creation.refusal(error, form)
            return _wizard(request, form)
        messages.success(request, _("%(name)s was created. It stands still until you start it.") % {"name": bot.name})
        return redirect("bot_page", bot_pk=bot.pk)
    return _wizard(request, form)


@require_POST
@never_cache
@permission_required(ADD, raise_exception=True)
def draft_checks(request: HttpRequest) -> HttpResponse:
    """The preflight of a form that is being filled in."""
    form = creation.form_for(strategy_fields.asked_for(request, None))(request.POST, user=request.user)
    form.is_valid()
    return _preflight(request, _draft(form))


@require_POST
@permission_required(DOWNLOAD, raise_exception=True)
def download(request: HttpRequest) -> HttpResponse:
    """Ask for the two years of candles the quick filter needs, and go back to where the button was."""
    exchange, symbol = request.POST.get("exchange", ""), request.POST.get("symbol", "")
    try:
        interval = Interval(request.POST.get("interval", ""))
        now = source_for(exchange).clock.now()
        since = preflight.first_candle_wanted(interval=interval, now=now)
        with transaction.atomic():
            sync, _is_new = syncs.request(exchange=exchange, symbol=symbol, interval=interval, since=since, until=now, by=request.user)
            transaction.on_commit(lambda: _hand_over(sync.pk))
    except (DgbotError, ValueError) as error:
        return JsonResponse({"message": str(error)}, status=409)
    return JsonResponse({"message": _("The download of %(symbol)s was asked for.") % {"symbol": symbol}, "sync": sync.pk})


@require_POST
@permission_required(ADD, raise_exception=True)
def clone(request: HttpRequest, bot_pk: int) -> HttpResponse:
    """The same bot once more, standing still."""
    bot = _visible(request, bot_pk)
    try:
        made = new_bots.clone(bot_pk=bot.pk, by=request.user)
    except DgbotError as error:
        messages.error(request, str(error))
        return redirect("bot_page", bot_pk=bot.pk)
    told = _("%(name)s is a copy of %(first)s. It stands still until you start it.")
    messages.success(request, told % {"name": made.name, "first": bot.name})
    return redirect("bot_page", bot_pk=made.pk)


@require_http_methods(["GET", "POST"])
@never_cache
@permission_required(ADD, raise_exception=True)
def promote(request: HttpRequest, bot_pk: int) -> HttpResponse:
    """From paper to live in two steps: the checklist, then a reason and the bot's name typed. Each step asks everything anew."""
    bot = _visible(request, bot_pk)
    accounts = promotion.accounts_for(bot, user=request.user)
    wanted = request.POST.get("account") or request.GET.get("account") or ""
    account = next((row for row in accounts if str(row.pk) == wanted), accounts[0] if accounts else None)
    name = request.POST.get("name") or f"{bot.name[: new_bots.NAME_LIMIT - 5]} live"
    context = {"bot": bot, "accounts": accounts, "account": account, "name": name}
    if bot.mode != Mode.PAPER or account is None:
        return render(request, "monitoring/promote.html", context)
    proven = second_factor.is_proven(request)
    if request.POST.get("step") == "promote":
        try:
            if request.POST.get("typed", "") != bot.name:
                raise BadInput(_("Type the name of the bot, %(name)s, to confirm.") % {"name": bot.name})
            reason = request.POST.get("reason", "")
            made = promotion.promote(bot, account=account, name=name, by=request.user, reason=reason, second_factor=proven)
        except DgbotError as error:
            context["error"] = str(error)
        else:
            messages.success(request, _("%(name)s was made for real money. It stands still until you start it.") % {"name": made.name})
            return redirect("bot_page", bot_pk=made.pk)
    found = promotion.checklist(bot, account=account, second_factor=proven)
    context |= {"preflight": found, "is_blocked": bool(preflight.blocking(found))}
    context["is_second"] = request.POST.get("step") in ("second", "promote")
    return render(request, "monitoring/promote.html", context)


def _visible(request: HttpRequest, bot_pk: int) -> Bot:
    try:
        return bot_page.bot_of(request.user, bot_pk)
    except Bot.DoesNotExist:
        raise Http404 from None


def _wizard(request: HttpRequest, form: creation.NewBotForm) -> HttpResponse:
    steps = [{"code": code, "title": title, "fields": [form[name] for name in names]} for code, title, names in STEPS]
    exchanges = {row.exchange for row in form.accounts.values()} | {"upbit"}
    draft = _draft(form) if form.is_bound else None
    context = {
        "form": form,
        "steps": steps,
        "strategy": form.chosen,
        "parameters": [form[name] for name in strategy_fields.names(form.chosen)],
        "symbols": creation.symbols_offered(exchanges),
        "preflight": () if draft is None else preflight.checks(draft),
        "bot": draft,
    }
    return render(request, "monitoring/new_bot.html", context)


def _draft(form: creation.NewBotForm) -> Bot | None:
    """The bot as far as it is filled in; None while there is no account."""
    draft: Bot = form.instance
    if getattr(draft, "account", None) is None:
        return None
    draft.trade_amount = draft.trade_amount or Bot._meta.get_field("trade_amount").get_default()
    return draft


def _preflight(request: HttpRequest, bot: Bot | None) -> HttpResponse:
    found = () if bot is None else preflight.checks(bot)
    return render(request, "monitoring/preflight.html", {"preflight": found, "bot": bot})


def _hand_over(sync_pk: int) -> None:
    try:
        tasks.sync_series.apply_async((sync_pk,), retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("download %s waits for the daily job: the task queue cannot be reached: %s", sync_pk, error)
