"""Risk profiles, how much of the limits is used, and limits that acted."""

from datetime import timedelta
from typing import Any

from django.db import models
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.accounts import second_factor
from dgbot.base.querysets import SEES_ALL
from dgbot.base.rest.fields import RowSerializer
from dgbot.base.rest.filters import filters
from dgbot.base.rest.needs import administers, reads
from dgbot.base.rest.views import Closed, NeededReason, Rows
from risk import services
from risk.models import LimitChange, RiskEvent, RiskProfile, RiskState
from trading.models import Bot
from trading.selectors import limits as limit_selectors
from trading.services.bots import market_now

LONGEST_S = 366 * 86_400
OWN = ("id", "name", "user", "updated_at")
LIMITS = tuple(column.name for column in RiskProfile._meta.concrete_fields if column.name not in OWN)


@extend_schema_field({"type": "integer", "minimum": 0, "maximum": LONGEST_S, "description": "Seconds."})
class Seconds(serializers.Field[timedelta, Any, int, Any]):
    """A duration in whole seconds."""

    default_error_messages = {"wrong": "It must be whole seconds from 0 to a year."}

    def to_internal_value(self, data: Any) -> timedelta:
        """From a number."""
        if isinstance(data, bool) or not isinstance(data, int) or not 0 <= data <= LONGEST_S:
            self.fail("wrong")
        return timedelta(seconds=data)

    def to_representation(self, value: timedelta) -> int:
        """As a number."""
        return int(value.total_seconds())


class ProfileRow(RowSerializer):
    """A named set of limits. Fractions are text: `"0.05"` is 5 %."""

    serializer_field_mapping = {**RowSerializer.serializer_field_mapping, models.DurationField: Seconds}

    class Meta:
        model = RiskProfile
        fields: tuple[str, ...] = ("id", "name", "user", *LIMITS, "updated_at")


class ProfileInput(Closed, ProfileRow):
    """Limits; what is left out keeps its value, or its default in a new profile."""

    name = serializers.CharField(max_length=40, required=False)
    reason = serializers.CharField(
        max_length=255, required=False, default="", allow_blank=True, help_text="Needed when anything allows more than before."
    )

    class Meta(ProfileRow.Meta):
        fields = ("name", *LIMITS, "reason")
        validators: tuple[Any, ...] = ()
        extra_kwargs = {name: {"required": False} for name in LIMITS}


@extend_schema_view(list=extend_schema(summary="Risk profiles"), retrieve=extend_schema(summary="One risk profile"))
class ProfilesFace(Rows):
    """Risk profiles: one's own, and those everybody may use (`user` is null)."""

    queryset = RiskProfile.objects.all()
    serializer_class = ProfileRow
    filterset_class = filters(RiskProfile, exact=("name",))
    orderings = ("id", "-id")
    needs = {
        **dict.fromkeys(("list", "retrieve"), reads("risk.view_riskprofile")),
        "create": administers("risk.add_riskprofile"),
        "partial_update": administers("risk.change_riskprofile"),
    }

    @extend_schema(
        summary="Make a risk profile",
        request=ProfileInput,
        responses={201: ProfileRow},
        examples=[OpenApiExample("Careful", value={"name": "careful", "daily_loss_fraction": "0.02"}, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """One's own. What is left out has its default."""
        asked = dict(self.given(request, ProfileInput))
        if "name" not in asked:
            raise serializers.ValidationError({"name": ["This field is required."]})
        return self._saved(request, RiskProfile(user_id=request.user.pk), asked, status=201)

    @extend_schema(summary="Change a risk profile", request=ProfileInput, responses=ProfileRow)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Holds from the next decision on. Loosening needs a reason, on live bots your second factor, too; tightening nothing."""
        profile = self.get_object()
        if profile.user_id != request.user.pk and not request.user.has_perm(SEES_ALL):
            raise PermissionDenied(
                "A shared profile limits others, too: changing it takes the right to see them.", code="permission_missing"
            )
        return self._saved(request, profile, dict(self.given(request, ProfileInput, partial=True)))

    def _saved(self, request: Request, profile: RiskProfile, asked: dict[str, Any], *, status: int = 200) -> Response:
        reason = asked.pop("reason", "")
        for name, value in asked.items():
            setattr(profile, name, value)
        profile.full_clean()
        services.change_limits(
            profile,
            by=request.user,
            reason=reason,
            governs_live=profile.pk is not None and limit_selectors.governs_live(profile),
            second_factor=lambda: second_factor.is_proven(request._request),
        )
        return self.shown(RiskProfile.objects.get(pk=profile.pk), status=status)


class StateRow(RowSerializer):
    """How much of the limits one bot, or one account (`bot` null), has used on one trading day."""

    class Meta:
        model = RiskState
        fields = (
            *("id", "bot", "account", "user", "mode", "trading_day", "start_equity", "equity", "daily_pnl", "weekly_pnl", "capital"),
            *("peak_profit", "loss_streak", "daily_trade_count", "last_trade_time", "safe_mode", "safe_mode_reason", "updated_at"),
        )


@extend_schema_view(list=extend_schema(summary="Risk states"), retrieve=extend_schema(summary="One risk state"))
class StatesFace(Rows):
    """Risk states: per bot and per account, one row a trading day."""

    queryset = RiskState.objects.all()
    serializer_class = StateRow
    filterset_class = filters(RiskState, exact=("mode", "safe_mode"), ids=("bot", "account"))
    needs = {
        **dict.fromkeys(("list", "retrieve"), reads("risk.view_riskstate")),
        "release": administers("risk.change_riskstate"),
    }

    @extend_schema(summary="Release safe mode", request=NeededReason, responses=StateRow)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """Lets entries through again; losses count anew from here."""
        state, asked = self.get_object(), self.given(request, NeededReason)
        bot = state.bot or Bot.objects.filter(account=state.account).select_related("account__simulated_market").first()
        now = market_now(bot) if bot else state.updated_at
        return self.shown(services.release_safe_mode(state_pk=state.pk, by=request.user, reason=asked["reason"], now=now))


class RiskEventRow(RowSerializer):
    """A limit that acted."""

    class Meta:
        model = RiskEvent
        fields = ("id", "bot", "account", "user", "code", "message", "value", "limit", "actor", "created_at")


@extend_schema_view(list=extend_schema(summary="Risk events"), retrieve=extend_schema(summary="One risk event"))
class EventsFace(Rows):
    """Limits that acted, with value and limit."""

    queryset = RiskEvent.objects.all()
    serializer_class = RiskEventRow
    filterset_class = filters(RiskEvent, exact=("code",), ids=("bot", "account"), times=("created_at",))
    needs = dict.fromkeys(("list", "retrieve"), reads("risk.view_riskevent"))


class ChangeRow(RowSerializer):
    """One change of limits."""

    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField()
    loosened = serializers.ListField(child=serializers.CharField(), help_text="Names of what allows more than before.")

    class Meta:
        model = LimitChange
        fields = ("id", "subject", "subject_pk", "name", "before", "after", "loosened", "changed_by", "reason", "changed_at")


@extend_schema_view(list=extend_schema(summary="Changes of limits"), retrieve=extend_schema(summary="One change of limits"))
class ChangesFace(Rows):
    """Who changed which limits, when and why."""

    queryset = LimitChange.objects.all()
    serializer_class = ChangeRow
    filterset_class = filters(LimitChange, exact=("subject",), times=("changed_at",))
    needs = dict.fromkeys(("list", "retrieve"), reads("risk.view_limitchange"))
