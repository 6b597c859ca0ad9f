"""The words a page puts in place of codes and labels. Translated per request; scripts hold none of their own."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from trading.limit_words import NAMES
from trading.models.bots import BotStatus
from trading.models.cycles import ACTIONS, STAGE_NAMES, CycleStatus, CycleTrigger
from trading.models.decisions import DECISIONS
from trading.models.orders import STATUSES
from trading.models.stops import KeptBy

WORDS: dict[str, Any] = {
    "stage": dict(STAGE_NAMES),
    "action": {**dict(ACTIONS), "stop": pgettext_lazy("stage", "stop")},
    "cycle": dict(CycleStatus.choices),
    "trigger": dict(CycleTrigger.choices),
    "bot": dict(BotStatus.choices),
    "decision": dict(DECISIONS),
    "order": dict(STATUSES),
    "kept_by": dict(KeptBy.choices),
    "limit_name": NAMES,
    "line": {"entry": _("entry"), "stop": pgettext_lazy("price", "Stop"), "target": _("Target")},
    "side": {"buy": _("buy"), "sell": _("sell")},
    "purpose": {"entry": _("entry"), "exit": _("exit"), "emergency": _("emergency")},
    "alarm": {"risk": _("limit"), "books": _("differs")},
    "cause": {
        "not_valued": _("the account has not been valued yet"),
        "valued_before_opening": _("the last valuation is older than this position"),
        "not_readable": _("the last valuation cannot be read"),
    },
    "connection": {
        "connecting": _("Connecting…"),
        "live": _("Live"),
        "away": _("Live updates are away; refreshed every few seconds"),
        "offline": _("No connection; trying again"),
        "updated": _("last update {age} ago"),
    },
    "age": {"s": _("{n} s"), "min": _("{n} min"), "h": _("{n} h"), "d": _("{n} d")},
    "text": {
        "unknown": _("unknown"),
        "ago": _("{age} ago"),
        "why": _("Why?"),
        "running": _("{running} of {all} bots running"),
        "wanted": _("wanted: {wanted} · actual: {actual}"),
        "on": _("running"),
        "off": _("stopped"),
        "safe_mode": _("Safe mode"),
        "no_cycle": _("No cycle yet. Start the bot, or press “Run now”."),
        "stage_waiting": _("not reached"),
        "no_bots": _("No bot yet. Create one in the admin under Bots; it appears here."),
        "no_positions": _("No open position. A bot opens one when its strategy and every check agree."),
        "no_decisions": _("No decision yet. Each cycle that reaches the analysis writes one."),
        "no_trades": _("No trade yet. Fills appear here within a second."),
        "no_equity": _("No valuation yet. Snapshots are taken while bots run."),
        "value_unknown": _("Value unknown: {cause}"),
        "simulated": _("Simulated: prices are made up and no real money moves. {names}"),
        "live_money": _("Live: real money moves. {names}"),
        "unknown_orders": _("Orders of unknown fate: {count}. Entries on their markets wait until the exchange has told."),
        "kill_switch": _("Kill switch: {name}"),
        "unprotected": _("Without protection: {names}. See whether the guardian runs and prices are known."),
        "silent": _("No sign of life from {names}"),
        "no_beats": _("No process has shown a sign of life yet."),
        "confirm_start": _("{name} trades real money. Start it?"),
        "confirm_run": _("{name} trades real money. Run a cycle now?"),
        "failed": _("That did not work. Check the connection and try again."),
        "since_start": _("{change} since the first point shown"),
        "value": _("value {value}"),
        "limit": _("limit {limit}"),
        "rules": _("rules"),
        "bot_page": _("open"),
        "next": _("next"),
        "candles": _("newest candle"),
        "due": _("due now"),
        "in_time": _("in {age}"),
        "zone": _("Times are those of {zone}; hover over one for its date."),
        "no_guard": _("nothing protects it"),
        "no_orders": _("No order yet. An entry plans one when every check agrees."),
        "no_cycles": _("No cycle yet. Start the bot, or press “Run now”."),
        "no_limits": _("Limits are unknown: {why}"),
        "no_chart": _("No candles to show: {why}"),
        "no_alarms": _("Nothing has happened that you should know of."),
        "of_limit": _("{share} of the limit “{name}” is used ({origin})"),
        "month": _("this month"),
        "used_up": _("used up"),
        "nearly": _("nearly used up"),
        "confirm_close": _("{name} stops. Its position keeps its stop and target. Stop it?"),
        "of_entry": _("of the entry"),
        "today": _("today"),
        "week": _("7 trading days"),
        "equity": _("Equity"),
        "entries": _("Entries today"),
        "explain": _("Why?"),
    },
}
