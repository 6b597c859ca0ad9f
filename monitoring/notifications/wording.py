"""What a notification says, in the language that is active. One small function per form; channels escape, so nothing is escaped here."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from dgbot.base import display
from monitoring import words
from monitoring.notifications.kinds import Kind, Level
from monitoring.notifications.message import Message, Reader
from monitoring.notifications.models import Notification
from trading.models import BotStatus, KeyStatus
from trading.models.orders import STATUSES
from trading.models.reconcile import BreakKind

Facts = dict[str, Any]
Fields = list[tuple[str, str]]
OVERBOUGHT, OVERSOLD = 70, 30  # RSI14
BLOCKS = 10  # of the bar that shows a confidence
DEEP_FALL = -0.05  # over 15 minutes


def message(row: Notification, reader: Reader, *, is_repeat: bool = False) -> Message:
    """The whole message for one reader. Raises KeyError for a form nobody knows."""
    facts = dict(row.content)
    told = FORMS[facts["form"]](facts, reader)
    return Message(
        kind=Kind(row.kind),
        level=Level(row.level),
        title=_line(told["title"]),
        fields=tuple((_line(label), _line(value)) for label, value in told.get("fields", [])),
        text=told.get("text", ""),
        remedy=told.get("remedy", ""),
        badge=facts.get("badge", ""),
        when="" if facts["form"] == "literal" else reader.when(row.happened_at),
        at=row.happened_at,
        may_be_a_repeat=_("(This may be a repeat: the sender ended while it was being sent.)") if is_repeat else "",
    )


def _plain(facts: Facts, _reader: Reader) -> Facts:
    """Of `outbox.tell`: texts of the platform's own, translated here."""
    params = facts.get("params", {})
    return {
        "title": _filled(facts["title"], params),
        "text": _filled(facts["text"], params) if facts.get("text") else "",
        "fields": [(_(label), value) for label, value in facts.get("fields", [])],
    }


def _literal(facts: Facts, _reader: Reader) -> Facts:
    """Already in the reader's language."""
    return {"title": facts["title"], "text": facts.get("text", ""), "fields": [tuple(pair) for pair in facts.get("fields", [])]}


def _cycle(facts: Facts, reader: Reader) -> Facts:
    return {
        "title": _("%(bot)s: cycle started") % facts,
        "fields": [
            (_("Status"), str(words.WORDS["action"][facts["action"]])),
            (_("Market"), facts["symbol"]),
            (_("Slot"), reader.when(datetime.fromisoformat(facts["slot"]))),
            (_("Trigger"), str(words.WORDS["trigger"][facts["trigger"]])),
        ],
        "text": facts["text"],
    }


def _signals(facts: Facts, _reader: Reader) -> Facts:
    market, analysis = facts.get("market") or {}, facts["analysis"]
    conditions = analysis.get("market_conditions")
    return {
        "title": _("%(bot)s: backtest and signals") % facts,
        "fields": [
            (_("Price"), _money(facts["price"], facts["currency"])),
            (_("Change in 24 h"), _fraction(market.get("change_24h"))),
            ("RSI(14)", _rsi(market.get("rsi14"))),
            ("MA20", _number(market.get("ma20"), facts["currency"])),
            ("MA60", _number(market.get("ma60"), facts["currency"])),
            *_backtest(analysis.get("quick_filter")),
            *_conditions(conditions),
        ],
    }


def _backtest(told: Any) -> Fields:
    """Win rate, return, Sharpe, MDD, trades and whether it passed; or that nothing was proposed that it could stop."""
    if not isinstance(told, dict):
        return [(_("Backtest"), _("not asked: nothing was proposed"))]
    names = {
        "win_rate": _("Win rate"),
        "return": _("Return"),
        "sharpe": _("Sharpe ratio"),
        "max_drawdown": _("Largest drawdown"),
        "trades": _("Trades"),
        "profit_factor": _("Profit factor"),
    }
    found = {check["name"]: check for check in told.get("checks", [])}
    fields = [(label, f"{found[name]['value']} {'✓' if found[name]['is_met'] else '✗'}") for name, label in names.items() if name in found]
    verdict = {None: _("switched off"), True: _("passed"), False: _("not passed")}[told.get("passed")]
    return [*fields, (_("Backtest"), verdict)]


def _conditions(seen: Any) -> Fields:
    if not isinstance(seen, dict):
        return []
    crash, lost = seen.get("flash_return", "not read"), seen.get("divergence", "not read")
    fields = []
    if crash != "not read":
        fields.append(
            (_("Flash crash"), _("unknown") if crash is None else f"{_('yes') if crash <= DEEP_FALL else _('no')} ({crash:+.2%})")
        )
    if lost != "not read":
        known = _("none") if lost == 0 else _("bearish, %(points).1f RSI points") % {"points": lost or 0}
        fields.append((_("Divergence"), _("unknown") if lost is None else known))
    return fields


