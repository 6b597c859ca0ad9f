"""What lets programs in: logins that carry JWTs, personal tokens, and the answers kept for repeated writes."""

from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import ClockTimestamp
from dgbot.base.querysets import OwnedQuerySet

if TYPE_CHECKING:
    from dgbot.accounts.models import User

LONGEST_TOKEN = timedelta(days=366)
DIGEST = r"^[0-9a-f]{64}$"


class Scope(models.TextChoices):
    """What a token may be used for; its user's permissions bound it further. None includes another."""

    READ = "read", _("read")
    TRADE = "trade", _("steer bots, orders and positions")
    ADMIN = "admin", _("change settings, limits, schedules and tokens")


class ApiLogin(models.Model):
    """One login of a program: its JWTs live and die with this row. Refresh tokens rotate; a used one that comes back ends it."""

    sid = models.UUIDField(_("id in its tokens"), unique=True, editable=False)
    user: "models.ForeignKey[User]" = models.ForeignKey(
        "accounts.User", models.CASCADE, editable=False, related_name="api_logins", verbose_name=_("user")
    )
    refresh_digest = models.CharField(_("SHA-256 of its refresh token's id"), max_length=64, editable=False)
    password_stamp = models.CharField(
        _("password stamp"), max_length=64, editable=False, help_text=_("Another after a password change: then the login has ended.")
    )
    is_verified = models.BooleanField(_("second factor proven"), default=False, editable=False)
    address = models.GenericIPAddressField(_("address"), null=True, editable=False)
    agent = models.CharField(_("program"), max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(_("logged in at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    refreshed_at = models.DateTimeField(_("refreshed at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    expires_at = models.DateTimeField(_("ends at"), editable=False, help_text=_("Machine time; each refresh moves it on."))
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False, help_text=_("Machine time."))
    revoked_reason = models.CharField(_("why revoked"), max_length=100, blank=True, editable=False)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "api_logins"
        verbose_name = _("login of a program")
        verbose_name_plural = _("logins of programs")
        constraints = [
            models.CheckConstraint(condition=Q(refresh_digest__regex=DIGEST), name="api_login_digest_is_hex"),
            models.CheckConstraint(condition=Q(revoked_at=None) | ~Q(revoked_reason=""), name="api_login_revoked_for_a_reason"),
        ]
        # "Log out everywhere" looks for a user's living ones.
        indexes = [models.Index(fields=["user"], condition=Q(revoked_at=None), name="api_logins_living")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.agent or self.address}"


class PersonalToken(models.Model):
    """A key somebody made for his own programs. Only its SHA-256 is kept; what it is called by is its beginning."""

    user: "models.ForeignKey[User]" = models.ForeignKey(
        "accounts.User", models.CASCADE, editable=False, related_name="personal_tokens", verbose_name=_("user")
    )
    name = models.CharField(_("name"), max_length=60, help_text=_("What it is for, such as the program that uses it."))
    prefix = models.CharField(_("begins with"), max_length=20, editable=False)
    digest = models.CharField(_("SHA-256"), max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=10, choices=Scope), verbose_name=_("scopes"))
    created_at = models.DateTimeField(_("made at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    expires_at = models.DateTimeField(_("ends at"), help_text=_("Machine time; at most a year after it was made."))
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False, help_text=_("Machine time, to the minute."))
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "personal_tokens"
        verbose_name = _("personal token")
        verbose_name_plural = _("personal tokens")
        constraints = [
            models.CheckConstraint(condition=Q(digest__regex=DIGEST), name="personal_token_digest_is_hex"),
            models.CheckConstraint(condition=Q(scopes__contained_by=Scope.values, scopes__len__gt=0), name="personal_token_scopes_known"),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("created_at"), expires_at__lte=F("created_at") + LONGEST_TOKEN),
                name="personal_token_ends_within_a_year",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class KeptAnswer(models.Model):
    """The answer to a write that came with an idempotency key: whoever repeats the write gets it again, and nothing happens twice."""

    user: "models.ForeignKey[User]" = models.ForeignKey(
        "accounts.User", models.CASCADE, editable=False, related_name="+", verbose_name=_("user")
    )
    key = models.CharField(_("key"), max_length=255, editable=False)
    request_hash = models.CharField(_("SHA-256 of the request"), max_length=64, editable=False)
    status = models.PositiveSmallIntegerField(
        _("status"), null=True, editable=False, help_text=_("Of the answer; empty while its write is under way.")
    )
    body = models.TextField(_("answer"), blank=True, editable=False, help_text=_("JSON, without secrets."))
    created_at = models.DateTimeField(_("asked at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "api_answers"
        verbose_name = _("kept answer")
        verbose_name_plural = _("kept answers")
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="kept_answer_once_per_key"),
            models.CheckConstraint(condition=Q(request_hash__regex=DIGEST), name="kept_answer_hash_is_hex"),
        ]
        # The clean-up removes those of yesterday.
        indexes = [models.Index(fields=["created_at"], name="api_answers_created_at")]

    def __str__(self) -> str:
        return self.key
