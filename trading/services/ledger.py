"""Writing the ledger: each fill, payment and adjustment once, in the transaction that books what it belongs to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from dgbot.accounts import audit
from dgbot.base.fields import ClockTimestamp
from dgbot.core.errors import BadInput
from dgbot.core.money import LARGEST, SMALLEST_STEP, plain
from dgbot.core.types import CashFlow, CashFlowKind, VenueFill
from risk import services as risk
from trading.domain.ledger import COUNTER, Leg, Source, assets_of, moved, of_fill
from trading.models import BreakKind, ExchangeAccount, LedgerEntry, Position, ReconcileBreak, Trade
from trading.selectors import ledger as selectors
from trading.signals import trade_recorded

EXTERNAL = "external"
LIQUIDATION = "liquidation"
SOURCE_OF_FLOW = {
    CashFlowKind.DEPOSIT: Source.DEPOSIT,
    CashFlowKind.WITHDRAWAL: Source.WITHDRAWAL,
    CashFlowKind.FUNDING: Source.FUNDING,
    CashFlowKind.OTHER: Source.OTHER,
}


@dataclass(frozen=True)
class Group:
    """Legs that stand or fall together, and what they belong to."""

    source: Source
    source_id: str
    legs: Sequence[Leg]
    at: datetime
    symbol: str = ""
    bot_id: int | None = None
    position_id: int | None = None
    note: str = ""
    entered_by: str = ""


def enter(*, account_id: int, user_id: int, mode: str, groups: Iterable[Group]) -> None:
    """Write groups of one account, inside the caller's transaction."""
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            account_id=account_id,
            user_id=user_id,
            mode=mode,
            bot_id=group.bot_id,
            position_id=group.position_id,
            symbol=group.symbol,
            source_kind=group.source.value,
            source_id=group.source_id,
            leg=number,
            book=leg.book.value,
            asset=leg.asset,
            amount=leg.amount,
            note=group.note,
            entered_by=group.entered_by,
            created_at=group.at,
        )
        for group in groups
        for number, leg in enumerate(group.legs, start=1)
    )


def enter_trades(trades: Sequence[Trade], *, base: str, quote: str) -> None:
    """The legs of one account's trades in one market, in the transaction that inserts them."""
    groups = (
        Group(
            source=_source_of(trade),
            source_id=trade.exchange_trade_id,
            legs=of_fill(trade, base=base, quote=quote),
            at=trade.created_at,
            symbol=trade.symbol,
            bot_id=trade.bot_id,
            position_id=trade.position_id,
        )
        for trade in trades
    )
    first = trades[0]
    enter(account_id=first.account_id, user_id=first.user_id, mode=first.mode, groups=groups)


def book_external(*, account: ExchangeAccount, fills: Sequence[VenueFill], is_forced: bool = False) -> list[Trade]:
    """Book fills of one order that is not ours, in the caller's transaction: nobody's position, everybody's account.

    is_forced: the exchange liquidated. What is booked already changes nothing. Returns the new trades.
    """
    told = {fill.exchange_trade_id: fill for fill in fills}
    known = Trade.objects.filter(account=account, exchange_trade_id__in=told).values_list("exchange_trade_id", flat=True)
    fresh = [told[trade_id] for trade_id in told.keys() - set(known)]
    if not fresh:
        return []
    source = LIQUIDATION if is_forced else EXTERNAL
    ordered = sorted(fresh, key=lambda fill: (fill.executed_at, fill.exchange_trade_id))
    trades = Trade.objects.bulk_create(_external(fill, account=account, source=source) for fill in ordered)
    base, quote = assets_of(trades[0].symbol)
    enter_trades(trades, base=base, quote=quote)
    for trade in trades:
        transaction.on_commit(lambda pk=trade.pk: trade_recorded.send_robust(sender=Trade, pk=pk))  # type: ignore[misc]  # a default argument
    return trades