def _decision(facts: Facts, _reader: Reader) -> Facts:
    fields = [
        (_("Decision"), str(words.WORDS["decision"][facts["decision"]]).upper()),
        (_("Confidence"), confidence_bar(facts["confidence"])),
        (_("Analyst"), facts["analyst"]),
    ]
    if facts["seconds"] is not None:
        fields.append((_("Answered within"), _("%(seconds)s s") % facts))
    return {
        "title": _("%(bot)s: decision on %(symbol)s") % facts,
        "fields": fields,
        "text": facts["reason"],
        "remedy": _("Stopped by: %(stopped)s") % facts if facts["stopped"] else "",
    }


def confidence_bar(text: str | None) -> str:
    """Ten blocks and the number; without one, that the rules state none."""
    if text is None:
        return _("none: the rules state no probability")
    value = Decimal(text)
    filled = max(0, min(BLOCKS, int(value / BLOCKS + Decimal("0.5"))))
    return f"{'█' * filled}{'░' * (BLOCKS - filled)} {value.normalize():f} %"


def _portfolio(facts: Facts, _reader: Reader) -> Facts:
    currency, trade = facts["currency"], facts["trade"]
    fields = [
        (currency, _money(facts["quote"], currency)),
        (facts["base"] or facts["symbol"], _amount(facts["base_amount"]) if facts["base"] else "0"),
        (_("Total value"), _money(facts["value"], currency)),
        (_("Profit so far"), _no_data(facts["earned"], lambda value: display.signed(value, currency))),
    ]
    if trade is not None:
        status = dict(STATUSES)[trade["status"]]
        fields += [
            (_("Trade"), f"{'✅' if trade['is_ok'] else '❌'} {words.WORDS['side'][trade['side']]} · {status}"),
            (_("Order"), f"{trade['id']} {trade['exchange_id']}".strip()),
            (_("Fill price"), _money(trade["price"], currency)),
            (_("Amount"), _amount(trade["amount"])),
            (_("Total"), _money(trade["total"], currency)),
            (_("Fee"), _money(trade["fee"], currency)),
        ]
    unknown = facts["cause"] if facts["value"] is None else ""
    return {
        "title": _("%(bot)s: portfolio") % facts,
        "fields": fields,
        "text": "\n".join(part for part in (facts["outcome"], trade["why"] if trade else "", unknown) if part),
    }


EXIT_TITLES = {
    "stop": lambda: _("stop-loss sold %(symbol)s"),
    "trailing": lambda: _("trailing stop sold %(symbol)s"),
    "target": lambda: _("take-profit sold %(symbol)s"),
    "partial": lambda: _("take-profit level sold a part of %(symbol)s"),
    "liquidation": lambda: _("the exchange liquidated %(symbol)s"),
    "kill_switch": lambda: _("the kill switch sold %(symbol)s"),
}


def _fill(facts: Facts, _reader: Reader) -> Facts:
    currency = facts["currency"]
    who = facts["bot"] or facts["account"]
    if facts["is_foreign"]:
        what = _("somebody else traded %(symbol)s in this account") % facts
    elif facts["side"] == "buy":
        what = _("bought %(symbol)s") % facts
    else:
        what = EXIT_TITLES.get(facts["exit_reason"], lambda: _("sold %(symbol)s"))() % facts
    fields = [
        (_("Fill price"), _money(facts["price"], currency)),
        (_("Amount"), _amount(facts["amount"])),
        (_("Total"), f"{_money(facts['total'], currency)} {currency}"),
        (_("Fee"), f"{_amount(facts['fee'])} {facts['fee_currency']}"),
    ]
    if facts["is_closed"]:
        fields.append((_("Profit"), _unknown(facts["profit"], lambda value: f"{display.signed(value, currency)} {currency}")))
    if facts["order"] is not None:
        fields.append((_("Order"), str(facts["order"])))
    return {"title": f"{who}: {what}", "fields": fields}


def _risk(facts: Facts, _reader: Reader) -> Facts:
    who = facts["bot"] or facts["account"]
    if facts["code"] == "safe_mode_released":
        return {"title": _("%(who)s: entries are let through again") % {"who": who}, "text": facts["text"]}
    fields = [(label, facts[name]) for name, label in (("value", _("Value")), ("limit", _("Limit"))) if facts[name]]
    return {
        "title": _("%(who)s: a limit stopped entries") % {"who": who},
        "fields": fields,
        "text": facts["text"],
        "remedy": _("Exits go on. Look at the cause, then release it under Limits used, or with /release."),
    }


