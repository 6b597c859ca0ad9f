"""Bots: making, changing and steering them."""

from functools import partial
from typing import Any

from django_celery_beat.models import PeriodicTask
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from backtests.strategies.registry import STRATEGIES
from dgbot.accounts import second_factor
from dgbot.base.rest.fields import DecimalText, Instant, RowSerializer
from dgbot.base.rest.filters import filters
from dgbot.base.rest.needs import reads, trades
from dgbot.base.rest.views import Input, Reason, Rows, Told
from dgbot.core.interval import Interval
from dgbot.core.money import SMALLEST_STEP
from risk.models import RiskProfile
from trading import steering
from trading.models import Bot, BotStatus, Cycle, ExchangeAccount, Position
from trading.models.bots import AnalystMode
from trading.selectors import effective
from trading.services import bot_editing, config
from trading.services.schedules import CYCLES

SETTABLE = (
    *("name", "account", "symbol", "strategy", "parameters", "interval", "schedule", "tick_seconds", "anchor_at"),
    *("allocation", "trade_amount", "risk_profile", "analyst", "analyst_mode", "is_hidden"),
)
LARGEST_NUMBER = 1e15


class BotRow(RowSerializer):
    """What a bot is, what is wanted of it and what it does."""

    parameters = serializers.SerializerMethodField(help_text="What differs from the strategy's defaults.")

    class Meta:
        model = Bot
        fields = ("id", "user", "mode", *SETTABLE, "is_running", "is_paused", "status", "status_reason", "wanted_at", "created_at")

    @extend_schema_field({"type": "object", "additionalProperties": {}})
    def get_parameters(self, bot: Bot) -> Any:
        """As they are stored."""
        return bot.parameters


class Visible(serializers.PrimaryKeyRelatedField[Any]):
    """The id of a row the user may see; others' do not exist."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, pk_field=serializers.IntegerField(min_value=1, max_value=2**63 - 1))

    def get_queryset(self) -> Any:
        """The rows the user may see."""
        rows: Any = super().get_queryset()
        return rows.for_user(self.context["request"].user) if hasattr(rows, "for_user") else rows


class Parameter(serializers.Field[Any, Any, Any, Any]):
    """A number or a truth value."""

    default_error_messages = {"wrong": "It must be a number or true or false."}

    def to_internal_value(self, data: Any) -> Any:
        """As given."""
        if not isinstance(data, bool | int | float) or abs(data) > LARGEST_NUMBER:
            self.fail("wrong")
        return data

    def to_representation(self, value: Any) -> Any:
        """As it is."""
        return value


@extend_schema_field({"type": "object", "additionalProperties": {"oneOf": [{"type": "number"}, {"type": "boolean"}]}})
class Parameters(serializers.DictField):
    """By name; `GET /api/v1/strategies` tells names and bounds."""

    child = Parameter()


class BotInput(Input):
    """A new bot; owner and mode follow its account."""

    name = serializers.CharField(max_length=60)
    account = Visible(queryset=ExchangeAccount.objects.all())
    symbol = serializers.CharField(max_length=30, min_length=3, help_text="The exchange's own code, such as KRW-BTC.")
    strategy = serializers.ChoiceField(choices=list(STRATEGIES))
    parameters = Parameters(required=False)
    interval = serializers.ChoiceField(choices=[item.value for item in Interval], required=False)
    schedule = Visible(queryset=PeriodicTask.objects.filter(task=CYCLES), required=False, allow_null=True)
    tick_seconds = serializers.IntegerField(min_value=1, max_value=59, required=False, allow_null=True)
    anchor_at = Instant(required=False, allow_null=True)
    allocation = DecimalText(
        least=SMALLEST_STEP, required=False, allow_null=True, help_text="Quote currency; null: the account's cash when first started."
    )
    trade_amount = DecimalText(least=SMALLEST_STEP, required=False, help_text="Quote currency, before caps.")
    risk_profile = Visible(queryset=RiskProfile.objects.all(), required=False, allow_null=True)
    analyst = serializers.CharField(max_length=40, required=False)
    analyst_mode = serializers.ChoiceField(choices=AnalystMode.choices, required=False)
    is_hidden = serializers.BooleanField(required=False)


class BotChange(BotInput):
    """What changes of a bot."""

    reason = serializers.CharField(
        max_length=255, required=False, default="", allow_blank=True, help_text="Needed when anything allows more."
    )


class StopInput(Reason):
    """What becomes of the position."""

    close = serializers.BooleanField(
        default=False, required=False, help_text="Sell this bot's position; else it keeps its stop and target."
    )


class LastCycle(RowSerializer):
    """A bot's newest cycle."""

    class Meta:
        model = Cycle
        fields = ("id", "slot", "status", "outcome", "finished_at")


class StatusOfBot(serializers.Serializer[Any]):
    """What is wanted and what is."""

    bot = serializers.IntegerField()
    is_running = serializers.BooleanField(help_text="What the operator wants.")
    is_paused = serializers.BooleanField(help_text="Whether he wants no entries.")
    status = serializers.ChoiceField(choices=BotStatus.choices, help_text="What is.")
    status_reason = serializers.CharField(allow_blank=True)
    last_cycle = LastCycle(allow_null=True)
    open_position = serializers.IntegerField(allow_null=True, help_text="Its id.")


