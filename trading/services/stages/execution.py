"""Stage 4, Execution: size → liquidity gate → planned order with its reservation, all in one transaction."""

from dataclasses import dataclass
from decimal import Decimal

from dgbot.core.money import plain, round_down
from dgbot.core.types import OrderBook, Side
from risk import services as risk
from risk.domain.exits import ExitReason
from risk.domain.reasons import Reason
from risk.domain.sizing import sellable, size_sale, trapped
from trading.domain import liquidity
from trading.domain.stages import Action, Collected, DecisionKind, Outcome
from trading.models import Decision, Order, Position
from trading.services import exits, orders
from trading.services.stages.context import Context
from trading.services.stages.entry_size import QUOTE_GRAIN, size_entry

NOTHING_TO_DO = Outcome(Action.SKIP, (Reason("nothing_to_do", "Nothing to do."),))


@dataclass(frozen=True)
class RiskExit:
    """What RiskCheck found due, and at which price (quote currency)."""

    reason: str
    price: Decimal


def execute(
    context: Context, *, decision: Decision | None, risk_exit: RiskExit | None, collected: Collected | None
) -> tuple[Order | None, Outcome]:
    """Plan what was decided. `risk_exit` is RiskCheck's own, which needs no decision."""
    position = context.position
    if risk_exit is not None and position is not None:
        if risk_exit.reason == ExitReason.PARTIAL:
            return _level(context, position=position, price=risk_exit.price)
        return _exit(context, reason=risk_exit.reason)
    if decision is None or not decision.verdict.get("is_valid"):
        return None, NOTHING_TO_DO
    if decision.decision == DecisionKind.SELL and position is not None:
        reason = decision.proposal["exit_reason"]
        amount = _part(context, collected) if reason == ExitReason.SIGNAL else None
        return _exit(context, reason=reason, amount=amount, book=None if collected is None else collected.book)
    if decision.decision == DecisionKind.BUY and position is None and collected is not None:
        return _enter(context, decision=decision, collected=collected)
    return None, NOTHING_TO_DO


def _part(context: Context, collected: Collected | None) -> Decimal | None:
    """What the strategy's own signal sells: the profile's ratio. Everything when no price tells whether the rest could be sold later."""
    position, rules = context.position, context.rules
    if position is None or collected is None or collected.ticker is None or not position.amount:
        return None
    return size_sale(
        held=position.amount,
        ratio=context.profile.sell_ratio,
        price=collected.ticker.price,
        lot_step=rules.lot_step,
        minimum_total=rules.minimum_total,
    )


def _level(context: Context, *, position: Position, price: Decimal) -> tuple[Order | None, Outcome]:
    """The part a level sells, found anew: a cycle that was taken over may find the level sold by the guardian meanwhile."""
    due = exits.look(position, price=price, rules=lambda: context.rules).due
    if due is None:
        return None, NOTHING_TO_DO
    return _exit(context, reason=due.reason, amount=due.amount, level=due.level)


def _exit(
    context: Context, *, reason: str, amount: Decimal | None = None, level: int = 0, book: OrderBook | None = None
) -> tuple[Order, Outcome]:
    """Sell it now; of what is more than the book takes, a part now and the rest as the gateway goes on."""
    assert context.position is not None
    whole = context.position.amount if amount is None else amount
    part = whole if book is None else liquidity.exit_part(book=book, amount=whole, rules=context.rules)
    order = orders.plan_exit(
        position=context.position,
        reason=reason,
        now=context.now,
        cycle=context.cycle,
        lease_epoch=context.lease_epoch,
        amount=part,
        level=level,
        rest=whole - part,
    )
    return order, Outcome(
        Action.EXIT, (Reason("exit_planned", f"Order {order.pk} sells position {context.position.pk}: {reason}."),), {"order": order.pk}
    )