def _kill_switch(facts: Facts, _reader: Reader) -> Facts:
    from risk.models import KillLevel, KillScope

    where = f"{KillScope(facts['scope']).label} {facts['which']}".strip()
    is_raised = facts["after"] > facts["before"]
    title = _("Kill switch raised: %(where)s") if is_raised else _("Kill switch lowered: %(where)s")
    fields = [
        (_("Level"), f"{KillLevel(facts['before']).label} → {KillLevel(facts['after']).label}"),
        (_("By"), facts["by"]),
        *((label, facts[name]) for name, label in (("value", _("Value")), ("limit", _("Limit"))) if facts[name]),
    ]
    return {"title": title % {"where": where}, "fields": fields, "text": facts["text"], "remedy": facts["remedy"]}


ORDER_TITLES = {
    "unknown": lambda: _("%(bot)s: the fate of order %(order)s is unknown"),
    "disputed": lambda: _("%(bot)s: order %(order)s contradicts our books"),
    "failed": lambda: _("%(bot)s: the exchange refused order %(order)s"),
    "absent": lambda: _("%(bot)s: order %(order)s never reached the exchange"),
}
ORDER_REMEDIES = {
    "unknown": lambda: _("Its money stays reserved and entries wait until the exchange has told; nothing is sent again."),
    "disputed": lambda: _("Look at it in the admin under Orders and decide; entries wait for you."),
    "failed": lambda: _("Nothing was bought or sold by it."),
    "absent": lambda: _("Nothing was bought or sold by it."),
}


def _order(facts: Facts, _reader: Reader) -> Facts:
    return {
        "title": ORDER_TITLES[facts["status"]]() % facts,
        "fields": [(_("Market"), facts["symbol"]), (_("Side"), str(words.WORDS["side"][facts["side"]]))],
        "text": facts["why"],
        "remedy": ORDER_REMEDIES[facts["status"]](),
    }


def _key(facts: Facts, _reader: Reader) -> Facts:
    is_good = facts["status"] == KeyStatus.VERIFIED
    title = _("%(account)s: the key works again") if is_good else _("%(account)s: the exchange does not take the key")
    return {
        "title": title % facts,
        "fields": [(_("Key"), facts["key"]), (_("Status"), str(KeyStatus(facts["status"]).label))],
        "text": facts["why"],
        "remedy": "" if is_good else _("Entries wait. Enter a new key under Accounts, or check it again."),
    }


def _break(facts: Facts, _reader: Reader) -> Facts:
    fields = [(_("What"), str(BreakKind(facts["what"]).label)), (pgettext("reconciliation", "Subject"), facts["subject"])]
    if facts["told"] is not None:
        fields += [(_("Exchange"), _amount(facts["told"])), (_("Books"), _amount(facts["booked"]))]
    return {
        "title": _("%(account)s: the exchange and our books differ") % facts,
        "fields": fields,
        "text": facts["detail"],
        "remedy": _("Entries wait. Find what moved it, book it under Ledger with its reason, or end it under Differences to the exchange."),
    }


BOT_TITLES = {
    BotStatus.RUNNING: lambda: _("%(bot)s is running"),
    BotStatus.PAUSED: lambda: _("%(bot)s opens nothing more"),
    BotStatus.STOPPED: lambda: _("%(bot)s has stopped"),
    BotStatus.SAFE_MODE: lambda: _("%(bot)s is in safe mode"),
    BotStatus.FAILED: lambda: _("%(bot)s: its last cycle failed"),
}


def _bot(facts: Facts, _reader: Reader) -> Facts:
    status = BotStatus(facts["status"])
    needs_look = status in (BotStatus.SAFE_MODE, BotStatus.FAILED)
    return {
        "title": BOT_TITLES[status]() % facts,
        "fields": [(_("Market"), facts["symbol"]), (_("Strategy"), facts["strategy"])],
        "text": facts["why"],
        "remedy": _("It opens nothing; exits go on.") if needs_look else "",
    }


def _silence(facts: Facts, _reader: Reader) -> Facts:
    if not facts["is_late"]:
        return {"title": _("%(name)s shows signs of life again") % facts}
    return {
        "title": _("No sign of life from %(name)s") % facts,
        "fields": [(_("Silent for"), _seconds(facts["silent_s"])), (_("Limit"), _seconds(facts["limit_s"]))],
        "remedy": _("See Processes in the admin and the log files; it is started again by its supervisor."),
    }


