"""What a person does with orders and positions himself, each for a reason, through the same path and under the same keys as all else."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import Sum

from dgbot.accounts import audit
from dgbot.core.errors import BadInput, ExchangeUnavailable
from dgbot.core.money import parse_decimal, plain
from dgbot.core.types import TradingRules
from risk.domain import kill
from risk.domain.kill import Deed
from trading.domain.lifecycle import CLOSED, Actor, Status
from trading.exchanges.venue import Venue
from trading.models import Bot, Command, CommandKind, Order, Position
from trading.selectors import limits
from trading.services import commands, config, orders, positions, sales

EXIT_REASON = "operator"


@dataclass(frozen=True)
class Adoption:
    """A holding that becomes a bot's position. amount: base currency. price: what it cost, quote currency; None: its price now."""

    bot: Bot
    amount: Decimal
    price: Decimal | None
    reason: str
    by: str


def close(*, position_pk: int, by: Any, reason: str, venue: Venue) -> Order:
    """Sell a position now: the order that does it, or the one that was on its way already. by: a User.

    Raises BadInput without a reason, for a position that is closed, and while the kill switch forbids every order.
    """
    return _sell(position_pk=position_pk, amount=None, by=by, reason=reason, venue=venue, action="close position")


def reduce(*, position_pk: int, amount: Decimal, by: Any, reason: str, venue: Venue) -> Order:
    """Sell `amount` (base) of a position now. Raises BadInput as `close` does, and for more than is held or too little to be sold."""
    return _sell(position_pk=position_pk, amount=amount, by=by, reason=reason, venue=venue, action="reduce position")


def cancel(*, order_pk: int, by: Any, reason: str) -> Order:
    """Have an order cancelled by its gateway. Raises BadInput without a reason, for an order that has ended, and while frozen."""
    _need(reason, "The order was not cancelled")
    with transaction.atomic():
        order = Order.objects.select_related("bot__account").get(pk=order_pk)
        if Status(order.status) in CLOSED:
            raise BadInput(f"Order {order.pk} was not cancelled: it is {order.get_status_display()} already.")
        level = sales.level_over(order.bot, symbol=order.symbol)
        if kill.forbids(level, Deed.CANCEL):
            raise BadInput(f"Order {order.pk} was not cancelled: the kill switch is at level {level}; lower it first.")
        orders.request_cancel(order_pk=order.pk, reason=reason[:255])
        audit.record(actor=by, action="cancel order", target=f"order:{order.pk}", reason=reason)
    return order


@transaction.atomic
def ask_to_adopt(*, bot_pk: int, amount: Decimal, price: Decimal | None, by: Any, reason: str) -> Command:
    """Ask the gateway to make a holding of the account the position of a bot; it knows what the exchange really holds.

    Raises BadInput without a reason, for an amount that is none, for a bot that holds something already, and for replays.
    """
    _need(reason, "Nothing was adopted")
    bot = Bot.objects.select_related("account").get(pk=bot_pk)
    _check_adoption(bot, amount=amount, price=price)
    payload = {"bot": bot.pk, "amount": plain(amount), "price": None if price is None else plain(price), "reason": reason}
    command = commands.ask(kind=CommandKind.ADOPT, account=bot.account, by=by, payload=payload)
    audit.record(actor=by, action="ask to adopt", target=f"bot:{bot.pk}", reason=reason, diff={"amount": [None, plain(amount)]})
    return command


def adopt(command: Command, *, venue: Venue) -> dict[str, Any]:
    """Carry out the wish of `ask_to_adopt`, for the gateway. Returns what was adopted; raises BadInput when it is not there."""
    wish = command.payload
    bot = Bot.objects.select_related("account", "risk_profile").get(pk=wish["bot"], account=command.account_id)
    adoption = Adoption(
        bot=bot,
        amount=parse_decimal(wish["amount"], name="amount"),
        price=None if wish["price"] is None else parse_decimal(wish["price"], name="price"),
        reason=wish["reason"],
        by=command.asked_by,
    )
    now = venue.clock.now()
    rules = venue.exchange.trading_rules(bot.symbol, at=now)
    free = next((balance.free for balance in venue.exchange.balances() if balance.asset == rules.base), Decimal(0))
    price = adoption.price or venue.exchange.ticker(bot.symbol).price
    position = _book_adoption(adoption, free=free, price=price, rules=rules, now=now)
    return {"position": position.pk, "amount": plain(position.amount), "price": plain(price)}


