"""Channels, how a user is told, and what was told. An address is entered and never shown again."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminPasswordWidget

from dgbot.accounts import audit
from dgbot.base.admin import FactAdmin, FactInline, HouseAdmin
from dgbot.base.badges import state_badge
from dgbot.base.choices import MODES
from dgbot.base.confirm import ask
from dgbot.base.display import age
from dgbot.base.secret_field import is_locked
from dgbot.core.errors import BadInput
from monitoring.notifications import channels, delivery, wording
from monitoring.notifications.kinds import CHOSEN, OPEN_STATES, Level, Medium, State
from monitoring.notifications.message import Reader
from monitoring.notifications.models import Channel, Delivery, Notification, Recipient

LEVEL_TONES = {Level.INFO: "quiet", Level.WARNING: "warn", Level.ERROR: "bad", Level.CRITICAL: "bad"}
STATE_TONES = {State.SENT: "good", State.PENDING: "warn", State.SENDING: "warn", State.REFUSED: "bad", State.EXPIRED: "quiet"}


class ChannelForm(forms.ModelForm):
    """A channel. What is secret is written only: an empty field keeps what is stored."""

    address = forms.CharField(
        label=_("address"),
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text=_("Slack and webhook: its https:// address. E-mail: the mailbox. Another service: its Apprise address. Empty keeps it."),
    )
    secret = forms.CharField(
        label=_("signing secret"),
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text=_("Webhooks only: both sides know it and it signs each message. Empty keeps it."),
    )
    kinds = forms.MultipleChoiceField(label=_("tells of"), choices=CHOSEN, required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget)
    modes = forms.MultipleChoiceField(label=_("of bots in"), choices=MODES, required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget)

    class Meta:
        model = Channel
        fields = ("name", "medium", "address", "secret", "is_enabled", "least_level", "kinds", "modes", "sees_everyone", "per_minute")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stored = {"address": self.instance.address, "secret": self.instance.secret}
        for name in self.stored:
            self.initial[name] = ""

    def clean(self) -> dict[str, Any]:
        """Whether the medium can use the address. Telegram learns its own from the chat."""
        cleaned: dict[str, Any] = super().clean() or {}
        medium, address = cleaned.get("medium") or self.instance.medium, (cleaned.get("address") or "").strip()
        if medium == Medium.TELEGRAM and address:
            self.add_error("address", _("Leave it empty: after saving, send the code you are shown to the bot from your own chat."))
        elif medium != Medium.TELEGRAM and not address and not self.stored["address"]:
            lost = is_locked(self.stored["address"])
            why = _("The stored address cannot be read any more; enter it anew.") if lost else _("An address is needed.")
            self.add_error("address", why)
        elif address:
            try:
                channels.check_address(medium, address)
            except BadInput as error:
                self.add_error("address", str(error))
        if is_locked(self.stored["secret"]) and not cleaned.get("secret"):
            self.add_error("secret", _("The stored secret cannot be read any more; enter it anew."))
        cleaned["address"], cleaned["secret"] = address or self.stored["address"], cleaned.get("secret") or self.stored["secret"]
        return cleaned


@admin.register(Channel)
class ChannelAdmin(HouseAdmin):
    """One way to reach its user. Others' are seen by those who see all, and changed by nobody but their user."""

    form = ChannelForm
    list_display = ("name", "medium", "shown", "works", "waiting", "last", "least_level", "is_enabled")
    list_filter = ("medium", "is_enabled")
    readonly_fields = ("shown", "works", "last_error")
    actions_detail = ("send_test", "make_code")
    fieldsets = (
        (None, {"fields": ("name", "medium", "address", "secret", "is_enabled")}),
        (_("What is told"), {"fields": ("least_level", "kinds", "modes", "sees_everyone", "per_minute")}),
        (_("How it works"), {"fields": ("shown", "works", "last_error")}),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """With how many wait."""
        waiting = Count("deliveries", filter=Q(deliveries__state__in=OPEN_STATES))
        return super().get_queryset(request).select_related("user").annotate(waiting_count=waiting)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One's own: who could change another's address would read the other's messages. obj: a channel, or its key from a button."""
        if obj is None or not super().has_change_permission(request):
            return bool(super().has_change_permission(request))
        channel = obj if isinstance(obj, Channel) else Channel.objects.for_user(request.user).filter(pk=obj).first()
        return channel is None or channel.user_id == request.user.pk  # what is not seen answers 404 by itself

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The medium stays: another one is another channel."""
        return (*self.readonly_fields, "medium") if obj is not None else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save it, look after it, and for Telegram show the code that links the chat."""
        if not change:
            obj.user = request.user
        if {"address", "secret"} & set(form.changed_data):
            obj.shown = channels.shown(obj.medium, obj.address)
        super().save_model(request, obj, form, change)
        told = {name: ["", "changed"] for name in form.changed_data}
        audit.record(actor=request.user, action="change channel" if change else "create channel", target=f"channel:{obj.pk}", diff=told)
        delivery.look_after(obj)
        if obj.medium == Medium.TELEGRAM and not obj.is_linked:
            self._show_code(request, obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """With its entry in the audit log."""
        audit.record(actor=request.user, action="delete channel", target=f"channel:{obj.pk}")
        super().delete_model(request, obj)

    @action(description=_("Send a test message"), permissions=["change"], icon="notifications_active")
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Through the same outbox as everything else; the notifier delivers it."""
        channel = self.get_object(request, object_id)
        if request.method != "POST":
            return ask(self, request, question=_("Send a test message by %(name)s?") % {"name": channel.name})
        if channel.is_linked:
            channels.send_test(channel)
            messages.info(request, _("A test message is on its way; if it does not arrive, this page says why."))
        else:
            messages.error(request, _("%(name)s is not linked to a chat yet.") % {"name": channel.name})
        return redirect(reverse("admin:monitoring_channel_change", args=[object_id]))

    @action(description=_("Link a Telegram chat"), permissions=["change"], icon="link")
    def make_code(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A new one-time code; the chat that sends it takes the place of the one before."""
        channel = self.get_object(request, object_id)
        if request.method != "POST":
            return ask(self, request, question=_("Make a new code to link %(name)s to a Telegram chat?") % {"name": channel.name})
        if channel.medium == Medium.TELEGRAM:
            self._show_code(request, channel)
        else:
            messages.error(request, _("%(name)s is no Telegram channel.") % {"name": channel.name})
        return redirect(reverse("admin:monitoring_channel_change", args=[object_id]))

    def _show_code(self, request: HttpRequest, channel: Channel) -> None:
        code = channels.new_link_code(channel, by=request.user)
        told = _("Send this to your Telegram bot from your own chat within 15 minutes; it is shown only now: /link %(code)s")
        messages.success(request, told % {"code": code})

    @admin.display(description=_("works"))
    def works(self, channel: Any) -> SafeString:
        """Red when somebody must look after it."""
        if not channel.pk or not channel.is_linked:
            return state_badge("warn", _("not linked"))
        if channel.broken_at is not None:
            return state_badge("bad", _("out of order since %(age)s") % {"age": age(timezone.now() - channel.broken_at)})
        if channel.failing_since is not None:
            return state_badge("warn", _("failing since %(age)s") % {"age": age(timezone.now() - channel.failing_since)})
        return state_badge("good", _("yes"))

    @admin.display(description=_("waiting"), ordering="waiting_count")
    def waiting(self, channel: Any) -> int:
        """Messages that have not been sent yet."""
        count: int = channel.waiting_count
        return count

    @admin.display(description=_("last sent"), ordering="last_sent_at")
    def last(self, channel: Channel) -> str:
        """How long ago."""
        return "–" if channel.last_sent_at is None else age(timezone.now() - channel.last_sent_at)


@admin.register(Recipient)
class RecipientAdmin(HouseAdmin):
    """How the user wants to be told, whatever the channel."""

    list_display = ("user", "language", "time_zone", "quiet_from", "quiet_until", "quiet_levels", "wants_report")
    fields = ("language", "time_zone", ("quiet_from", "quiet_until"), "quiet_levels", "wants_report")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """One for each user."""
        return super().has_add_permission(request) and not Recipient.objects.filter(user=request.user.pk).exists()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One's own."""
        return super().has_change_permission(request, obj) and (obj is None or obj.user_id == request.user.pk)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Without one everything is at its default, which it may as well say."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The user's own."""
        if not change:
            obj.user = request.user
        super().save_model(request, obj, form, change)


class DeliveryInline(FactInline):
    """Where it went."""

    model = Delivery
    fields = ("channel", "how", "attempts", "sent_at", "not_before", "error")
    readonly_fields = fields
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> Any:
        """By channels the reader may see."""
        return super().get_queryset(request).filter(channel__in=Channel.objects.for_user(request.user)).select_related("channel")

    @admin.display(description=_("state"))
    def how(self, row: Delivery) -> SafeString:
        """Coloured."""
        return state_badge(STATE_TONES[State(row.state)], row.get_state_display())


@admin.register(Notification)
class NotificationAdmin(FactAdmin):
    """What was told, in the words of the page's language."""

    list_display = ("created_at", "how", "kind", "says", "sent", "open")
    list_filter = ("kind", "level", "created_at")
    ordering = ("-id",)
    inlines = (DeliveryInline,)
    readonly_fields = ("whole",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """With how many were sent and how many wait."""
        rows = super().get_queryset(request)
        return rows.annotate(
            sent_count=Count("deliveries", filter=Q(deliveries__state=State.SENT)),
            open_count=Count("deliveries", filter=Q(deliveries__state__in=OPEN_STATES)),
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # type: ignore[override]  # a list is a sequence
        """The message, then its columns."""
        return ["whole", "kind", "level", "user", "bot", "mode", "happened_at", "created_at", "topic", "fact"]

    @admin.display(description=_("level"), ordering="level")
    def how(self, row: Notification) -> SafeString:
        """Coloured."""
        return state_badge(LEVEL_TONES[Level(row.level)], row.get_level_display())

    @admin.display(description=_("message"))
    def says(self, row: Notification) -> str:
        """Its title."""
        return wording.message(row, Reader(language=translation.get_language() or "en")).title

    @admin.display(description=_("message"))
    def whole(self, row: Notification) -> str:
        """All of it."""
        message = wording.message(row, Reader(language=translation.get_language() or "en"))
        return "\n".join([message.head, *message.lines])

    @admin.display(description=_("sent"))
    def sent(self, row: Any) -> int:
        """By how many channels."""
        count: int = row.sent_count
        return count

    @admin.display(description=_("waiting"))
    def open(self, row: Any) -> int:
        """For how many channels."""
        count: int = row.open_count
        return count