def _cover(facts: Facts, _reader: Reader) -> Facts:
    if not facts["is_naked"]:
        return {"title": _("%(bot)s: position %(position)s is protected again") % facts}
    return {
        "title": _("%(bot)s: position %(position)s is without protection") % facts,
        "fields": [(_("Market"), facts["symbol"]), (_("For"), _seconds(facts["seconds"]))],
        "remedy": _("See whether the guardian runs and prices are known; close it by hand if not."),
    }


def _price(facts: Facts, _reader: Reader) -> Facts:
    return {
        "title": _("The price of %(symbol)s at %(exchange)s is unknown") % facts,
        "text": facts["why"],
        "remedy": _("Stop and target cannot act until it is known; nothing is opened there."),
    }


def _job(facts: Facts, _reader: Reader) -> Facts:
    title = _("The job %(name)s works again") if facts["is_ok"] else _("The job %(name)s failed")
    return {"title": title % facts, "text": facts["result"], "remedy": "" if facts["is_ok"] else _("See Schedules and the system log.")}


def _log(facts: Facts, _reader: Reader) -> Facts:
    return {"title": _("The platform reports a critical error"), "fields": [(_("Logger"), facts["logger"])], "text": facts["text"]}


def _report(facts: Facts, reader: Reader) -> Facts:
    """One block per account: only of bots the reader hears of."""
    accounts = [one for one in facts["accounts"] if one["mode"] in reader.modes]
    title = _("Daily report of %(day)s") % facts
    if not accounts:
        return {"title": title, "text": _("No data: nothing was traded or valued.")}
    return {"title": title, "text": "\n\n".join(_account_block(one) for one in accounts)}


def _account_block(one: Facts) -> str:
    head = f"[{one['badge']}] {one['name']}"
    if not one["has_data"]:
        return f"{head}\n{_('No data')}"
    currency = one["currency"]
    trades = ngettext("%(count)d trade", "%(count)d trades", one["trades"]) % {"count": one["trades"]}
    net, share = display.signed(Decimal(one["net"]), currency), _fraction_of(one["net"], one["start_value"])
    lines = [
        head,
        f"{_('Trades')}: {trades}, {_('of which sales')}: {one['sales']}",
        f"{_('Profit after fees')}: {net} {currency} ({share})",
        f"{_('Fees')}: {_money(one['fees'], currency)} {currency}",
        f"{_('Total value')}: {_money(one['end_value'], currency)} {currency} ({_('before')}: {_money(one['start_value'], currency)})",
        f"{_('Open positions')}: {one['open_positions']}",
    ]
    if one["other_fees"]:
        lines.append(f"{_('Fees in other currencies')}: {one['other_fees']}")
    return "\n".join(lines)


FORMS: dict[str, Callable[[Facts, Reader], Facts]] = {
    "plain": _plain,
    "literal": _literal,
    "cycle": _cycle,
    "signals": _signals,
    "decision": _decision,
    "portfolio": _portfolio,
    "fill": _fill,
    "risk": _risk,
    "kill_switch": _kill_switch,
    "order": _order,
    "key": _key,
    "break": _break,
    "bot": _bot,
    "silence": _silence,
    "cover": _cover,
    "price": _price,
    "job": _job,
    "log": _log,
    "report": _report,
}


def _filled(text: str, params: Facts) -> str:
    return _(text) % params if params else _(text)


def _line(text: str) -> str:
    """In one line: a name with a line break must not forge a field."""
    return " ".join(str(text).split())


def _unknown(text: str | None, show: Callable[[Decimal], str]) -> str:
    return _("unknown") if text is None else show(Decimal(text))


def _no_data(text: str | None, show: Callable[[Decimal], str]) -> str:
    return _("no data") if text is None else show(Decimal(text))


def _money(text: str | None, currency: str) -> str:
    return _unknown(text, lambda value: display.money(value, currency))


def _amount(text: str | None) -> str:
    return _unknown(text, display.amount)


def _number(value: float | None, currency: str) -> str:
    return _("unknown") if value is None else display.money(Decimal(repr(value)), currency)


def _fraction(value: float | None) -> str:
    return display.percent(None if value is None else Decimal(repr(value)), with_sign=True)


def _fraction_of(part: str, whole: str | None) -> str:
    if whole is None or not Decimal(whole):
        return _("unknown")
    return display.percent(Decimal(part) / Decimal(whole), with_sign=True)


def _rsi(value: float | None) -> str:
    if value is None:
        return _("unknown")
    word = _("overbought") if value > OVERBOUGHT else _("oversold") if value < OVERSOLD else _("neutral")
    return f"{value:.1f} ({word})"


def _seconds(seconds: int) -> str:
    return display.age(timedelta(seconds=seconds))
