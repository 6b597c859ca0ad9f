"""Analysts: whom to ask, with which prompt, for how much; and every call with what it said and cost."""

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dgbot.base.fields import ClockTimestamp, MoneyField, bounded
from dgbot.base.querysets import OwnedQuerySet

LONGEST_TIMEOUT_S = 60  # a cycle's lease is twice as long


class PromptTemplate(models.Model):
    """A prompt by name and version. A version never changes: editing one makes the next."""

    name = models.CharField(_("name"), max_length=40)
    version = models.PositiveIntegerField(_("version"), editable=False)
    system = models.TextField(_("instructions"), help_text=_("The system's word to the model. Facts and the answer's form are added."))
    created_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, editable=False, related_name="+", verbose_name=_("by"))
    created_at = models.DateTimeField(_("created at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))

    class Meta:
        db_table = "prompt_templates"
        verbose_name = _("prompt")
        verbose_name_plural = _("prompts")
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="prompt_version_once")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Analyst(models.Model):
    """A model at an endpoint, asked with one prompt, within a budget in USD."""

    name = models.CharField(
        _("name"),
        max_length=40,
        unique=True,
        validators=[RegexValidator(r"^(?!rules$)[a-z0-9][a-z0-9._-]*$", _("Small letters, digits, dots and dashes; not “rules”."))],
    )
    model = models.CharField(_("model"), max_length=100, help_text=_("As the endpoint calls it, such as gpt-4.1-mini."))
    base_url = models.URLField(_("endpoint"), blank=True, help_text=_("Empty: OPENAI_BASE_URL, or OpenAI's own."))
    uses_responses = models.BooleanField(
        _("Responses API"), default=False, help_text=_("Otherwise chat completions, which all endpoints know.")
    )
    prompt = models.ForeignKey(PromptTemplate, models.PROTECT, related_name="analysts", verbose_name=_("prompt"))
    timeout_s = models.PositiveSmallIntegerField(
        _("time-out"), default=30, validators=[MinValueValidator(1), MaxValueValidator(LONGEST_TIMEOUT_S)], help_text=_("Seconds.")
    )
    max_output_tokens = models.PositiveIntegerField(
        _("longest answer"), default=2000, validators=[MinValueValidator(100), MaxValueValidator(100_000)], help_text=_("Tokens.")
    )
    temperature = models.DecimalField(
        _("temperature"),
        max_digits=3,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(2)],
        help_text=_("0 to 2. Empty: the model's own."),
    )
    input_price = MoneyField(_("price of input"), help_text=_("USD per million tokens."))
    output_price = MoneyField(_("price of output"), help_text=_("USD per million tokens."))
    cycle_budget = MoneyField(_("budget per cycle"), default="0.05", help_text=_("USD."))
    day_budget = MoneyField(_("budget per day"), default=1, help_text=_("USD, calendar day in UTC."))
    month_budget = MoneyField(_("budget per month"), default=20, help_text=_("USD, calendar month in UTC."))
    is_enabled = models.BooleanField(_("enabled"), default=True, help_text=_("Switched off, its bots abstain from entries."))

    class Meta:
        db_table = "analysts"
        verbose_name = _("analyst")
        verbose_name_plural = _("analysts")
        constraints = [
            models.CheckConstraint(condition=~Q(name="rules"), name="analyst_is_not_the_rules"),
            models.CheckConstraint(condition=Q(timeout_s__gte=1, timeout_s__lte=LONGEST_TIMEOUT_S), name="analyst_timeout_in_range"),
            models.CheckConstraint(condition=Q(temperature__gte=0, temperature__lte=2), name="analyst_temperature_in_range"),
            *bounded(
                "analyst",
                **dict.fromkeys(("input_price", "output_price", "cycle_budget", "day_budget", "month_budget"), "not_negative"),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class CallStatus(models.TextChoices):
    """reserved → answered, or failed. A call that stays reserved died with its process; its money counts as spent."""

    RESERVED = "reserved", _("asked")
    ANSWERED = "answered", _("answered")
    FAILED = "failed", _("failed")


class CallPurpose(models.TextChoices):
    """Why a model was asked."""

    DECISION = "decision", _("decision")
    TEST = "test", _("test")
    WHAT_IF = "what_if", _("what if")


class AnalystCall(models.Model):
    """One question: its money reserved and committed before the first byte leaves, its answer kept as it came."""

    analyst = models.ForeignKey(Analyst, models.PROTECT, related_name="calls", editable=False, verbose_name=_("analyst"))
    bot = models.ForeignKey("trading.Bot", models.PROTECT, null=True, related_name="+", editable=False, verbose_name=_("bot"))
    user = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+", editable=False, verbose_name=_("owner"))
    cycle = models.ForeignKey(
        "trading.Cycle", models.SET_NULL, null=True, related_name="analyst_calls", editable=False, verbose_name=_("cycle")
    )
    purpose = models.CharField(_("purpose"), max_length=10, choices=CallPurpose, editable=False)
    status = models.CharField(_("status"), max_length=10, choices=CallStatus, default=CallStatus.RESERVED, editable=False)
    prompt = models.ForeignKey(PromptTemplate, models.PROTECT, related_name="+", editable=False, verbose_name=_("prompt"))
    model = models.CharField(_("model"), max_length=100, editable=False)
    messages = models.JSONField(_("messages"), editable=False, help_text=_("Exactly as sent."))
    raw_answer = models.TextField(_("answer"), blank=True, editable=False, help_text=_("Exactly as received."))
    error = models.TextField(_("failure"), blank=True, editable=False)
    input_tokens = models.PositiveIntegerField(_("input"), null=True, editable=False, help_text=_("Tokens, as the endpoint counted."))
    output_tokens = models.PositiveIntegerField(_("output"), null=True, editable=False, help_text=_("Tokens, as the endpoint counted."))
    reserved_cost = MoneyField(_("reserved"), editable=False, help_text=_("USD, the most the call could cost."))
    cost = MoneyField(_("cost"), null=True, editable=False, help_text=_("USD. Empty: not known, so the reserved sum counts."))
    latency_ms = models.PositiveIntegerField(_("took"), null=True, editable=False, help_text=_("Milliseconds."))
    request_id = models.CharField(_("request"), max_length=200, blank=True, editable=False)
    asked_at = models.DateTimeField(_("asked at"), db_default=ClockTimestamp(), editable=False, help_text=_("Machine time."))
    ended_at = models.DateTimeField(_("ended at"), null=True, editable=False, help_text=_("Machine time."))

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "analyst_calls"
        verbose_name = _("analyst call")
        verbose_name_plural = _("analyst calls")
        constraints = [
            models.CheckConstraint(condition=Q(status__in=CallStatus.values), name="analyst_call_status_known"),
            models.CheckConstraint(condition=Q(purpose__in=CallPurpose.values), name="analyst_call_purpose_known"),
            models.UniqueConstraint(
                fields=["cycle"], condition=Q(purpose="decision", status="answered"), name="analyst_answers_once_per_cycle"
            ),
            *bounded("analyst_call", reserved_cost="not_negative", cost="not_negative"),
        ]
        # The budget adds up the newest month of one analyst before every call.
        indexes = [models.Index(fields=["analyst", "asked_at"], name="analyst_call_spent")]

    def __str__(self) -> str:
        return f"{self.model} {self.get_status_display()}"
