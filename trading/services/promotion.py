"""From pretended to real money: what must hold before a paper bot is copied into a live account, and the copying.

Nothing changes its mode. The paper bot goes on as it is, so that both can be compared; the new one stands still until it is started,
which is the second deliberate step of the two that live trading asks for (`docs/decisions/0042`).
"""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from dgbot.base import display
from dgbot.base.machine import machine_now
from dgbot.core.errors import BadInput
from dgbot.core.types import Mode
from risk.models import AccountLimits
from trading.domain.parity import Kind
from trading.domain.stages import StageName
from trading.models import Bot, Cycle, CycleStatus, ExchangeAccount, ParityRun, ParityVerdict, StageResult, Trade
from trading.services import new_bots, preflight, venues
from trading.services.preflight import Check, Verdict

LEAST_DAYS, LEAST_EXITS = 14, 5  # on paper; fewer show how it behaves in one mood of the market only
JUDGED_CYCLES = 500  # the newest ones are searched for a verdict of the quick filter
FROM_PREFLIGHT = frozenset(("switch", "symbols", "kill", "key", "market", "cash", "candles", "analyst", "processes"))


def accounts_for(bot: Bot, *, user: Any) -> list[ExchangeAccount]:
    """Live accounts of the bot's owner at its exchange, as far as `user` may see them."""
    there = {"user": bot.user_id, "exchange": bot.account.exchange, "mode": Mode.LIVE.value, "is_hidden": False}
    return list(ExchangeAccount.objects.for_user(user).filter(**there).select_related("user").order_by("is_demo", "name", "pk"))


def checklist(bot: Bot, *, account: ExchangeAccount, second_factor: bool) -> tuple[Check, ...]:
    """Every condition of a promotion, each with its fact. second_factor: proven in this session. May ask the exchange.

    Raises BadInput for a bot that is not on paper, or an account that is not live at the same exchange and of the same owner.
    """
    _refuse_what_cannot_be(bot, account)
    draft = Bot(account=account, mode=account.mode, user=account.user, name=bot.name, **new_bots.same_as(bot))
    of_platform = () if account.is_demo else (_switch(), _order_path())
    of_money = () if account.is_demo else (_hard_limits(account), _factor(proven=second_factor))
    told = (check for check in preflight.checks(draft) if check.code in FROM_PREFLIGHT)
    return (*of_platform, _record(bot), _parity(bot), _backtest(bot), *of_money, *told)


def promote(bot: Bot, *, account: ExchangeAccount, name: str, by: Any, reason: str, second_factor: bool) -> Bot:
    """Copy a paper bot into a live account; the copy stands still. Raises BadInput with everything that forbids it."""
    if not reason.strip():
        raise BadInput("The bot was not promoted: give a reason, it is kept in the audit log.")
    blocking = preflight.blocking(checklist(bot, account=account, second_factor=second_factor))
    if blocking:
        causes = " ".join(check.message for check in blocking)
        raise BadInput(f"{bot.name} was not promoted: {causes}")
    return new_bots.copy_to(account, of=bot, name=name, by=by, reason=reason)


def _refuse_what_cannot_be(bot: Bot, account: ExchangeAccount) -> None:
    if bot.mode != Mode.PAPER:
        raise BadInput(f"{bot.name} is in the mode {bot.mode}; only a paper bot is promoted.")
    if account.mode != Mode.LIVE or account.exchange != bot.account.exchange or account.user_id != bot.user_id:
        raise BadInput(f"{bot.name} cannot be promoted into {account}: choose a live account of its owner at {bot.account.exchange}.")


def _switch() -> Check:
    title = _("Live trading")
    if settings.LIVE_TRADING:
        return Check("live_trading", Verdict.GOOD, title, _("DGBOT_LIVE_TRADING is on; the bot's mode is the second switch."))
    message = _("DGBOT_LIVE_TRADING is off on this installation.")
    return Check("live_trading", Verdict.BLOCKS, title, message, _("Set it to true where the platform is started, and start it again."))


def _order_path() -> Check:
    title = _("Order path")
    if venues.LIVE_ORDER_PATH_IS_PROVEN:
        return Check("order_path", Verdict.GOOD, title, _("This version's order path is proven against every fault."))
    message = _("The order path of this version is not released for real money.")
    return Check("order_path", Verdict.BLOCKS, title, message, _("Wait for the version that releases it; paper trades the same market."))


