"""The settings that rule while bots run, and every version they had."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.base.rest.fields import RowSerializer
from dgbot.base.rest.filters import filters
from dgbot.base.rest.needs import administers, reads
from dgbot.base.rest.views import Input, NeededReason, Rows
from trading.models import BotConfig, ConfigVersion
from trading.selectors import effective
from trading.services import config

VALUE = {"type": "object", "description": "One field; its name and form are told by `form`.", "additionalProperties": {}}


@extend_schema_field(VALUE)
class SettingValue(serializers.JSONField):
    """The one field of a setting."""


class SettingRow(RowSerializer):
    """One setting, its form, and where its value comes from."""

    value = SettingValue()
    form = serializers.SerializerMethodField(help_text="How a value must look.")
    origin = serializers.SerializerMethodField(help_text="Code, environment, or who changed it.")

    class Meta:
        model = BotConfig
        fields = ("key", "value", "form", "origin", "description", "updated_at")

    def get_form(self, row: BotConfig) -> str:
        """Shown to whoever got it wrong, too."""
        return config.allowed_form(row.key)

    def get_origin(self, row: BotConfig) -> str:
        """In one sentence."""
        shared: Any = self.context  # one query for all rows of a list
        if "origins" not in shared:
            shared["origins"] = effective.of_settings()
        return str(shared["origins"].get(row.key, ""))


class SettingInput(Input):
    """A value and why it changes."""

    value = SettingValue()
    reason = serializers.CharField(max_length=255, help_text="Kept with the change.")


@extend_schema_view(list=extend_schema(summary="Settings"), retrieve=extend_schema(summary="One setting"))
class SettingsFace(Rows):
    """Settings of the platform (`bot_config`): typed, read at each decision, every change kept."""

    queryset = BotConfig.objects.all()
    serializer_class = SettingRow
    lookup_field = "key"
    lookup_value_regex = "[a-z_]{1,100}"
    orderings = ("key", "-key")
    needs = {
        **dict.fromkeys(("list", "retrieve"), reads("trading.view_botconfig")),
        "update": administers("trading.change_botconfig"),
    }

    @extend_schema(
        summary="Change a setting",
        request=SettingInput,
        responses=SettingRow,
        examples=[OpenApiExample("Entries on", value={"value": {"enabled": True}, "reason": "ready"}, request_only=True)],
    )
    def update(self, request: Request, key: str) -> Response:
        """Holds from the next decision on. A wrong value is refused with the allowed form (409)."""
        row, asked = self.get_object(), self.given(request, SettingInput)
        return self.shown(config.change(key=row.key, value=asked["value"], by=request.user, reason=asked["reason"]))


class VersionRow(RowSerializer):
    """One change of one setting."""

    before = SettingValue(allow_null=True)
    after = SettingValue()

    class Meta:
        model = ConfigVersion
        fields = ("id", "key", "before", "after", "changed_by", "reason", "changed_at")


@extend_schema_view(list=extend_schema(summary="Versions of settings"), retrieve=extend_schema(summary="One version"))
class VersionsFace(Rows):
    """Every change of a setting; a cycle reads the newest id once."""

    queryset = ConfigVersion.objects.all()
    serializer_class = VersionRow
    filterset_class = filters(ConfigVersion, exact=("key",), times=("changed_at",))
    needs = {
        **dict.fromkeys(("list", "retrieve"), reads("trading.view_configversion")),
        "revert": administers("trading.change_botconfig"),
    }

    @extend_schema(summary="Revert a change", request=NeededReason, responses=SettingRow)
    @action(detail=True, methods=["post"])
    def revert(self, request: Request, pk: str) -> Response:
        """Gives the setting back what it was before that change, as a further version."""
        version, asked = self.get_object(), self.given(request, NeededReason)
        row = config.revert(version_pk=version.pk, by=request.user, reason=asked["reason"])
        return Response(SettingRow(row, context={"request": request}).data)