class Ruling(serializers.Serializer[Any]):
    """One value that rules a bot, and where it comes from."""

    name = serializers.CharField()
    value = serializers.CharField()
    origin = serializers.CharField()
    voices = serializers.SerializerMethodField(help_text="Every voice that was heard: origin and value.")

    @extend_schema_field({"type": "array", "items": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}})
    def get_voices(self, row: Any) -> Any:
        """Pairs."""
        return [[str(origin), str(value)] for origin, value in row.voices]


NEW = OpenApiExample(
    "A bot",
    value={"name": "BTC breakout", "account": 1, "symbol": "KRW-BTC", "strategy": "volatility_breakout", "trade_amount": "50000"},
    request_only=True,
)


@extend_schema_view(list=extend_schema(summary="Bots"), retrieve=extend_schema(summary="One bot"))
class BotsFace(Rows):
    """Bots. They are stopped and hidden, never deleted: their trades name them."""

    queryset = Bot.objects.all()
    serializer_class = BotRow
    filterset_class = filters(
        Bot, exact=("symbol", "strategy", "mode", "status", "is_running", "is_hidden", "name"), ids=("account",), times=("created_at",)
    )
    orderings = ("id", "-id")
    needs = {
        **dict.fromkeys(("list", "retrieve", "status", "effective"), reads("trading.view_bot")),
        "create": trades("trading.add_bot"),
        **dict.fromkeys(("partial_update", "start", "stop", "pause", "resume", "run"), trades("trading.change_bot")),
    }
    outside = frozenset({"run"})  # the queue is not ours to roll back

    @extend_schema(summary="Make a bot", request=BotInput, responses={201: BotRow}, examples=[NEW])
    def create(self, request: Request) -> Response:
        """It is stopped at first."""
        return self.shown(bot_editing.create(values=self.given(request, BotInput), by=request.user), status=201)

    @extend_schema(summary="Change a bot", request=BotChange, responses=BotRow)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Holds from its next decision on. Account and symbol are chosen once. More money or a looser profile needs a reason."""
        bot, asked = self.get_object(), dict(self.given(request, BotChange, partial=True))
        reason = asked.pop("reason", "")
        is_proven = second_factor.is_proven(request._request)
        return self.shown(bot_editing.change(bot_pk=bot.pk, values=asked, by=request.user, reason=reason, second_factor=lambda: is_proven))

    @extend_schema(summary="Start a bot", request=Reason, responses=Told)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """It runs as soon as its gateway knows its position. Asked again it changes nothing."""
        is_proven = second_factor.is_proven(request._request)  # before the start's transaction, which would forget a wrong code
        return self._steer(request, partial(steering.start, second_factor=lambda: is_proven))

    @extend_schema(summary="Stop a bot", request=StopInput, responses=Told)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """No cycle begins any more. Its position keeps its protection, or is sold with `close`."""
        bot, asked = self.get_object(), self.given(request, StopInput)
        return Response({"message": steering.stop(bot_pk=bot.pk, by=request.user, **asked)})

    @extend_schema(summary="Pause a bot's entries", request=Reason, responses=Told)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Exits go on."""
        return self._steer(request, steering.pause)

    @extend_schema(summary="Resume a bot's entries", request=Reason, responses=Told)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """It may open positions again."""
        return self._steer(request, steering.resume)

    @extend_schema(summary="Run a cycle now", request=None, responses={202: Told})
    @action(detail=True, methods=["post"])
    def run(self, request: Request, pk: str) -> Response:
        """One extra cycle is queued; it shows up in `GET /api/v1/cycles?bot=…`."""
        return Response({"message": steering.run_now(bot_pk=self.get_object().pk, by=request.user)}, status=202)

    @extend_schema(summary="What a bot does", responses=StatusOfBot)
    @action(detail=True, methods=["get"])
    def status(self, request: Request, pk: str) -> Response:
        """What is wanted, what is, and its newest cycle. Reading changes nothing."""
        return Response(StatusOfBot(status_of(self.get_object())).data)

    @extend_schema(summary="What rules a bot", responses=Ruling(many=True))
    @action(detail=True, methods=["get"])
    def effective(self, request: Request, pk: str) -> Response:
        """Each value that rules now, where it comes from, and the other voices."""
        return Response(Ruling(effective.for_bot(self.get_object(), settings=config.current()), many=True).data)

    def _steer(self, request: Request, act: Any) -> Response:
        bot, asked = self.get_object(), self.given(request, Reason)
        return Response({"message": act(bot_pk=bot.pk, by=request.user, reason=asked["reason"])})


def status_of(bot: Bot) -> dict[str, Any]:
    """For `StatusOfBot`."""
    return {
        "bot": bot.pk,
        **{name: getattr(bot, name) for name in ("is_running", "is_paused", "status", "status_reason")},
        "last_cycle": Cycle.objects.filter(bot=bot).order_by("-slot").first(),
        "open_position": Position.objects.open().filter(bot=bot).values_list("pk", flat=True).first(),
    }