def _record(bot: Bot) -> Check:
    title = _("Time on paper")
    first = Cycle.objects.filter(bot=bot).order_by("slot").values_list("slot", flat=True).first()
    if first is None:
        return Check("record", Verdict.BLOCKS, title, _("It has not run one cycle."), _("Let it run on paper first."))
    exits = Trade.objects.filter(bot=bot, purpose="exit").values("position").distinct().count()
    failed = Cycle.objects.filter(bot=bot, status=CycleStatus.FAILED).count()
    days = (machine_now() - first).days
    told = {"days": days, "exits": exits, "failed": failed}
    message = _("%(days)d days, %(exits)d closed positions, %(failed)d failed cycles.") % told
    if days < LEAST_DAYS or exits < LEAST_EXITS:
        least = {"days": LEAST_DAYS, "exits": LEAST_EXITS}
        return Check("record", Verdict.NOTE, title, message, _("%(days)d days and %(exits)d closed positions tell more.") % least)
    return Check("record", Verdict.GOOD, title, message)


def _parity(bot: Bot) -> Check:
    title, place = _("Parity with the backtest"), "admin:trading_parityrun_change"
    newest = ParityRun.objects.filter(bot=bot).order_by("-pk").first()
    if newest is None:
        remedy = _("Run `manage.py parity %(bot)d`; it is run every night, too.") % {"bot": bot.pk}
        return Check("parity", Verdict.BLOCKS, title, _("Its trades were never compared with the engine's."), remedy)
    age = display.age(machine_now() - newest.recorded_at)
    told = {"equal": newest.equal, "fills": newest.fills, "age": age, "reason": newest.reason}
    if newest.verdict == ParityVerdict.IMPOSSIBLE:
        message = _("It could not be compared, %(age)s ago: %(reason)s") % told
        return Check("parity", Verdict.BLOCKS, title, message, _("See the comparison."), place=place, place_pk=newest.pk)
    message = _("%(equal)d of %(fills)d fills are equal, %(age)s ago.") % told
    if newest.kinds.get(Kind.DEFECT.value):
        remedy = _("Some differences are explained by nothing: that is a defect. See the comparison.")
        return Check("parity", Verdict.BLOCKS, title, message, remedy, place=place, place_pk=newest.pk)
    if newest.verdict == ParityVerdict.DIFFERS:
        remedy = _("Every difference is explained; see the comparison.")
        return Check("parity", Verdict.NOTE, title, message, remedy, place=place, place_pk=newest.pk)
    return Check("parity", Verdict.GOOD, title, message)


def _backtest(bot: Bot) -> Check:
    title = _("Backtest of two years")
    analyses = StageResult.objects.filter(cycle__bot=bot, stage=StageName.ANALYSIS.value, data__quick_filter__passed__isnull=False)
    newest = analyses.order_by("-cycle__slot").values_list("data__quick_filter", "cycle__slot")[:JUDGED_CYCLES].first()
    if newest is None or newest[0].get("passed") is None:
        message = _("The quick filter has not judged it yet: its strategy proposed no entry so far.")
        return Check("backtest", Verdict.UNKNOWN, title, message, _("Run a backtest of the same strategy, and read its report."))
    verdict, slot = newest
    told = {"span": verdict.get("span", ""), "when": f"{slot:%Y-%m-%d}"}
    if verdict["passed"]:
        return Check("backtest", Verdict.GOOD, title, _("The quick filter passed it on %(when)s, over %(span)s.") % told)
    causes = " ".join(str(reason.get("message", "")) for reason in verdict.get("reasons", ()))
    message = _("The quick filter did not pass it on %(when)s, over %(span)s.") % told
    return Check("backtest", Verdict.BLOCKS, title, f"{message} {causes}".strip(), _("Wait, or try other parameters on paper."))


def _hard_limits(account: ExchangeAccount) -> Check:
    title = _("Limits of the account")
    if AccountLimits.objects.filter(account=account).exists():
        return Check("limits", Verdict.GOOD, title, _("The account has hard limits of its own, above every bot's profile."))
    message = _("The account has no hard limits: whatever a profile allows could be lost.")
    return Check("limits", Verdict.BLOCKS, title, message, _("Set them under Account limits."), place="admin:risk_accountlimits_add")


def _factor(*, proven: bool) -> Check:
    title = _("Second factor")
    if proven:
        return Check("factor", Verdict.GOOD, title, _("Proven in this session."))
    return Check("factor", Verdict.BLOCKS, title, _("This session has not proven your second factor."), _("Prove it, then come back."))
