"""What is expected of each address: which permission it asks for, whether it shows one owner's row. What is not listed fails.

A new address is written down here in one line, beside those of its room. Pages of the admin's models are generated from what is
said about the model; only what differs from the rule is listed.
"""

from dataclasses import dataclass

from dgbot.base.rest.needs import ANYBODY
from dgbot.base.rest.routing import actions_of
from tests.authorization.routes import Route, admins

SEES_ALL = "accounts.see_all_owners"
NOBODY = "nobody"  # a permission that does not exist


@dataclass(frozen=True)
class Expected:
    """needs: a permission, NOBODY, or empty for everyone who is signed in. owned: it shows or changes one owner's row.

    is_open: strangers get in, too. posts_need: what a POST asks for, when that is more. by_state: refused, too, where the row's state
    leaves nothing to do.
    """

    needs: tuple[str, ...] = ()
    owned: bool = False
    is_open: bool = False
    posts_need: tuple[str, ...] | None = None
    staff: bool = False
    only_posts: bool = False
    only_gets: bool = False
    by_state: bool = False


OPEN = Expected(is_open=True)
MEMBERS = Expected()
STAFF = Expected(staff=True)
STEERS = ("trading.change_bot",)
DEEDS = ("start_bot", "stop_bot", "run_now", "pause_bot", "resume_bot")

ADDRESSES: dict[str, Expected] = {
    # doors
    "login": OPEN,
    "logout": MEMBERS,
    "admin/logout/": MEMBERS,
    "set_language": OPEN,
    "health_live": OPEN,
    "health_ready": OPEN,
    "metrics": OPEN,  # closed by its own token and address: tests/unit/monitoring/test_doors.py
    # the dashboard
    "dashboard": MEMBERS,
    "dashboard_snapshot": MEMBERS,
    **{f"dashboard_{deed}": Expected(STEERS, owned=True, only_posts=True) for deed in DEEDS},
    "system": Expected(("monitoring.view_systemlog",), only_gets=True),
    # bots
    "new_bot": Expected(("trading.add_bot",)),
    "draft_checks": Expected(("trading.add_bot",), only_posts=True),
    "download_candles": Expected(("backtests.add_candlesync",), only_posts=True),
    "promote_bot": Expected(("trading.add_bot",), owned=True),
    "clone_bot": Expected(("trading.add_bot",), owned=True, only_posts=True),
    **{f"bot_{part}": Expected(owned=True, only_gets=True) for part in ("page", "snapshot", "candles", "checks")},
    # one's own sign-in
    **{f"account_{page}": MEMBERS for page in ("security", "set_up", "verify")},
    **{f"account_{deed}": Expected(only_posts=True) for deed in ("renew_codes", "end_others")},
    "bot_status": Expected(("trading.view_bot",), by_state=True, only_gets=True),  # who has no bot is told so
    # the scorecard
    "scorecard": MEMBERS,
    "create_shadow": Expected(("trading.add_bot",), only_posts=True),  # whose bot is proven in tests/contracts/test_shadows.py
    "promote_shadow": Expected(STEERS, owned=True, only_posts=True),
    # reports of backtests
    **{f"backtest_{page}": Expected(("backtests.view_backtestrun",), owned=True) for page in ("report", "candles", "download")},
    "backtest_compare": Expected(("backtests.view_backtestrun",)),  # names its runs in the query: tests/contracts/test_backtest_reports.py
    # the admin's own
    "admin:index": STAFF,
    "admin:login": OPEN,
    "admin:logout": STAFF,
    "admin:password_change": STAFF,
    "admin:password_change_done": STAFF,
    "admin:jsi18n": STAFF,
    "admin:autocomplete": STAFF,  # proven by its own test, for every field
    "admin:search": STAFF,
    "admin:app_list": STAFF,
    "admin:view_on_site": STAFF,
    "admin/(?P<url>.*)$": STAFF,
    # everybody's own tokens and logins
    **{f"admin:accounts_{name}_changelist": STAFF for name in ("personaltoken", "apilogin")},
    **{f"admin:accounts_{name}_history": Expected(owned=True, staff=True) for name in ("personaltoken", "apilogin")},
    **{f"admin:accounts_{name}_change": Expected(owned=True, staff=True, posts_need=(NOBODY,)) for name in ("personaltoken", "apilogin")},
    "admin:accounts_personaltoken_add": STAFF,
    # pages beside the models'
    "admin:auth_user_password_change": Expected(("accounts.change_user",), staff=True),
    "admin:trading_trade_results": Expected(("trading.view_trade",), staff=True),
    "admin:trading_trade_results_candles": Expected(("trading.view_trade",), staff=True),
    "admin:risk_killswitch_set": Expected(("risk.add_killswitch",), staff=True),
    **{f"admin:backtests_{name}_news": Expected((f"backtests.view_{name}",), staff=True) for name in ("backtestrun", "sweep")},
    "admin:backtests_sweep_live": Expected(("backtests.view_sweep",), owned=True, staff=True),
}

JOB_BUTTONS = ("cancel_one", "retry_one")

