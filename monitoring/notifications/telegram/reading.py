"""Commands that only read. Each answer is what the asker may see and nothing else."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_celery_beat.models import PeriodicTask

from dgbot.base.display import age, amount, mode_label, money, percent, signed
from dgbot.core.money import plain
from monitoring import selectors, words
from monitoring.notifications import reports, wording
from monitoring.notifications.models import Channel
from monitoring.notifications.telegram import meant
from monitoring.notifications.telegram.answers import Answer, Asked
from risk.models import RiskState
from trading import jobs
from trading.models import AccountBalance, Bot, BotConfig, Cycle, Decision, ExchangeAccount, Order, PortfolioSnapshot, Position, Trade
from trading.selectors import ledger
from trading.services import config

SHOWN, MOST_SHOWN = 5, 30
MOST_DAYS = 3650
REASON_CHARACTERS = 160


def show_help(asked: Asked) -> Answer:
    """Every command the asker may give."""
    from monitoring.notifications.telegram.catalogue import allowed

    lines = [f"/{command.name}{f' {command.usage}' if command.usage else ''} – {command.says}" for command in allowed(asked.user)]
    more = _("What moves money or loosens a limit is carried out after you confirm it. Messages older than 2 minutes carry out nothing.")
    return Answer(_("Commands"), "\n".join([*lines, "", more]))


def status(asked: Asked) -> Answer:
    """The state of everything in a few lines."""
    rows = list(meant.seen(asked.user))
    running = sum(bot.is_running for bot in rows)
    held = [f"{state.bot or state.account}: {state.safe_mode_reason}" for state in selectors.safe_modes(asked.user)]
    switches = selectors.kill_switches(asked.user)
    fields = [
        (_("Bots running"), _("%(running)d of %(all)d") % {"running": running, "all": len(rows)}),
        (_("Open positions"), str(_seen(Position.objects.for_user(asked.user).open(), asked).count())),
        (_("Orders of unknown fate"), str(_seen(Order.objects.for_user(asked.user), asked).filter(status__in=selectors.DOUBTFUL).count())),
        (_("Safe mode"), str(len(held)) if held else _("none")),
        (_("Kill switches"), str(len(switches)) if switches else _("none")),
    ]
    return Answer(_("Status"), "\n".join([*(_bot_line(bot) for bot in rows), *held, *switches]), fields)


def bots(asked: Asked) -> Answer:
    """Each bot with its state and its last cycle."""
    lines = []
    for bot, cycle in selectors.with_last_cycle(selectors.bots_shown(Bot.objects.for_user(asked.user))):
        last = _("no cycle yet") if cycle is None else f"{asked.reader.when(cycle.slot)}: {cycle.outcome or cycle.get_status_display()}"
        lines += [_bot_line(bot), f"   {last}"]
    return Answer(_("Bots"), "\n".join(lines) or _("No bot yet."))


def bot(asked: Asked) -> Answer:
    """One bot in detail."""
    found = meant.bot(asked)
    currency = found.account.quote_currency
    fields = [
        (_("State"), f"{found.get_status_display()} {found.status_reason}".strip()),
        (_("Market"), found.symbol),
        (_("Strategy"), found.strategy),
        (_("Analyst"), f"{found.analyst} ({found.get_analyst_mode_display()})"),
        (_("Amount per trade"), f"{money(found.trade_amount, currency)} {currency}"),
        (_("Account"), f"{found.account.name} [{_badge(found)}]"),
    ]
    position = Position.objects.open().filter(bot=found, amount__gt=0).first()
    return Answer(f"{found.pk} {found.name}", _position_line(position) if position is not None else _("It holds nothing."), fields)


def positions(asked: Asked) -> Answer:
    """Open positions with what they are worth now, as the account was last valued."""
    rows = selectors.positions_valued(_seen(Position.objects.for_user(asked.user).open(), asked).filter(amount__gt=0))
    return Answer(_("Open positions"), "\n\n".join(_position_line(row) for row in rows) or _("None."))


def balance(asked: Asked) -> Answer:
    """What each account holds, with its age, and its last value."""
    blocks = []
    for account in _accounts(asked):
        rows = AccountBalance.objects.filter(account=account).order_by("asset")
        lines = [f"{row.asset}: {amount(row.free + row.locked)} ({_('free')} {amount(row.free)})" for row in rows if row.free + row.locked]
        known = min((row.known_at for row in rows), default=None)
        snapshot = PortfolioSnapshot.objects.filter(account=account).order_by("-created_at").first()
        value = None if snapshot is None else snapshot.total_value_krw
        aged = _("known %(age)s ago") % {"age": age(asked.now - known)} if known is not None and known <= asked.now else ""
        told = [f"[{mode_label(account.mode, is_demo=account.is_demo)}] {account.name} {aged}".strip(), *lines]
        blocks.append("\n".join([*told, f"{_('Value')}: {money(value)} KRW"]))
    return Answer(_("Balances"), "\n\n".join(blocks) or _("No account yet."))


def profit(asked: Asked) -> Answer:
    """Realised profit over the last days by the ledger, account by account."""
    days = meant.number(asked, default=1, most=MOST_DAYS)
    lines = []
    for account in _accounts(asked):
        end = _market_now(account, asked.now)
        found = ledger.summaries(accounts=[account.pk], start=end - timedelta(days=days), end=end)
        currency = account.quote_currency
        net = sum((line.net(currency) for line in found), Decimal(0))
        sales = sum(line.sales for line in found)
        told = f"{signed(net, currency)} {currency}, {_sales(sales)}" if found else _("no data")
        lines.append(f"[{mode_label(account.mode, is_demo=account.is_demo)}] {account.name}: {told}")
    title = ngettext("Profit of the last %(days)d day", "Profit of the last %(days)d days", days) % {"days": days}
    return Answer(title, "\n".join(lines) or _("No account yet."))


def trades(asked: Asked) -> Answer:
    """The newest fills."""
    rows = _newest(Trade.objects.for_user(asked.user), asked)
    return Answer(_("Newest fills"), "\n".join(_trade_line(row, asked) for row in rows) or _("No trade yet."))


def orders(asked: Asked) -> Answer:
    """Those on their way, then the newest."""
    mine = _seen(Order.objects.for_user(asked.user), asked).select_related("bot")
    waiting = list(mine.unsettled().order_by("-pk")[:MOST_SHOWN])
    newest = list(mine.order_by("-pk")[:SHOWN])
    fields = [(_("On their way"), str(len(waiting)))]
    rows = dict.fromkeys([*waiting, *newest])
    return Answer(_("Orders"), "\n".join(_order_line(row, asked) for row in rows) or _("No order yet."), fields)


def decisions(asked: Asked) -> Answer:
    """The newest decisions with the beginning of their reasons."""
    rows = _newest(Decision.objects.for_user(asked.user), asked)
    return Answer(_("Newest decisions"), "\n\n".join(_decision_line(row, asked) for row in rows) or _("No decision yet."))


def why(asked: Asked) -> Answer:
    """The whole reason of a bot's last decision."""
    found = meant.bot(asked)
    row = Decision.objects.filter(bot=found).order_by("-pk").first()
    if row is None:
        return Answer(f"{found.name}: {_('No decision yet.')}")
    fields = [
        (_("Decision"), str(words.WORDS["decision"][row.decision])),
        (_("Confidence"), wording.confidence_bar(None if row.confidence is None else plain(row.confidence))),
        (_("When"), asked.reader.when(row.created_at)),
    ]
    stopped = "\n".join(reason["message"] for reason in row.verdict.get("reasons", []))
    return Answer(found.name, "\n\n".join(part for part in (row.reason, stopped) if part), fields)