def _enter(context: Context, *, decision: Decision, collected: Collected) -> tuple[Order | None, Outcome]:
    if collected.book is None:
        return None, Outcome(Action.STOP, collected.unknown)
    risk.hold_account(context.bot.account_id)  # what is at stake is read, and the order planned, before another bot reads it
    entry = size_entry(context, collected=collected, book=collected.book, proposed=decision.proposal["plan"])
    size = entry.size
    if not size.quote_amount:
        return None, Outcome(Action.STOP, size.reasons)
    refusals, data = _liquidity(context, book=collected.book, quote_amount=size.quote_amount)
    refusals += _unsellable(context, book=collected.book, quote_amount=size.quote_amount) + entry.unsafe
    sized, too_small = _sized(context, book=collected.book, quote_amount=size.quote_amount)
    refusals += too_small
    if refusals:
        return None, Outcome(Action.STOP, refusals, data)
    fee_rate = context.venue.exchange.fees(context.bot.symbol).taker_rate
    order = orders.plan_entry(
        bot=context.bot,
        cycle=context.cycle,
        **sized,
        notional=size.quote_amount * (1 + fee_rate),
        plan={**entry.plan, "liquidity": data},
        now=context.now,
        valid_until=None,
        lease_epoch=context.lease_epoch,
    )
    reason = Reason("entry_planned", f"Order {order.pk} buys {context.bot.symbol} for {size.quote_amount:f} {context.rules.quote}.")
    return order, Outcome(Action.CONTINUE, (reason,), {**data, "order": order.pk})


def _sized(context: Context, *, book: OrderBook, quote_amount: Decimal) -> tuple[dict[str, Decimal], tuple[Reason, ...]]:
    """The size as this exchange takes it: the money, or whole lots which that money buys at the average price of the book."""
    if context.venue.exchange.capabilities.market_buy_in_quote:
        return {"quote_amount": quote_amount}, ()
    rules = context.rules
    price = liquidity.measure(book=book, side=Side.BUY, quote_amount=quote_amount).expected_avg_price or book.asks[0].price
    amount = round_down(quote_amount / price, step=rules.lot_step)
    if amount >= rules.minimum_amount and sellable(amount=amount, price=price, minimum_total=rules.minimum_total):
        return {"amount": amount}, ()
    least = max(rules.minimum_amount * price, rules.minimum_total, rules.lot_step * price)
    message = f"No order: {quote_amount:f} {rules.quote} buys less of {rules.base} than the exchange's smallest order."
    return {}, (Reason("below_minimum", message, value=plain(quote_amount), limit=plain(least), remedy="Raise the trade amount."),)


def _liquidity(context: Context, *, book: OrderBook, quote_amount: Decimal) -> tuple[tuple[Reason, ...], dict[str, object]]:
    parts = liquidity.split(
        book=book,
        side=Side.BUY,
        quote_amount=quote_amount,
        step=QUOTE_GRAIN[context.rules.quote],
        minimum_total=context.rules.minimum_total,
    )
    found = liquidity.measure(book=book, side=Side.BUY, quote_amount=quote_amount)
    data: dict[str, object] = {**found.as_row(), "parts": [plain(part.size) for part in parts]}
    limit = (context.profile.slippage_limit if context.limits.slippage_limit is None else context.limits.slippage_limit) * 100
    if found.expected_slippage_pct is None:
        return (
            Reason("no_liquidity", f"The book of {book.symbol} cannot take {quote_amount:f}.", remedy="Lower the amount or wait."),
        ), data
    if found.expected_slippage_pct > limit:
        slip = f"{found.expected_slippage_pct:.3f} %"
        return (
            Reason(
                "slippage",
                f"Expected slippage {slip} is over the limit of {limit:.3f} %.",
                value=slip,
                limit=f"{limit:.3f} %",
                remedy="Lower the amount, or raise the limit in Risk profiles.",
            ),
        ), data
    return (), data


def _unsellable(context: Context, *, book: OrderBook, quote_amount: Decimal) -> tuple[Reason, ...]:
    """An entry that could not be sold at its stop would trap its money. Judged at the widest stop there may be: the profile's."""
    price, rules = book.asks[0].price, context.rules
    stop = price * (1 - context.profile.stop_fraction)
    return trapped(quote_amount=quote_amount, entry=price, stop=stop, lot_step=rules.lot_step, minimum_total=rules.minimum_total)