def _sell(*, position_pk: int, amount: Decimal | None, by: Any, reason: str, venue: Venue, action: str) -> Order:
    _need(reason, "Nothing was sold")
    position = Position.objects.select_related("bot__account").get(pk=position_pk)
    if not position.is_open or not position.amount:
        raise BadInput(f"Nothing was sold: position {position.pk} is closed.")
    if sales.is_frozen(position):
        raise BadInput("Nothing was sold: the kill switch forbids every order; lower it first.")
    now = venue.clock.now()
    if amount is not None:
        _check_part(position, amount=amount, venue=venue, now=now)
    order = sales.sell(position, reason=EXIT_REASON, venue=venue, now=now, amount=amount, actor=Actor.OPERATOR)
    asked = plain(position.amount if amount is None else amount)
    audit.record(actor=by, action=action, target=f"position:{position.pk}", reason=reason, diff={"amount": [asked, order.pk]})
    return order


def _check_part(position: Position, *, amount: Decimal, venue: Venue, now: datetime) -> None:
    if not amount.is_finite() or amount <= 0 or amount > position.amount:
        raise BadInput(f"Nothing was sold: the amount must be over 0 and at most {plain(position.amount)}, was {amount}.")
    try:
        rules = venue.exchange.trading_rules(position.symbol, at=now)
        price = venue.exchange.ticker(position.symbol).price
    except ExchangeUnavailable:
        return  # the exchange itself will say when it is too little
    if amount % rules.lot_step:
        raise BadInput(f"Nothing was sold: {plain(amount)} is not a multiple of the lot step {plain(rules.lot_step)}.")
    left = position.amount - amount
    for what, size in (("what is sold", amount), ("what stays", left)):
        if 0 < size * price < rules.minimum_total:
            raise BadInput(
                f"Nothing was sold: {what} is worth {size * price:.0f} {rules.quote}, the market takes no less than"
                f" {plain(rules.minimum_total)}; sell more, or close the position."
            )


def _check_adoption(bot: Bot, *, amount: Decimal, price: Decimal | None) -> None:
    if not amount.is_finite() or amount <= 0 or (price is not None and (not price.is_finite() or price <= 0)):
        raise BadInput("Nothing was adopted: amount and price must be over 0.")
    if Position.objects.open().filter(bot=bot, symbol=bot.symbol).exists():
        raise BadInput(f"Nothing was adopted: bot {bot.name} holds a position already; close it first, or choose another bot.")
    if Order.objects.unsettled().filter(bot=bot).exists():
        raise BadInput(f"Nothing was adopted: an order of bot {bot.name} is on its way; wait until it has ended.")


@transaction.atomic
def _book_adoption(adoption: Adoption, *, free: Decimal, price: Decimal, rules: TradingRules, now: datetime) -> Position:
    """A labelled trade without an order: the account's holding stays as it is, and from now on it is this bot's."""
    bot = Bot.objects.select_for_update(of=("self",)).select_related("account").get(pk=adoption.bot.pk)
    _check_adoption(bot, amount=adoption.amount, price=adoption.price)
    taken = Position.objects.open().filter(account=bot.account, symbol=bot.symbol).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    if adoption.amount > free - taken:
        raise BadInput(
            f"Nothing was adopted: {plain(free)} {rules.base} are free in the account and {plain(taken)} of them belong to bots,"
            f" so at most {plain(max(Decimal(0), free - taken))} can be adopted; asked were {plain(adoption.amount)}."
        )
    position = positions.adopt(
        bot=bot,
        amount=adoption.amount,
        price=price,
        plan=_exits_of(bot),
        rules=rules,
        now=now,
        trade_id=f"{positions.ADOPTED}:{uuid4().hex}",
    )
    audit.record(
        actor=adoption.by,
        action="adopt holding",
        target=f"bot:{bot.pk}",
        reason=adoption.reason,
        diff={"position": [None, position.pk], "amount": [None, plain(adoption.amount)], "price": [None, plain(price)]},
    )
    return position


def _exits_of(bot: Bot) -> dict[str, Any]:
    """The fractions of the limits and the profile that hold now; a strategy's own distances belong to its signals, and there was none."""
    profile = bot.risk_profile or limits.profile_of(bot, settings=config.current())
    own = limits.effective(bot, profile=profile).stop_fraction
    return {
        "stop_fraction": str(profile.stop_fraction if own is None else own),
        "target_fraction": str(profile.target_fraction),
        "levels": [{"profit_fraction": str(one.profit_fraction), "share": str(one.share)} for one in profile.partial_levels],
        "adopted": True,
    }


def _need(reason: str, what: str) -> None:
    if not reason.strip():
        raise BadInput(f"{what}: a reason is needed.")