# Buttons of a row's page (and of a list's head), by admin: each with what it asks for.
BUTTONS: dict[str, dict[str, tuple[str, ...]]] = {
    "trading_bot": dict.fromkeys(("start_bot", "stop_bot", "pause_bot", "resume_bot", "run_bot", "adopt"), STEERS),
    "trading_position": dict.fromkeys(("close", "reduce"), STEERS),
    "trading_order": {"cancel": STEERS},
    "trading_exchangeaccount": {"check_key": ("trading.change_exchangeaccount",)},
    "trading_analyst": {"test": ("trading.change_analyst",)},
    "trading_configversion": {"revert": ("trading.change_botconfig",)},
    "trading_botconfig": dict.fromkeys(("screener", "open_screener"), ("trading.change_botconfig",)),
    "trading_reconcilebreak": {"end_it": ("trading.change_reconcilebreak",)},
    "risk_riskstate": {"release": ("risk.change_riskstate",)},
    "monitoring_channel": dict.fromkeys(("send_test", "make_code"), ("monitoring.change_channel",)),
    **{f"backtests_{job}": dict.fromkeys(JOB_BUTTONS, (f"backtests.change_{job}",)) for job in ("backtestrun", "sweep")},
    "backtests_candleseries": {
        "sync_one": ("backtests.add_candlesync",),
        "recheck_one": ("backtests.add_candlesync",),
        "upload_file": ("backtests.add_candleseries",),
    },
}

# Rows everybody with the model's permission shares. Every other admin shows one owner's rows, and must be isolated.
SHARED = {
    *("accounts_auditentry", "accounts_user", "auth_group", "monitoring_systemlog", "monitoring_backup", "monitoring_alarm"),
    *("trading_krwrate", "trading_simulatedmarket", "trading_lease", "trading_botconfig", "trading_configversion"),
    *("trading_venueaccount", "trading_venueorder", "trading_venuefill"),  # and only for those who see all owners
    *("trading_analyst", "trading_prompttemplate", "risk_symbolgroup"),
    *("backtests_candleseries", "backtests_candlesync", "backtests_candlecorrection"),
    *(f"django_celery_beat_{name}" for name in ("periodictask", "intervalschedule", "crontabschedule", "solarschedule", "clockedschedule")),
}
ADDED_TO = {"risk_transfer", "trading_ledgerentry", "backtests_backtestrun", "backtests_sweep"}  # facts that people may tell, too
NEVER_ADDED = {"trading_botconfig"}
DELETABLE = {
    "monitoring_channel",
    "risk_symbolgroup",
    "auth_group",
    *(f"django_celery_beat_{name}" for name in ("periodictask", "intervalschedule", "crontabschedule", "solarschedule", "clockedschedule")),
}
SEEN_WITH = {f"trading_venue{name}": (SEES_ALL,) for name in ("account", "order", "fill")}
FACTS_CLASS = "NoWrites"


def expected(route: Route) -> Expected | None:
    """What `route` must do; None when nobody has said."""
    if route.name in ADDRESSES:
        return ADDRESSES[route.name]
    if route.pattern.startswith("admin/"):
        return _of_admin(route)
    if hasattr(getattr(route.view, "cls", None), "needs"):
        return _of_api(route)
    return None


def _of_api(route: Route) -> Expected | None:
    """What the face itself names; tests/contracts/test_api_isolation.py tries every one of its actions with tokens."""
    actions = actions_of(route.view)
    face = getattr(route.view, "cls", None)
    if not actions or any(name not in face.needs for name in actions.values()):
        return None
    asked = {method: face.needs[name] for method, name in actions.items()}
    if ANYBODY in asked.values():
        return OPEN
    needs, posts = (asked[method].permissions if method in asked else None for method in ("get", "post"))
    return Expected(
        needs or (), owned="pk" in route.parameters, posts_need=posts, only_posts="get" not in asked, only_gets="post" not in asked
    )


def _of_admin(route: Route) -> Expected | None:
    part = route.name.removeprefix("admin:")
    for key, one in admins().items():
        app, model = one.opts.app_label, one.opts.model_name
        page = part.removeprefix(f"{key}_") if part.startswith(f"{key}_") else ""
        if route.pattern == f"admin/{app}/{model}/<path:object_id>/":
            return MEMBERS  # the old address of a row's page, which only leads on to it
        if not page:
            continue
        if page in BUTTONS.get(key, {}):
            owned = key not in SHARED and "object_id" in route.parameters
            return Expected(BUTTONS[key][page], owned=owned, staff=True, by_state=page in JOB_BUTTONS)
        return _of_page(page, key=key, app=app, model=model, is_fact=any(base.__name__ == FACTS_CLASS for base in type(one).__mro__))
    return None


def _of_page(page: str, *, key: str, app: str, model: str, is_fact: bool) -> Expected | None:
    view, add = (f"{app}.view_{model}", *SEEN_WITH.get(key, ())), (f"{app}.add_{model}",)
    change = (NOBODY,) if is_fact else (f"{app}.change_{model}",)
    owned = key not in SHARED
    may_add = key in ADDED_TO or (not is_fact and key not in NEVER_ADDED)
    return {
        "changelist": Expected(view, staff=True),
        "add": Expected(add if may_add else (NOBODY,), staff=True),
        "history": Expected(view, owned=owned, staff=True),
        "export_csv": Expected(view, staff=True),
        "export_excel": Expected(view, staff=True),
        "why": Expected(view, owned=owned, staff=True),
        "why_candles": Expected(view, owned=owned, staff=True),
        "delete": Expected((f"{app}.delete_{model}",) if key in DELETABLE else (NOBODY,), owned=owned, staff=True),
        "change": Expected(view, owned=owned, staff=True, posts_need=change),
        "what_if": Expected(change, owned=owned, staff=True, only_posts=True),
    }.get(page)
