"""The short forms of old clients: `/bot/start`, `/bot/stop`, `/bot/status`, `/account/positions`.

They speak of "the strategy" of a user; here that is a bot, and `strategy_id` is its id. They reach the caller's own bots only, whatever
else he may see: whose bot it is comes from the token, never from the body.
"""

from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.base.rest.authentication import user_of
from dgbot.base.rest.errors import Conflict
from dgbot.base.rest.fields import DecimalText
from dgbot.base.rest.filters import LARGEST_ID, IdFilter, refuse_unknown
from dgbot.base.rest.needs import reads, trades
from dgbot.base.rest.views import Face, Input
from monitoring import selectors as shown
from monitoring.events import mark_price
from trading import steering
from trading.models import Bot, Position

NAME = "strategy_id"


class WhichBot(Input):
    """Which bot; needed where a user has several."""

    strategy_id = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, required=False, help_text="Id of one of your bots.")


class ShortStatus(serializers.Serializer[Any]):
    """What is wanted of a bot."""

    is_running = serializers.BooleanField()
    strategy_id = serializers.IntegerField()


class ShortPosition(serializers.Serializer[Any]):
    """An open position."""

    symbol = serializers.CharField()
    side = serializers.ChoiceField(choices=["long", "short"])
    amount = DecimalText(help_text="Base currency.")
    entry_price = DecimalText(allow_null=True, help_text="Quote currency.")
    unrealized_pnl = DecimalText(allow_null=True, help_text="Quote currency, before the fees of leaving; null: unknown.")


EXAMPLE = OpenApiExample("A bot", value={"strategy_id": 7}, request_only=True)


class _OneBot(Face):
    tag = "short forms"

    def _bot(self, request: Request, strategy_id: int | None) -> Bot:
        """The caller's own bot of that id, or his only one."""
        own = Bot.objects.filter(user=user_of(request), is_hidden=False)
        if strategy_id is not None:
            found = own.filter(pk=strategy_id).first()
            if found is None:
                raise Http404
            return found
        bots = list(own[:2])
        if not bots:
            raise Http404
        if len(bots) > 1:
            raise Conflict(_("You have several bots; say which by strategy_id."), code="which_bot")
        return bots[0]

    def _steer(self, request: Request, act: Any) -> Response:
        bot = self._bot(request, self.given(request, WhichBot).get(NAME))
        act(bot_pk=bot.pk, by=request.user)
        bot.refresh_from_db()
        return Response({"is_running": bot.is_running, NAME: bot.pk})


class StartFace(_OneBot):
    """Start."""

    needs = {"post": trades("trading.change_bot")}

    @extend_schema(operation_id="bot_start", summary="Start your bot", request=WhichBot, responses=ShortStatus, examples=[EXAMPLE])
    def post(self, request: Request) -> Response:
        """It goes on when you log out and when the server restarts."""
        return self._steer(request, steering.start)


class StopFace(_OneBot):
    """Stop."""

    needs = {"post": trades("trading.change_bot")}

    @extend_schema(operation_id="bot_stop", summary="Stop your bot", request=WhichBot, responses=ShortStatus, examples=[EXAMPLE])
    def post(self, request: Request) -> Response:
        """Its position keeps its stop and target."""
        return self._steer(request, steering.stop)


class StatusFace(_OneBot):
    """Status."""

    needs = {"get": reads("trading.view_bot")}

    @extend_schema(
        operation_id="bot_status",
        summary="Whether your bot runs",
        parameters=[
            OpenApiParameter(NAME, {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}, description="Id of one of your bots.")
        ],
        responses=ShortStatus,
    )
    def get(self, request: Request) -> Response:
        """Reading changes nothing."""
        refuse_unknown(request.query_params, known={NAME})
        text = request.query_params.get(NAME)
        bot = self._bot(request, None if text is None else _number(text))
        return Response({"is_running": bot.is_running, NAME: bot.pk})


class PositionsShortFace(Face):
    """Open positions."""

    needs = {"get": reads("trading.view_position")}
    tag = "short forms"

    @extend_schema(operation_id="account_positions", summary="Your open positions", responses=ShortPosition(many=True))
    def get(self, request: Request) -> Response:
        """Of your own bots, valued at the newest prices that are known."""
        refuse_unknown(request.query_params, known=set())
        rows = Position.objects.open().filter(user=user_of(request), account__is_hidden=False, amount__gt=0).order_by("pk")
        return Response([ShortPosition(_short(row)).data for row in shown.positions_valued(rows)])


def _number(text: str) -> int:
    from django.core.exceptions import ValidationError as ModelError
    from rest_framework.exceptions import ValidationError

    try:
        return int(IdFilter().field.clean(text))
    except (ModelError, TypeError):
        raise ValidationError({NAME: [_("Write a whole number.")]}) from None


def _short(row: Any) -> dict[str, Any]:
    price, _cause = mark_price(row)
    entry = row.entry_price
    profit = None if price is None or entry is None else (price - entry) * row.amount
    return {"symbol": row.symbol, "side": "long", "amount": row.amount, "entry_price": entry, "unrealized_pnl": profit}