def cycles(asked: Asked) -> Answer:
    """The newest cycles in one sentence each."""
    count = meant.number(asked, default=SHOWN, most=MOST_SHOWN)
    rows = _seen(Cycle.objects.for_user(asked.user), asked).select_related("bot").order_by("-recorded_at", "-pk")[:count]
    lines = [f"{asked.reader.when(row.slot)} {row.bot}: {row.get_status_display()} – {row.outcome}" for row in rows]
    return Answer(_("Newest cycles"), "\n".join(lines) or _("No cycle yet."))


def risk(asked: Asked) -> Answer:
    """Profit of day and week, entries of today, and whether entries are blocked."""
    newest = RiskState.objects.for_user(asked.user).filter(account__is_hidden=False).order_by("account", "bot", "-trading_day")
    lines = [_risk_line(state) for state in newest.distinct("account", "bot").select_related("bot", "account")]
    return Answer(_("Limits used"), "\n".join([*lines, *selectors.kill_switches(asked.user)]) or _("Nothing was observed yet."))


def health(asked: Asked) -> Answer:
    """Signs of life, and what needs a look."""
    beats = selectors.heartbeats(asked.user, asked.now)
    lines = [f"{'❌' if one['is_late'] else '✅'} {one['row'].name}: {age(max(one['age'], timedelta(0)))}" for one in beats]
    attention = selectors.attention(asked.user)
    fields = [
        (_("Orders of unknown fate"), str(attention["unknown_orders"])),
        (_("Positions without protection"), "; ".join(attention["unprotected"]) or _("none")),
    ]
    return Answer(_("Health"), "\n".join(lines) or _("No process has shown a sign of life yet."), fields)


def report(asked: Asked) -> Answer:
    """Yesterday by the ledger."""
    day = reports.Day.before(asked.now)
    facts = {"form": "report", "day": day.date.isoformat(), "accounts": reports.of_user(asked.user.pk, day)}
    told = wording.FORMS["report"](facts, asked.reader)
    return Answer(told["title"], told["text"])


def schedule(asked: Asked) -> Answer:
    """Every schedule with its next run."""
    rows = PeriodicTask.objects.exclude(name__startswith="celery.").select_related("crontab", "interval", "clocked").order_by("name")
    return Answer(_("Schedules"), "\n".join(f"{row.name}: {jobs.next_run_text(row)}" for row in rows))


