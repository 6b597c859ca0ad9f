"""Bots: what each should do, what it does, and the buttons that steer it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from dgbot.accounts import audit, second_factor
from dgbot.base.admin import HouseAdmin
from dgbot.base.badges import mode_badge, short, state_badge
from dgbot.base.confirm import ask
from dgbot.base.display import amount
from dgbot.base.reasoned import judged_by
from dgbot.core.errors import BadInput, DgbotError
from dgbot.core.types import Mode
from trading import steering, strategy_fields, tones
from trading.admin.bot_form import BotForm, form_for
from trading.admin.by_hand import ActsByHand
from trading.admin.limit_bars import limit_bars
from trading.admin.protection import protection_of
from trading.admin.what_if import ShowsWhatIf
from trading.models import ACTIVE, Bot, BotStatus, Cycle, Position
from trading.selectors import effective
from trading.services import bot_changes, config, what_if

FIXED = ("account", "symbol")
KEEP, CLOSE = "keep", "close"
STOP_CHOICES = (
    (KEEP, _("Keep the position: its stop and target stay at work.")),
    (CLOSE, _("Close the position: this bot's own is sold, nothing else of the account.")),
)
PLACES = (
    ("cycle", _("cycles")),
    ("decision", _("decisions")),
    ("order", _("orders")),
    ("trade", _("trades")),
    ("position", _("positions")),
)


@admin.register(Bot)
class BotAdmin(ShowsWhatIf, ActsByHand, HouseAdmin):
    """Start, stop, run now; settings of one bot."""

    form = BotForm
    list_display = ("name", "mode_shown", "state", "symbol", "strategy", "last_cycle", "account", "user")
    list_filter = ("status", "mode", "is_hidden", "strategy")
    list_select_related = ("account", "user")
    search_fields = ("name", "symbol__startswith")
    ordering = ("name", "id")
    actions = ("start_selected", "stop_selected", "pause_selected", "resume_selected", "run_selected")
    actions_detail = ("start_bot", "stop_bot", "pause_bot", "resume_bot", "run_bot", "adopt")
    autocomplete_fields = ("account",)
    readonly_fields = ("mode_shown", "state", "status_reason", "last_cycle", "links", "rules_now", "limits_used", "looks", "protected")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Bot]:
        """With each bot's newest cycle, in the same query."""
        newest = (
            Cycle.objects.filter(bot=OuterRef("pk"))
            .order_by("-slot")
            .values(json=JSONObject(pk="pk", slot="slot", status="status", outcome="outcome"))
        )
        return super().get_queryset(request).annotate(newest_cycle=Subquery(newest[:1]))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """In the order of thought: what it is, when it runs, with how much, who decides."""
        told = ("mode_shown", "state", "status_reason", "last_cycle", "protected", "links") if obj else ()
        held = ("rules_now", "limits_used") if obj else ()
        reason = ("change_reason",) if obj and self.has_change_permission(request, obj) else ()
        watched = ("looks",) if obj and obj.tick_seconds else ()
        return (
            (None, {"fields": ("name", "account", "symbol", *told)}),
            (_("Strategy"), {"fields": ("strategy", "interval", "schedule", "tick_seconds", *watched, "anchor_at")}),
            (_("Parameters"), self._parameters(request, obj)),
            (
                _("Money and limits"),
                {"fields": ("allocation", "trade_amount", "risk_profile", *held, *reason)},
            ),
            (_("Analyst"), {"fields": ("analyst", "analyst_mode")}),
            (_("Display"), {"fields": ("is_hidden",)}),
        )

    def _parameters(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """The chosen strategy's own fields; who may only look sees what is stored."""
        if obj and not self.has_change_permission(request, obj):
            return {"fields": ("parameters",)}
        strategy = strategy_fields.asked_for(request, obj)
        return {"fields": ("shown_strategy", *strategy_fields.names(strategy)), "description": gettext(strategy.description)}

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A form with the fields of the chosen strategy."""
        form = super().get_form(request, obj, change=change, form=form_for(strategy_fields.asked_for(request, obj)), **kwargs)

        def judge(bot: Bot, cleaned: Mapping[str, Any]) -> None:
            bot_changes.check(
                bot,
                reason=cleaned.get("change_reason", ""),
                is_real=_is_real(bot),
                second_factor=lambda: second_factor.is_proven(request),
            )

        return judged_by(form, judge)

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        """A new bot begins with the strategy whose fields are shown."""
        return {"strategy": strategy_fields.asked_for(request, None).name, **super().get_changeform_initial_data(request)}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Account and symbol are chosen once."""
        return (*self.readonly_fields, *(FIXED if obj else ()))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A bot is stopped and hidden, never deleted: its trades name it."""
        return False

    def what_if(self, request: HttpRequest, row: Bot, form: Any) -> what_if.Told:
        """The last 30 days of the bot as the form has it."""
        return what_if.of_bot(row)

    def save_model(self, request: HttpRequest, obj: Bot, form: Any, change: bool) -> None:
        """Owner and mode follow the account; every change is kept in the audit log."""
        reason = form.cleaned_data.get("change_reason", "")
        if not change:
            obj.user_id, obj.mode = obj.account.user_id, obj.account.mode
        before = Bot.objects.select_related("risk_profile").get(pk=obj.pk) if change else None
        super().save_model(request, obj, form, change)
        if before is not None:
            bot_changes.keep(before, obj, by=request.user, reason=reason)
        diff = {name: [str(form.initial.get(name, "")), str(form.cleaned_data[name])] for name in form.changed_data}
        audit.record(actor=request.user, action="change bot" if change else "create bot", target=f"bot:{obj.pk}", reason=reason, diff=diff)

    @admin.display(description=_("mode"), ordering="mode")
    def mode_shown(self, bot: Bot) -> SafeString:
        """Whether the money is real."""
        return mode_badge(bot.mode, is_demo=bot.account.is_demo)

    @admin.display(description=_("state"), ordering="status")
    def state(self, bot: Bot) -> SafeString:
        """What is, and what is wanted where that differs."""
        shown = state_badge(tones.BOT[BotStatus(bot.status)], bot.get_status_display())
        if bot.is_running == (bot.status in ACTIVE):
            return shown
        return format_html("{} <small>{}</small>", shown, _("wanted: running") if bot.is_running else _("wanted: stopped"))

    @admin.display(description=_("last cycle"))
    def last_cycle(self, bot: Any) -> SafeString | str:
        """When and how it ended."""
        cycle = getattr(bot, "newest_cycle", None)
        if not cycle:
            return str(_("none yet"))
        url = reverse("admin:trading_cycle_change", args=[cycle["pk"]])
        slot = str(cycle["slot"]).replace("T", " ")[:16]
        return format_html('<a href="{}">{} UTC</a> <small>{}</small>', url, slot, short(cycle["outcome"] or cycle["status"], limit=60))

    @admin.display(description=_("protection"))
    def protected(self, bot: Bot) -> SafeString | str:
        """Of what it holds now."""
        held = Position.objects.open().filter(bot=bot, amount__gt=0).first()
        return gettext("nothing is held") if held is None else protection_of(held)

    @admin.display(description=_("what rules now"))
    def rules_now(self, bot: Bot) -> SafeString:
        """Each effective value, where it comes from, and the other voices."""
        try:
            settings = config.current()
        except BadInput as error:
            return state_badge("bad", str(error))
        return format_html(
            '<table class="dg-effective">{}</table>',
            format_html_join(
                "",
                "<tr><th>{}</th><td><b>{}</b></td><td>{}</td><td><small>{}</small></td></tr>",
                (
                    (row.name, row.value, row.origin, " · ".join(f"{origin}: {value}" for origin, value in row.voices))
                    for row in effective.for_bot(bot, settings=settings)
                ),
            ),
        )

    @admin.display(description=_("looks of the last two hours"))
    def looks(self, bot: Bot) -> SafeString | str:
        """How many, and how punctual."""
        rows = bot.tick_counts.order_by("-hour")[:2]
        told = _("%(hour)s UTC: %(looks)s looks, %(late)s late, worst %(worst)s ms, %(left_out)s left out")
        return format_html_join(
            "",
            "<div>{}</div>",
            (
                (
                    told
                    % {
                        "hour": f"{row.hour:%H:00}",
                        "looks": row.looks,
                        "late": row.late,
                        "worst": row.worst_lateness_ms,
                        "left_out": row.left_out,
                    },
                )
                for row in rows
            ),
        ) or gettext("none yet")

    @admin.display(description=_("limits and how much is used"))
    def limits_used(self, bot: Bot) -> SafeString | str:
        """A bar for each."""
        return limit_bars(bot)

    @admin.display(description=_("see"))
    def links(self, bot: Bot) -> SafeString:
        """Its rows elsewhere."""
        query = urlencode({"bot__id__exact": bot.pk})
        return format_html_join(
            " · ", '<a href="{}?{}">{}</a>', ((reverse(f"admin:trading_{name}_changelist"), query, label) for name, label in PLACES)
        )

    @action(description=_("Start selected bots"), permissions=["change"])
    def start_selected(self, request: HttpRequest, queryset: QuerySet[Bot]) -> HttpResponse | None:
        """Asks first where money is real."""
        return self._steer_selected(request, queryset, act=_start(request), name="start_selected", asks=True)

    @action(description=_("Stop selected bots"), permissions=["change"])
    def stop_selected(self, request: HttpRequest, queryset: QuerySet[Bot]) -> HttpResponse | None:
        """Asks what becomes of their positions, where there are any."""
        bots = list(queryset)
        holding = [bot for bot in bots if _holds(bot)]
        if holding and "confirmed" not in request.POST:
            keep = [("action", "stop_selected"), *((ACTION_CHECKBOX_NAME, bot.pk) for bot in bots)]
            facts = [_describe(bot) for bot in bots]
            return ask(self, request, question=_("Stop these bots? Some hold a position."), facts=facts, keep=keep, choices=STOP_CHOICES)
        act = steering.stop_and_close if request.POST.get("choice") == CLOSE else steering.stop
        return self._steer_selected(request, queryset, act=act, name="stop_selected", asks=False)

    @action(description=_("Pause entries of selected bots"), permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Bot]) -> HttpResponse | None:
        """At once: opening nothing never costs money."""
        return self._steer_selected(request, queryset, act=steering.pause, name="pause_selected", asks=False)

    @action(description=_("Resume entries of selected bots"), permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Bot]) -> HttpResponse | None:
        """Asks first where money is real."""
        return self._steer_selected(request, queryset, act=steering.resume, name="resume_selected", asks=True)

    @action(description=_("Run a cycle of selected bots now"), permissions=["change"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[Bot]) -> HttpResponse | None:
        """Asks first where money is real."""
        return self._steer_selected(request, queryset, act=steering.run_now, name="run_selected", asks=True)

    @action(description=_("Start"), permissions=["change"], icon="play_arrow")
    def start_bot(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """After a question."""
        return self._steer_one(request, object_id, act=_start(request), question=_("Start %(name)s?"), is_start=True)

    @action(description=_("Stop"), permissions=["change"], icon="stop")
    def stop_bot(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """After a question: its position is kept or closed."""
        act = steering.stop_and_close if request.POST.get("choice") == CLOSE else steering.stop
        return self._steer_one(request, object_id, act=act, question=_("Stop %(name)s?"), choices=STOP_CHOICES)

    @action(description=_("Pause entries"), permissions=["change"], icon="pause")
    def pause_bot(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """After a question."""
        return self._steer_one(request, object_id, act=steering.pause, question=_("Pause the entries of %(name)s? Exits go on."))

    @action(description=_("Resume entries"), permissions=["change"], icon="resume")
    def resume_bot(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """After a question."""
        return self._steer_one(request, object_id, act=steering.resume, question=_("Resume the entries of %(name)s?"))

    @action(description=_("Run now"), permissions=["change"], icon="bolt")
    def run_bot(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """After a question."""
        return self._steer_one(request, object_id, act=steering.run_now, question=_("Run a cycle of %(name)s now?"))

    @action(description=_("Adopt a holding"), permissions=["operate"], icon="input")
    def adopt(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make what the account holds already this bot's position."""
        return self.act(
            request,
            object_id,
            question=_("Make a holding of the account the position of %(row)s?"),
            facts=lambda bot: [_describe(bot), _("From then on its stop and target are the bot's; nothing is bought now.")],
            inputs=lambda bot: [("amount", _("amount"), ""), ("price", _("what it cost, each; empty: today's price"), "")],
            deed=lambda pk, **given: steering.adopt(bot_pk=pk, **given),
        )

    def _steer_one(
        self, request: HttpRequest, object_id: str, *, act: Callable[..., str], question: Any, choices: Any = (), is_start: bool = False
    ) -> HttpResponse:
        bot = self.get_object(request, object_id)
        if request.method != "POST":
            return ask(
                self,
                request,
                question=question % {"name": bot.name},
                facts=[_describe(bot), *_told(bot)],
                choices=choices if _holds(bot) else (),
                asks_code=is_start and _is_real(bot) and not second_factor.is_proven(request),
            )
        try:
            messages.success(request, act(bot_pk=bot.pk, by=request.user))
        except DgbotError as error:
            messages.error(request, str(error))
        return redirect(reverse("admin:trading_bot_change", args=[object_id]))

    def _steer_selected(
        self, request: HttpRequest, queryset: QuerySet[Bot], *, act: Callable[..., str], name: str, asks: bool
    ) -> HttpResponse | None:
        bots = list(queryset)
        live = [bot for bot in bots if _is_real(bot)]
        if asks and live and "confirmed" not in request.POST:
            keep = [("action", name), *((ACTION_CHECKBOX_NAME, bot.pk) for bot in bots)]
            asks_code = name == "start_selected" and not second_factor.is_proven(request)
            facts, question = [_describe(bot) for bot in bots], _("Real money: do this for these bots?")
            return ask(self, request, question=question, facts=facts, keep=keep, asks_code=asks_code)
        done = sum(self._try(request, act, bot) for bot in bots)
        told = ngettext("%(done)d of %(all)d bot: done.", "%(done)d of %(all)d bots: done.", len(bots)) % {"done": done, "all": len(bots)}
        self.message_user(request, told, messages.SUCCESS if done == len(bots) else messages.WARNING)
        return None

    def _try(self, request: HttpRequest, act: Callable[..., str], bot: Bot) -> bool:
        try:
            act(bot_pk=bot.pk, by=request.user)
        except DgbotError as error:
            self.message_user(request, str(error), messages.ERROR)
            return False
        return True


def _start(request: HttpRequest) -> Callable[..., str]:
    """Starting as whoever asks: the second factor is judged before the start's transaction, which would forget a wrong code."""
    is_proven = request.method == "POST" and second_factor.is_proven(request)
    return partial(steering.start, second_factor=lambda: is_proven)


def _is_real(bot: Bot) -> bool:
    return bot.mode == Mode.LIVE and not bot.account.is_demo


def _holds(bot: Bot) -> bool:
    return Position.objects.open().filter(bot=bot, amount__gt=0).exists()


def _told(bot: Bot) -> list[str]:
    """What it holds, in one sentence."""
    held = Position.objects.open().filter(bot=bot, amount__gt=0).first()
    return [] if held is None else [_("It holds %(amount)s of %(symbol)s.") % {"amount": amount(held.amount), "symbol": held.symbol}]


def _describe(bot: Bot) -> SafeString:
    return format_html("{} {} · {} · {}", mode_badge(bot.mode, is_demo=bot.account.is_demo), bot.name, bot.symbol, bot.account)
