"""The kill switch."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.accounts import second_factor
from dgbot.base.rest.fields import RowSerializer
from dgbot.base.rest.filters import filters
from dgbot.base.rest.needs import reads, trades
from dgbot.base.rest.views import Input, Rows
from risk import kill_switch
from risk.domain import kill
from risk.models import KillLevel, KillScope, KillSwitch, KillSwitchChange
from trading.models import Bot, ExchangeAccount
from trading.models.accounts import ExchangeName

RAISE, LOWER = "risk.add_killswitch", "risk.change_killswitch"
TYPED = {KillLevel.FLATTEN: "FLATTEN", KillLevel.FREEZE: "FREEZE"}


class SwitchRow(RowSerializer):
    """What a switch covers and how much it forbids."""

    class Meta:
        model = KillSwitch
        fields = ("id", "scope", "scope_id", "level", "epoch", "reason", "set_by_name", "set_at", "lowering_to")


class SwitchInput(Input):
    """A level for whatever the switch covers."""

    scope = serializers.ChoiceField(choices=KillScope.choices)
    scope_id = serializers.CharField(
        max_length=60,
        required=False,
        default="",
        allow_blank=True,
        help_text="Id of an account, user or bot; name of an exchange or market.",
    )
    level = serializers.ChoiceField(
        choices=KillLevel.choices, help_text="0 run, 1 no new positions, 2 cancel entries, 3 close all, 4 no order."
    )
    reason = serializers.CharField(max_length=255)
    confirm = serializers.CharField(
        max_length=10, required=False, default="", allow_blank=True, help_text="`FLATTEN` for level 3, `FREEZE` for level 4."
    )


STOP_ALL = OpenApiExample(
    "Open nothing more, anywhere", value={"scope": "platform", "level": 1, "reason": "exchange news"}, request_only=True
)


@extend_schema_view(list=extend_schema(summary="Kill switches"), retrieve=extend_schema(summary="One kill switch"))
class SwitchesFace(Rows):
    """Kill switches: the highest level of all that cover a bot holds. What is raised stays raised until a person lowers it."""

    queryset = KillSwitch.objects.all()
    serializer_class = SwitchRow
    filterset_class = filters(KillSwitch, exact=("scope",))
    orderings = ("id", "-id")
    needs = {
        **dict.fromkeys(("list", "retrieve"), reads("risk.view_killswitch")),
        "create": trades(RAISE),
    }

    @extend_schema(summary="Set a kill switch", request=SwitchInput, responses={200: SwitchRow}, examples=[STOP_ALL])
    def create(self, request: Request) -> Response:
        """Raising is for operators and works at once. Lowering is for whoever manages risk, with the second factor in this login.

        With DGBOT_TWO_PERSON a fall from level 3 or 4 waits for a second person: then `lowering_to` is set and the level stands.
        """
        asked = self.given(request, SwitchInput)
        scope, scope_id, level = asked["scope"], asked["scope_id"], int(asked["level"])
        if not _is_there(request.user, scope=scope, scope_id=scope_id):
            raise Http404
        before = KillSwitch.objects.filter(scope=scope, scope_id=scope_id).values_list("level", flat=True).first() or KillLevel.RUN
        if level < before and not request.user.has_perm(LOWER):
            raise PermissionDenied(
                "Lowering a kill switch takes the permission to change it; an admin can give it.", code="permission_missing"
            )
        word = TYPED.get(KillLevel(level), "") if kill.is_typed(level) else ""
        if word and asked["confirm"] != word:
            raise ValidationError({"confirm": [f"This level sells or freezes everything it covers; write {word}."]})
        switch = kill_switch.change(
            scope=scope,
            scope_id=scope_id,
            level=level,
            by=request.user,
            reason=asked["reason"],
            second_factor=lambda: second_factor.is_proven(request._request),
        )
        return self.shown(switch)


class SwitchChangeRow(RowSerializer):
    """One change of a kill switch."""

    class Meta:
        model = KillSwitchChange
        fields = ("id", "scope", "scope_id", "epoch", "before", "after", "actor", "code", "reason", "value", "limit", "remedy", "at")


@extend_schema_view(list=extend_schema(summary="Changes of kill switches"), retrieve=extend_schema(summary="One change of a kill switch"))
class SwitchChangesFace(Rows):
    """Each change: who, when, why; for a trip its rule, value, limit and remedy."""

    queryset = KillSwitchChange.objects.all()
    serializer_class = SwitchChangeRow
    filterset_class = filters(KillSwitchChange, exact=("scope", "code"), times=("at",))
    needs = dict.fromkeys(("list", "retrieve"), reads("risk.view_killswitchchange"))


def _is_there(user: Any, *, scope: str, scope_id: str) -> bool:
    """Whether what a switch is to cover exists and is the user's to see; what has no owner is everybody's."""
    if scope == KillScope.PLATFORM:
        return scope_id == ""
    if scope == KillScope.EXCHANGE:
        return scope_id in ExchangeName.values
    if scope in kill_switch.NUMBERED and not (scope_id.isascii() and scope_id.isdigit() and len(scope_id) < 19):
        return False
    bots: QuerySet[Any] = Bot.objects.for_user(user)
    accounts: QuerySet[Any] = ExchangeAccount.objects.for_user(user)
    rows, column = {
        KillScope.MARKET: (bots, "symbol"),
        KillScope.BOT: (bots, "pk"),
        KillScope.ACCOUNT: (accounts, "pk"),
        KillScope.USER: (bots, "user_id"),
    }[KillScope(scope)]
    return rows.filter(**{column: scope_id}).exists()
