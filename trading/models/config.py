"""Settings that rule while bots run, and every version they ever had."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import ClockTimestamp


class BotConfig(models.Model):
    """One setting. Its allowed form stands in `trading.domain.config`; the value is read at each decision."""

    key = models.CharField(_("key"), max_length=100, unique=True)
    value = models.JSONField(_("value"))
    description = models.TextField(_("description"), blank=True)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True, help_text=_("Machine time."))

    class Meta:
        db_table = "bot_config"
        verbose_name = _("setting")
        verbose_name_plural = _("settings")

    def __str__(self) -> str:
        return self.key


class ConfigVersion(models.Model):
    """One change of one setting. The newest id names the whole state; a cycle reads it once. Append-only."""

    key = models.CharField(_("key"), max_length=100, editable=False)
    before = models.JSONField(_("before"), null=True, editable=False)
    after = models.JSONField(_("after"), editable=False)
    changed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, editable=False, verbose_name=_("changed by"))
    reason = models.TextField(_("reason"), blank=True, editable=False)
    changed_at = models.DateTimeField(_("changed at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "config_versions"
        verbose_name = _("settings version")
        verbose_name_plural = _("settings versions")

    def __str__(self) -> str:
        return f"{self.pk} {self.key}"
