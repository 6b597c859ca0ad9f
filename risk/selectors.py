"""What risk knows, read."""

from decimal import Decimal

from django.db.models import Max, Q, Sum

from risk.models import KillScope, KillSwitch, Reservation, ReservationStatus


def kill_level(*, bot_id: int, account_id: int, user_id: int, exchange: str, symbol: str) -> int:
    """The highest level of every kill switch that covers this bot."""
    covers = (
        Q(scope=KillScope.PLATFORM)
        | Q(scope=KillScope.EXCHANGE, scope_id=exchange)
        | Q(scope=KillScope.ACCOUNT, scope_id=str(account_id))
        | Q(scope=KillScope.USER, scope_id=str(user_id))
        | Q(scope=KillScope.BOT, scope_id=str(bot_id))
        | Q(scope=KillScope.MARKET, scope_id=symbol)
    )
    return KillSwitch.objects.filter(covers).aggregate(highest=Max("level"))["highest"] or 0


def held(*, account_id: int) -> Decimal:
    """Quote currency set aside on this account for orders whose fate is open."""
    return Reservation.objects.filter(account_id=account_id, status=ReservationStatus.HELD).aggregate(sum=Sum("notional"))[
        "sum"
    ] or Decimal(0)
