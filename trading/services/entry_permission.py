"""Everything but the kill switch that may forbid a planned entry, looked at in the transaction that claims it."""

from dgbot.core.errors import BadInput
from dgbot.core.money import plain
from dgbot.core.types import Mode
from risk.models import Reservation, ReservationStatus
from trading.domain.config import cap_in
from trading.models import BotStatus, Order
from trading.services import account_breaks, config, credentials, entry_limits, price_alarms, switches
from trading.services.krw_rates import StoredRates


def refusal(order: Order) -> str:
    """Why this entry may not leave, in one text; empty when it may. Holds the account until the claim commits."""
    if not order.bot.is_running:
        return "its bot has been stopped"
    if order.bot.status in (BotStatus.REQUESTED, BotStatus.STARTING):
        return f"its bot is {order.bot.get_status_display()}, {order.bot.status_reason}"
    if not Reservation.objects.filter(order_id=order.pk, status=ReservationStatus.HELD).exists():
        return "nothing is reserved for it"
    told = (
        account_breaks.why_no_entries(order.account_id)
        or credentials.why_no_entries(order.account_id)
        or price_alarms.why_no_entries(exchange=order.account.exchange, symbol=order.symbol)
        or _refused_by_settings(order)
    )
    if told:
        return told
    if Order.objects.maybe_sent().filter(bot_id=order.bot_id).exists():
        return "another order of its bot may be at the exchange without our knowing"
    return entry_limits.refusal(order)


def _refused_by_settings(order: Order) -> str:
    """What the settings of this moment say against an entry that was planned under those of its cycle: the tighter hold."""
    try:
        rules = config.current()
    except BadInput as error:  # unknown settings block entries, and nothing else
        return str(error).rstrip(".")
    blocking = switches.blocking(order.bot, settings=rules)
    if blocking:
        return blocking[0].message.rstrip(".")
    if order.mode == Mode.REPLAY:
        return ""  # a replay keeps the caps of its cycle, whatever is edited while it runs
    currency, amount = order.account.quote_currency, entry_limits.spends(order)
    cap = cap_in(currency, cap_krw=rules.max_trade_amount_krw, krw_per_unit=StoredRates().krw_per(currency))
    if cap is None:
        return f"the rate from {currency} to KRW is unknown, so max_trade_amount_krw cannot be told"
    if amount > cap:
        return f"{plain(amount)} {currency} is over the {plain(rules.max_trade_amount_krw)} KRW of max_trade_amount_krw"
    return ""