def settings(asked: Asked) -> Answer:
    """Every setting as it is stored."""
    rows = BotConfig.objects.order_by("key")
    lines = [f"{row.key}: {', '.join(f'{name} {value}' for name, value in row.value.items())}" for row in rows]
    return Answer(_("Settings"), "\n".join(lines), [(_("Trading"), _("on") if config.current().enabled else _("off"))])


def channels(asked: Asked) -> Answer:
    """The asker's channels."""
    lines = []
    for row in Channel.objects.filter(user=asked.user).order_by("pk"):
        state = (
            _("out of order: %(why)s") % {"why": row.last_error}
            if row.broken_at
            else _("failing: %(why)s") % {"why": row.last_error}
            if row.failures
            else _("works")
        )
        lines.append(f"{row.name} ({row.get_medium_display()}): {state if row.is_enabled else _('switched off')}")
    return Answer(_("Your channels"), "\n".join(lines))


def who(asked: Asked) -> Answer:
    """Whom the platform takes the asker for."""
    groups = ", ".join(asked.user.groups.order_by("name").values_list("name", flat=True)) or "–"
    fields = [(_("User"), asked.user.get_username()), (_("Roles"), groups), (_("Channel"), asked.channel.name)]
    return Answer(_("You"), "", [*fields, (_("Language"), asked.reader.language), (_("Time zone"), asked.reader.time_zone)])


def _seen(rows: Any, _asked: Asked) -> Any:
    """Without what dashboards hide, as replays are."""
    return rows.filter(account__is_hidden=False).exclude(bot__is_hidden=True)


def _newest(rows: Any, asked: Asked) -> Iterable[Any]:
    count = meant.number(asked, default=SHOWN, most=MOST_SHOWN)
    found: Iterable[Any] = _seen(rows, asked).select_related("bot", "account").order_by("-created_at", "-pk")[:count]
    return found


def _accounts(asked: Asked) -> Any:
    rows = ExchangeAccount.objects.for_user(asked.user).filter(is_hidden=False).exclude(mode="replay")
    return rows.select_related("simulated_market").order_by("name", "pk")


def _market_now(account: ExchangeAccount, now: datetime) -> datetime:
    """A simulated account lives in its market's time; its newest fill tells how far that is."""
    if account.mode != "simulated":
        return now
    newest = Trade.objects.filter(account=account).order_by("-created_at").values_list("created_at", flat=True).first()
    return now if newest is None else newest + timedelta(seconds=1)


def _badge(row: Any) -> str:
    return mode_label(row.mode, is_demo=row.account.is_demo)


def _bot_line(row: Bot) -> str:
    return f"{row.pk} [{_badge(row)}] {row.name} {row.symbol}: {row.get_status_display()} {row.status_reason}".rstrip()


def _position_line(row: Any) -> str:
    from monitoring import events

    currency = row.account.quote_currency
    price = events.mark_price(row)[0] if hasattr(row, "last_snapshot") else None
    entry = row.entry_price
    result = None if price is None or not entry else (price - entry) * row.amount
    gain = (
        _("profit unknown") if result is None else f"{signed(result, currency)} {currency} ({percent(price / entry - 1, with_sign=True)})"
    )
    head = f"[{_badge(row)}] {row.bot}: {amount(row.amount)} {row.symbol} @ {money(entry, currency)}"
    return f"{head}\n{gain} · {_('stop')} {money(row.current_stop, currency)} · {_('target')} {money(row.target_price, currency)}"


def _trade_line(row: Trade, asked: Asked) -> str:
    side = words.WORDS["side"][row.side]
    price = money(row.price, row.account.quote_currency)
    head = f"{asked.reader.when(row.created_at)} [{_badge(row)}] {row.bot or row.account.name}"
    return f"{head}: {side} {amount(row.amount)} {row.symbol} @ {price}"


def _order_line(row: Order, asked: Asked) -> str:
    return f"{row.pk} {row.bot}: {words.WORDS['side'][row.side]} {row.symbol}, {row.get_status_display()} {row.error_message}".rstrip()


def _decision_line(row: Decision, asked: Asked) -> str:
    word = str(words.WORDS["decision"][row.decision]).upper()
    sure = "" if row.confidence is None else f" {row.confidence.normalize():f} %"
    return f"{asked.reader.when(row.created_at)} {row.bot}: {word}{sure}\n{row.reason[:REASON_CHARACTERS]}"


def _risk_line(state: RiskState) -> str:
    currency = state.account.quote_currency
    who = state.bot or state.account
    blocked = f" · {_('entries blocked')}: {state.safe_mode_reason}" if state.safe_mode else ""
    day = f"{_('day')} {signed(state.daily_pnl, currency)} {currency}"
    week = f"{_('week')} {signed(state.weekly_pnl, currency)} {currency}"
    return f"{who}: {day} · {week} · {_('entries today')} {state.daily_trade_count}{blocked}"


def _sales(count: int) -> str:
    return ngettext("%(count)d sale", "%(count)d sales", count) % {"count": count}