def book_flows(*, account: ExchangeAccount, flows: Sequence[CashFlow]) -> int:
    """Book payments that are no fills, once by the exchange's id. Returns how many were news.

    A deposit or withdrawal in quote currency is a transfer for the risk limits too: no profit and no loss.
    """
    known = set(
        LedgerEntry.objects.filter(
            account=account, source_kind__in=SOURCE_OF_FLOW.values(), source_id__in=[one.flow_id for one in flows]
        ).values_list("source_id", flat=True)
    )
    fresh = [one for one in {one.flow_id: one for one in flows}.values() if one.flow_id not in known and one.amount]
    for one in fresh:
        source, payer = SOURCE_OF_FLOW[one.kind], _payer(account, one)
        group = Group(
            source=source,
            source_id=one.flow_id,
            legs=moved(one.asset, one.amount, against=COUNTER[source]),
            at=one.at,
            symbol=one.symbol,
            note=one.word,
            bot_id=payer.bot_id if payer else None,
            position_id=payer.pk if payer else None,
        )
        enter(account_id=account.pk, user_id=account.user_id, mode=account.mode, groups=[group])
        if source in (Source.DEPOSIT, Source.WITHDRAWAL) and one.asset == account.quote_currency:
            owner = risk.Owner(account_id=account.pk, user_id=account.user_id, mode=account.mode)
            risk.record_transfer(
                owner=owner, amount=one.amount, reference=one.flow_id, at=one.at, zone=settings.RISK_TIMEZONE, note=one.word
            )
    return len(fresh)


def open_balances(*, account: ExchangeAccount, told: dict[str, Decimal], at: datetime) -> bool:
    """What an account held when it was first read: booked once, less what the ledger has of it already. Returns whether it was news."""
    if LedgerEntry.objects.filter(account=account, source_kind=Source.OPENING).exists():
        return False
    booked = selectors.holdings(account_id=account.pk)
    groups = [
        Group(source=Source.OPENING, source_id=asset, legs=legs, at=at, note="first reading of the account")
        for asset in sorted(told.keys() | booked.keys())
        if (legs := moved(asset, told.get(asset, Decimal(0)) - booked.get(asset, Decimal(0)), against=COUNTER[Source.OPENING]))
    ]
    enter(account_id=account.pk, user_id=account.user_id, mode=account.mode, groups=groups)
    return bool(groups)


@transaction.atomic
def adjust(*, account: ExchangeAccount, asset: str, amount: Decimal, by: Any, reason: str, at: datetime) -> str:
    """An operator's entry for what no fill and no payment explains: an airdrop, dust swept, a transfer the key may not list.

    amount: came in, or went out where it is negative. Returns its id. Raises BadInput for zero, too many digits, or without a reason.
    """
    if not reason.strip():
        raise BadInput("Nothing was adjusted: say what the amount is; the reason stays with the entry.")
    if not asset.strip() or not amount.is_finite() or amount == 0 or abs(amount) >= LARGEST or amount % SMALLEST_STEP:
        raise BadInput(
            f"Nothing was adjusted: an asset and an amount other than zero with at most 18 decimals are needed, was {amount} {asset!r}."
        )
    source_id = uuid4().hex
    group = Group(
        source=Source.ADJUSTMENT,
        source_id=source_id,
        legs=moved(asset.strip(), amount, against=COUNTER[Source.ADJUSTMENT]),
        at=at,
        note=reason.strip()[:255],
        entered_by=by if isinstance(by, str) else by.get_username(),
    )
    enter(account_id=account.pk, user_id=account.user_id, mode=account.mode, groups=[group])
    # It answers what differed; if it does not answer all of it, the next runs find the rest.
    differing = ReconcileBreak.objects.filter(account=account, kind=BreakKind.DIFFERENCE, subject=asset.strip(), over_at=None)
    differing.update(over_at=ClockTimestamp(), over_by=group.entered_by, over_reason=group.note)
    audit.record(actor=by, action="adjust ledger", target=f"account:{account.pk}", reason=reason, diff={asset.strip(): ["", plain(amount)]})
    return source_id


def _payer(account: ExchangeAccount, flow: CashFlow) -> Position | None:
    """Whose position a payment belongs to: the one that was open then. With several bots in a market the account alone paid."""
    if not flow.symbol:
        return None
    then_open = Q(opened_at__lte=flow.at) & (Q(closed_at=None) | Q(closed_at__gte=flow.at))
    found = list(Position.objects.filter(then_open, account=account, symbol=flow.symbol)[:2])
    return found[0] if len(found) == 1 else None


def _source_of(trade: Trade) -> Source:
    if trade.source == LIQUIDATION:
        return Source.LIQUIDATION
    return Source.TRADE if trade.order_id is not None else Source.EXTERNAL


def _external(fill: VenueFill, *, account: ExchangeAccount, source: str) -> Trade:
    return Trade(
        exchange_trade_id=fill.exchange_trade_id,
        account=account,
        user_id=account.user_id,
        mode=account.mode,
        symbol=fill.symbol,
        side=fill.side.value,
        price=fill.price,
        amount=fill.amount,
        total=fill.price * fill.amount,
        fee=fill.fee,
        fee_currency=fill.fee_currency,
        source=source,
        created_at=fill.executed_at,
        updated_at=fill.executed_at,
    )
