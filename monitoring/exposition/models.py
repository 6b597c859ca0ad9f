"""Counters that were added up once, so that nobody counts millions of rows at every scrape."""

from django.db import models

from dgbot.base.fields import MoneyField, bounded


class MetricTotal(models.Model):
    """One counter under one set of labels, over all rows up to the mark of its source."""

    metric = models.CharField(max_length=80, editable=False)
    labels = models.JSONField(editable=False)
    value = MoneyField(editable=False, help_text="In the metric's unit.")

    class Meta:
        app_label = "monitoring"
        db_table = "metric_totals"
        constraints = [
            models.UniqueConstraint(fields=["metric", "labels"], name="metric_total_once"),
            *bounded("metric_total", value="signed"),
        ]

    def __str__(self) -> str:
        return f"{self.metric} {self.labels}"


class MetricMark(models.Model):
    """How far a source has been added up: rows up to `upto` are in the totals; rows up to `seen` may be from `seen_at` + the lag on."""

    source = models.CharField(max_length=40, unique=True, editable=False)
    upto = models.BigIntegerField(default=0, editable=False, help_text="Row id.")
    seen = models.BigIntegerField(default=0, editable=False, help_text="Row id.")
    seen_at = models.DateTimeField(editable=False, help_text="Machine time.")

    class Meta:
        app_label = "monitoring"
        db_table = "metric_marks"

    def __str__(self) -> str:
        return f"{self.source} up to {self.upto}"
