"""Exchange keys in the admin: written, never shown; what is known of one; the button that has it checked."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from dgbot.base.badges import state_badge
from dgbot.base.display import age
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from trading.exchanges.keys import ApiKey
from trading.models import Command, CommandKind, CommandState, Credential, ExchangeAccount, KeyStatus
from trading.models.accounts import ExchangeName
from trading.services import credentials
from trading.services.venue_store import DatabaseVenueStore
from trading.services.venues import account_key

SOON = timedelta(days=30)  # an expiry nearer than this is shown in warning colours
TONES = {
    KeyStatus.UNVERIFIED: "warn",
    KeyStatus.VERIFIED: "good",
    KeyStatus.DOUBTED: "bad",
    KeyStatus.REFUSED: "bad",
    KeyStatus.EXPIRED: "bad",
}
PARTS = ("access_key", "secret_key", "passphrase")


class SecretField(forms.CharField):
    """A part of a key: typed in, sent once, never sent back, not even after a mistake elsewhere in the form."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password", "spellcheck": "false"}, render_value=False)
        super().__init__(required=False, max_length=500, strip=True, widget=widget, **options)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Left empty means: keep the key."""
        return bool(data)


class AccountForm(forms.ModelForm):
    """An account, with its key where money is real and its first money where it is pretended."""

    access_key = SecretField(label=_("access key"), help_text=_("Live accounts only. Leave empty to keep the key."))
    secret_key = SecretField(label=_("secret key"))
    passphrase = SecretField(label=_("passphrase"), help_text=_("Bitget only."))
    paper_cash = forms.DecimalField(
        label=_("first money"),
        required=False,
        min_value=Decimal(1),
        max_value=Decimal(10) ** 15,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Paper accounts only, in the quote currency: what it begins with."),
    )

    has_second_factor: Callable[[], bool] = staticmethod(lambda: False)  # whether it has just been proven; the admin says

    class Meta:
        model = ExchangeAccount
        fields = ("name", "user", "exchange", "mode", "is_demo", "quote_currency", "simulated_market", "is_hidden")

    @sensitive_variables("cleaned")
    def clean(self) -> dict[str, Any]:
        """A key fits its account, and comes whole."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        mode = cleaned.get("mode") or self.instance.mode
        exchange = cleaned.get("exchange") or self.instance.exchange
        given = [name for name in PARTS if cleaned.get(name)]
        if given and mode != Mode.LIVE:
            self.add_error("access_key", _("Only accounts in the mode live have a key; pretended money needs none."))
        wanted = PARTS if exchange == ExchangeName.BITGET else PARTS[:2]
        for name in wanted if given else ():
            if name not in given:
                self.add_error(name, _("Enter every part of the key."))
        is_demo = cleaned.get("is_demo", self.instance.is_demo)
        if given and mode == Mode.LIVE and not is_demo and not self.has_second_factor():
            told = _("The key of an account with real money needs your second factor.")
            self.add_error(
                "access_key", format_html('{} <a href="{}" target="_blank">{}</a>', told, reverse("account_verify"), _("Verify it"))
            )
        if not self.instance.pk and mode == Mode.PAPER and not cleaned.get("paper_cash"):
            self.add_error("paper_cash", _("Say how much pretended money the account begins with."))
        return cleaned

    @sensitive_variables("key")
    def keep_key(self, *, by: Any) -> Credential | None:
        """Seal the key that was entered; None when the fields were left empty. Raises BadInput."""
        if not self.cleaned_data.get("access_key"):
            return None
        key = ApiKey(*(self.cleaned_data.get(name) or "" for name in PARTS))
        return credentials.keep(key, account=self.instance, by=by)

    def open_paper(self) -> None:
        """Deposit the first money of a new paper account, once the account is committed."""
        account, cash = self.instance, self.cleaned_data.get("paper_cash")
        if account.mode == Mode.PAPER and cash:
            store = DatabaseVenueStore(account_key(account))
            transaction.on_commit(lambda: store.open(asset=account.quote_currency, amount=cash))

    def clean_passphrase(self) -> str:
        """Refused before anything is saved when nothing could seal it."""
        if any(self.data.get(self.add_prefix(name)) for name in PARTS):
            try:
                credentials.public_key()
            except BadInput as problem:
                raise forms.ValidationError(str(problem)) from None
        return str(self.cleaned_data["passphrase"])


def describe(account: ExchangeAccount) -> SafeString:
    """All that is known of the account's key: four characters, verdict, rights, expiry, and what the last check said."""
    credential = Credential.objects.filter(account=account).first()
    if credential is None:
        return format_html("{}", _("none"))
    lines = [
        format_html("{} {}", credential.shown, state_badge(TONES[KeyStatus(credential.status)], credential.get_status_display())),
        *([credential.cause] if credential.cause else []),
        _rights(credential),
        _expiry(credential),
        *_last_check(account, credential),
    ]
    return format_html_join("", "<div>{}</div>", ((line,) for line in lines))


def _rights(credential: Credential) -> SafeString:
    if credential.checked_at is None:
        return format_html("{}", _("Its rights are unknown until it is checked."))
    told = (
        (_("read"), credential.can_read, True),
        (_("trade"), credential.can_trade, True),
        (_("withdraw"), credential.can_withdraw, False),
        (_("bound to addresses"), credential.is_ip_locked, True),
    )
    return format_html_join(" ", "{}", ((_right(label, value, wanted=wanted),) for label, value, wanted in told))


def _right(label: Any, value: bool | None, *, wanted: bool) -> SafeString:
    word = _("unknown") if value is None else _("yes") if value else _("no")
    return state_badge("warn" if value is None else "good" if value == wanted else "bad", f"{label}: {word}")


def _expiry(credential: Credential) -> SafeString:
    if credential.expires_at is None:
        return format_html("{}", _("Its expiry is unknown."))
    left = credential.expires_at - timezone.now()
    days = max(0, left.days)
    text = ngettext("expires in %(days)d day, on %(date)s", "expires in %(days)d days, on %(date)s", days)
    return state_badge(
        "bad" if left <= timedelta(0) else "warn" if left < SOON else "good", text % {"days": days, "date": credential.expires_at.date()}
    )


def _last_check(account: ExchangeAccount, credential: Credential) -> list[Any]:
    told: list[Any] = (
        [] if credential.checked_at is None else [_("checked %(age)s ago") % {"age": age(timezone.now() - credential.checked_at)}]
    )
    command = Command.objects.filter(account=account, kind=CommandKind.CHECK_KEY).order_by("-pk").first()
    if command is not None and command.state in (CommandState.PENDING, CommandState.TAKEN):
        told.append(_("The gateway has been asked; reload in a moment."))
    if command is not None and command.state == CommandState.FAILED:
        told.append(command.error_message)
    return told
