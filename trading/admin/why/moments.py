"""A story as moments in the order of time. Nothing here asks the database: what was not stored is said to be unknown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dgbot.base.badges import profit, state_badge
from dgbot.base.display import age, amount, money, percent
from dgbot.core.money import plain
from trading import tones
from trading.admin.why.blocks import Block, Check, Checks, Fact, Facts, Table, Words, evidence, facts_of, instant, number, reasons, told
from trading.models import Cycle, CycleStatus, Decision, Order, Position, StageResult, Trade
from trading.models.bots import RULES
from trading.selectors.stories import CycleStory, OrderStory, Story

# Moments of one instant keep this order: what was decided, what was done, what came of it.
RANK_CYCLE, RANK_RISK, RANK_ORDER, RANK_TRADE, RANK_OUTCOME = range(5)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)
ANSWERS = {"passed": "good", "blocked": "bad", "unknown": "warn"}
ANSWER_WORDS = {"passed": gettext_lazy("passed"), "blocked": gettext_lazy("blocked"), "unknown": gettext_lazy("cannot decide")}
GATE_WORDS = {1: gettext_lazy("yes"), 0: gettext_lazy("no"), -1: gettext_lazy("unknown")}
GATE_TONES = {1: "good", 0: "quiet", -1: "warn"}


@dataclass(frozen=True)
class Moment:
    """One thing that happened. at: market time. recorded_at: machine time, where the two can differ."""

    at: datetime | None
    title: str
    icon: str
    rank: int
    badge: SafeString | str = ""
    blocks: tuple[Block, ...] = ()
    recorded_at: datetime | None = None
    address: str = ""
    is_asked: bool = False  # what the page was opened for
    steps: tuple["Moment", ...] = field(default=())


def tell(story: Story) -> list[Moment]:
    """All of it."""
    return [
        *(_cycle(one, story) for one in story.cycles),
        *(moment for one in story.orders for moment in _order(one, story)),
        *(_trade(trade, story) for trade in story.stray_trades),
        *(_risk_event(event) for event in story.risk_events),
        *_outcome(story),
    ]


def in_order(moments: Iterable[Moment]) -> list[Moment]:
    """By market time, what has none yet at the end; at one instant what was decided before what came of it."""
    return sorted(moments, key=lambda moment: (moment.at is None, moment.at or END_OF_TIME, moment.rank))


def in_one_sentence(story: Story) -> str:
    """What the page is about."""
    anchor = story.anchor
    if isinstance(anchor, Decision):
        return _("Why the answer was “%(answer)s” for %(symbol)s") % {"answer": anchor.get_decision_display(), "symbol": anchor.symbol}
    if isinstance(anchor, Cycle):
        return _("Why the cycle of %(slot)s did what it did") % {"slot": f"{anchor.slot:%Y-%m-%d %H:%M} UTC"}
    if isinstance(anchor, Position):
        return _("Why %(symbol)s was bought, and how it ended") % {"symbol": anchor.symbol}
    verb = {"buy": _("Why %(symbol)s was bought"), "sell": _("Why %(symbol)s was sold")}[anchor.side]
    return verb % {"symbol": anchor.symbol}


def _cycle(one: CycleStory, story: Story) -> Moment:
    cycle = one.cycle
    took = None if cycle.finished_at is None else f"{(cycle.finished_at - cycle.recorded_at).total_seconds() * 1000:,.0f} ms"
    version = cycle.config_version
    facts = Facts(
        (
            Fact(_("trigger"), cycle.get_trigger_display()),
            Fact(_("settings version"), None if version is None else str(version)),
            Fact(_("runner"), cycle.runner),
            Fact(_("took"), took),
            Fact(_("outcome"), cycle.outcome or None),
        )
    )
    return Moment(
        at=cycle.slot,
        recorded_at=cycle.recorded_at,
        title=_("Cycle"),
        icon="cycle",
        rank=RANK_CYCLE,
        badge=state_badge(tones.CYCLE[CycleStatus(cycle.status)], cycle.get_status_display()),
        blocks=(facts,),
        address=reverse("admin:trading_cycle_change", args=[cycle.pk]),
        is_asked=story.anchor in (cycle, one.decision),
        steps=tuple(step for stage in one.stages for step in _stage(stage, one.decision)),
    )


def _stage(stage: StageResult, decision: Decision | None) -> Iterator[Moment]:
    blocks = list(_STAGE_BLOCKS[stage.stage](stage, decision))
    tone = tones.ACTION.get(stage.action, "quiet")
    # The words of the decision are among the reasons of its stage and told below.
    rows = [row for row in stage.reasons if not str(dict(row).get("code", "")).startswith("decision_")]
    said = reasons(rows, tone="quiet" if tone == "good" else tone, word=stage.get_action_display(), title=_("What it said"))
    yield Moment(
        at=stage.created_at,
        recorded_at=stage.recorded_at,
        title=stage.get_stage_display(),
        icon=ICONS[stage.stage],
        rank=RANK_CYCLE,
        badge=format_html("{} <small>{} ms</small>", state_badge(tone, stage.get_action_display()), f"{stage.duration_ms:,}"),
        blocks=tuple(block for block in (*blocks, said) if block is not None),
    )


def _risk_blocks(stage: StageResult, _decision: Decision | None) -> Iterator[Block]:
    data = {name: value for name, value in stage.data.items() if name not in ("known_at", "price", "position")}
    price = Fact(_("price"), told(number(stage.data.get("price"))), known_at=instant(stage.data.get("known_at")))
    held = Fact(_("position"), stage.data.get("position") or _("none"))
    yield Facts((price, held, *facts_of(data).rows), title=_("What was held against the limits"))


def _data_blocks(stage: StageResult, decision: Decision | None) -> Iterator[Block]:
    data, named = stage.data, (decision.inputs.get("candles", {}) if decision is not None else {})
    yield Facts(tuple(_candle_facts(data, named, decision)), title=_("Candles"))
    price, book = data.get("price"), data.get("book")
    rows = [Fact(_("price"), None if price is None else told(number(price["value"])), instant(price and price["known_at"]))]
    if book is None:
        rows.append(Fact(_("order book"), None))
    else:
        best_bid, best_ask = number(book["best_bid"]), number(book["best_ask"])
        spread = None if not best_bid or not best_ask else percent((best_ask - best_bid) / best_bid, places=3)
        kind = _("assumed, one level") if book["is_assumed"] else _("recorded")
        rows += [
            Fact(_("best bid"), told(best_bid), instant(book["known_at"])),
            Fact(_("best ask"), told(best_ask), instant(book["known_at"])),
            Fact(_("spread"), spread, instant(book["known_at"])),
            Fact(_("order book"), kind, instant(book["known_at"])),
        ]
    held = data.get("balances") or {}
    rows += [
        Fact(_("free %(asset)s") % {"asset": asset}, told(number(free)), instant(data.get("known_at"))) for asset, free in held.items()
    ]
    if not held:
        rows.append(Fact(_("balances"), None))
    yield Facts(tuple(rows), title=_("Price, book and balances"))


def _candle_facts(data: dict[str, Any], named: dict[str, Any], decision: Decision | None) -> Iterator[Fact]:
    own = data.get("candles")
    if own is None:
        yield Fact(_("candles"), None)
        return
    known_at = instant(own["known_at"])
    yield Fact(_("candles"), f"{own['count']:,}", known_at)
    yield Fact(_("from the anchor candle"), _minute(own["anchor_at"]), known_at)
    yield Fact(_("to the candle of"), _minute(own["last_opened_at"]), known_at)
    yield Fact(_("hash of the candles"), (decision.candles_hash or None) if decision is not None else None, is_code=True)
    for name, span in (data.get("also") or {}).items():
        value = f"{span['symbol']} {span['interval']} · {span['count']:,}"
        yield Fact({"btc": _("candles of BTC"), "minutes": _("five-minute candles")}.get(name, name), value, instant(span["known_at"]))
        if name in named:
            yield Fact(_("their hash"), named[name]["hash"], is_code=True)


def _minute(text: Any) -> str | None:
    at = instant(text)
    return None if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def _analysis_blocks(stage: StageResult, decision: Decision | None) -> Iterator[Block]:
    if decision is None:
        yield Facts((Fact(_("decision"), None),))
        return
    yield from _rules_blocks(decision)
    yield from _filter_blocks(decision)
    if decision.market_data.get("readings"):
        seen = {name: value for name, value in decision.market_data["readings"].items() if name != "confidence" or value is not None}
        yield facts_of(seen, title=_("Market conditions"))
    yield from _analyst_blocks(decision)
    yield from _validator_blocks(decision)
    yield Facts(
        (
            Fact(_("decision"), state_badge(tones.DECISION.get(decision.decision, "quiet"), decision.get_decision_display())),
            Fact(_("confidence"), _("does not apply to rules") if decision.confidence is None else f"{decision.confidence:.1f} %"),
            Fact(_("reason"), decision.reason),
            Fact(_("hash"), decision.hash, is_code=True),
            Fact(_("previous hash"), decision.previous_hash or _("none: the first of its bot"), is_code=True),
        ),
        title=_("Decision"),
    )


def _rules_blocks(decision: Decision) -> Iterator[Block]:
    proposal, seen = decision.proposal, decision.market_data
    signal = proposal.get("rules") or proposal.get("decision")
    plan = {name: value for name, value in (proposal.get("plan") or {}).items() if value is not None}
    bot = decision.inputs.get("bot", {})
    rows = [Fact(_("strategy"), bot.get("strategy")), Fact(_("signal of the rules"), signal)]
    if proposal.get("exit_reason"):
        rows.append(Fact(_("exit reason"), proposal["exit_reason"]))
    yield Facts((*rows, *facts_of(plan).rows), title=_("Rules and signal"))
    if seen.get("gates"):
        gates = (
            Check(tone=GATE_TONES.get(hit, "quiet"), word=GATE_WORDS.get(hit, str(hit)), name=name.replace("_", " "))
            for name, hit in seen["gates"].items()
        )
        yield Checks(tuple(gates), title=_("Gates of the strategy"))
    if seen.get("indicators"):
        yield facts_of(seen["indicators"], title=_("Indicators at the close"))


def _filter_blocks(decision: Decision) -> Iterator[Block]:
    filtered = decision.verdict.get("quick_filter")
    if not filtered or not filtered.get("checks"):
        return
    rows = tuple(
        Check(
            tone="good" if check["is_met"] else "bad",
            word=_("met") if check["is_met"] else _("not met"),
            name=check["name"].replace("_", " "),
            value=told(check["value"]) or _("unknown"),
            limit=f"{'≤' if check['is_most'] else '≥'} {check['limit']}",
        )
        for check in filtered["checks"]
    )
    blocks = _("blocks entries") if filtered["blocks"] else _("is shown only")
    yield Checks(rows, title=_("Quick backtest filter"), note=f"{filtered['span']} · {blocks}")


def _analyst_blocks(decision: Decision) -> Iterator[Block]:
    call, answer = decision.call, decision.answer
    if call is None:
        unasked = decision.inputs.get("unasked", [])
        why = " ".join(str(reason.get("message", "")) for reason in unasked)
        none = _("the rules decide; no model is asked") if decision.analyst == RULES else why or _("no model was asked")
        yield Facts((Fact(_("analyst"), decision.analyst), Fact(_("asked"), none)), title=_("Analyst"))
        return
    tokens = None if call.input_tokens is None or call.output_tokens is None else f"{call.input_tokens:,} → {call.output_tokens:,}"
    yield Facts(
        (
            Fact(_("analyst"), decision.analyst),
            Fact(_("model"), call.model),
            Fact(_("prompt"), str(call.prompt)),
            Fact(_("status"), call.get_status_display()),
            Fact(_("asked at"), f"{call.asked_at:%Y-%m-%d %H:%M:%S} UTC"),
            Fact(_("took"), None if call.latency_ms is None else f"{call.latency_ms:,} ms"),
            Fact(_("tokens"), tokens),
            Fact(_("cost"), None if call.cost is None else f"{plain(call.cost)} USD"),
            *([Fact(_("failure"), call.error)] if call.error else []),
        ),
        title=_("Analyst"),
    )
    if answer:
        sections = {name: text for name, text in answer.items() if name != "reasons"}
        yield facts_of(sections, title=_("Its answer, as it was understood"))
        for name, text in (answer.get("reasons") or {}).items():
            yield Words(title=name.replace("_", " "), text=str(text), is_folded=False)
    yield Words(title=_("Its words, exactly as received"), text=call.raw_answer or str(_("none")))
    for message in call.messages if isinstance(call.messages, list) else [{"role": "", "content": str(call.messages)}]:
        title = _("What it was told (%(role)s)") % {"role": message.get("role", "")}
        yield Words(title=title, text=str(message.get("content", "")))


def _validator_blocks(decision: Decision) -> Iterator[Block]:
    rules = decision.verdict.get("rules", [])
    if not rules:
        yield Facts((Fact(_("validator"), _("not asked: it judges entries only")),), title=_("Validator"))
        return
    rows = tuple(
        Check(
            tone=ANSWERS.get(rule["answer"], "warn"),
            word=ANSWER_WORDS.get(rule["answer"], rule["answer"]),
            name=rule["code"].replace("_", " "),
            value="; ".join(str(test["value"]) for test in rule["tests"]),
            limit="; ".join(f"{'≤' if test['blocks'] == 'over' else '≥'} {test['limit']}" for test in rule["tests"]),
        )
        for rule in rules
        if rule["tests"]
    )
    left = ", ".join(rule["code"].replace("_", " ") for rule in rules if not rule["tests"])
    yield Checks(rows, title=_("Validator, rule by rule"), note=_("Off or not asked: %(rules)s") % {"rules": left} if left else "")


def _execution_blocks(stage: StageResult, _decision: Decision | None) -> Iterator[Block]:
    data = {name: value for name, value in stage.data.items() if name != "warning" or value}
    if data:
        yield facts_of(data, title=_("Size and liquidity"))


def _order(one: OrderStory, story: Story) -> Iterator[Moment]:
    order = one.order
    currency = story.account.quote_currency
    size = amount(order.amount) if order.amount is not None else f"{money(order.quote_amount, currency)} {currency}"
    held = Facts(
        (
            Fact(_("size"), size),
            Fact(_("type"), order.get_order_type_display()),
            Fact(_("price"), _("market") if order.price is None else money(order.price, currency)),
            Fact(_("asked by"), one.events[0].actor if one.events else None),
            Fact(_("client id"), order.client_id, is_code=True),
            Fact(_("exchange order id"), order.exchange_order_id, is_code=True),
            Fact(_("valid until"), _("no limit") if order.valid_until is None else f"{order.valid_until:%Y-%m-%d %H:%M:%S} UTC"),
            *([Fact(_("error"), order.error_message)] if order.error_message else []),
        )
    )
    tables = (_events(one), _sends(one), _cancels(one), *_deeds(one.deeds))
    yield Moment(
        at=order.created_at,
        recorded_at=order.recorded_at,
        title=_order_title(order),
        icon="receipt_long",
        rank=RANK_ORDER,
        badge=state_badge(tones.of_order(order.status), order.get_status_display()),
        blocks=tuple(block for block in (held, *tables) if block is not None),
        address=reverse("admin:trading_order_change", args=[order.pk]),
        is_asked=order == story.anchor,
    )
    for trade in one.trades:
        yield _trade(trade, story)


def _order_title(order: Order) -> str:
    what = f"{order.get_side_display()} {order.symbol} · {order.get_purpose_display()}"
    title = _("Order %(number)s: %(what)s") % {"number": order.pk, "what": what}
    return f"{title} ({order.exit_reason.replace('_', ' ')})" if order.exit_reason else title


def _events(one: OrderStory) -> Table | None:
    if not one.events:
        return None
    rows = tuple((event.created_at, event.get_to_status_display(), event.actor, evidence(event.evidence)) for event in one.events)
    return Table((_("at"), _("became"), _("by"), _("on what evidence")), rows, title=_("Its life"))


def _sends(one: OrderStory) -> Table | None:
    if not one.sends:
        return None
    rows = tuple((send.claimed_at, send.get_result_display(), send.gateway, evidence(send.answer)) for send in one.sends)
    return Table((_("claimed at"), _("result"), _("gateway"), _("answer")), rows, title=_("Every send"))


def _cancels(one: OrderStory) -> Table | None:
    if not one.cancels:
        return None
    rows = tuple((cancel.recorded_at, cancel.get_result_display() or _("waiting"), cancel.reason) for cancel in one.cancels)
    return Table((_("at"), _("result"), _("reason")), rows, title=_("Cancels asked for"))


def _deeds(entries: list[Any]) -> tuple[Table, ...]:
    if not entries:
        return ()
    rows = tuple((entry.at, entry.actor_name, entry.action, entry.reason) for entry in entries)
    return (Table((_("at"), _("by"), _("what"), _("reason")), rows, title=_("What people did")),)


def _trade(trade: Trade, story: Story) -> Moment:
    currency = story.account.quote_currency
    facts = [
        Fact(_("amount"), amount(trade.amount)),
        Fact(_("price"), f"{money(trade.price, currency)} {currency}"),
        Fact(_("total"), f"{money(trade.total, currency)} {currency}"),
        Fact(_("fee"), f"{money(trade.fee, trade.fee_currency)} {trade.fee_currency}"),
        Fact(_("exchange trade id"), trade.exchange_trade_id, is_code=True),
        Fact(_("told by"), trade.source),
    ]
    if trade.order_id is None:
        facts.append(Fact(_("order"), _("none: nothing was sent for it")))
    return Moment(
        at=trade.created_at,
        recorded_at=trade.recorded_at,
        title=_("Filled: %(side)s %(amount)s %(symbol)s")
        % {"side": trade.get_side_display(), "amount": amount(trade.amount), "symbol": trade.symbol},
        icon="swap_horiz",
        rank=RANK_TRADE,
        badge=state_badge("good" if trade.side == "buy" else "busy", money(trade.price, currency)),
        blocks=(Facts(tuple(facts)),),
        address=reverse("admin:trading_trade_change", args=[trade.pk]),
        is_asked=trade == story.anchor,
    )


def _risk_event(event: Any) -> Moment:
    checks = Checks((Check(tone="warn", word=event.code.replace("_", " "), name=event.message, value=event.value, limit=event.limit),))
    return Moment(at=event.created_at, title=_("A limit acted"), icon="shield", rank=RANK_RISK, blocks=(checks,))


def _outcome(story: Story) -> Iterator[Moment]:
    position = story.position
    if position is None:
        if isinstance(story.anchor, Decision | Cycle):
            none = _("no order was made") if not story.orders else _("no position came of it")
            at = max([*(one.cycle.slot for one in story.cycles), *(one.order.updated_at for one in story.orders)])
            yield Moment(at=at, title=_("Outcome"), icon="flag", rank=RANK_OUTCOME, blocks=(Facts((Fact(_("outcome"), none),)),))
        return
    currency = story.account.quote_currency
    sold = position.bought_amount - position.amount
    lasted = None if position.closed_at is None else age(position.closed_at - position.opened_at)
    facts = Facts(
        (
            Fact(_("mean entry price"), None if position.entry_price is None else money(position.entry_price, currency)),
            Fact(
                _("mean exit price"), money(position.sold_total / sold, currency) if sold and position.sold_total else _("nothing sold yet")
            ),
            Fact(_("stop"), told(position.stop_price)),
            Fact(_("trailing stop"), told(position.trailing_stop_price) or _("none")),
            Fact(_("target"), told(position.target_price)),
            Fact(_("fees"), f"{money(position.fees, currency)} {currency}"),
            Fact(_("exit reason"), position.exit_reason.replace("_", " ") or _("none yet")),
            Fact(_("held for"), lasted or _("still open")),
            Fact(_("profit, fees included"), _profit(position, currency)),
        )
    )
    state = _("closed") if position.closed_at else _("open")
    yield Moment(
        at=position.closed_at,
        title=_("Outcome: position %(number)s") % {"number": position.pk},
        icon="flag",
        rank=RANK_OUTCOME,
        badge=state_badge("quiet" if position.closed_at else "busy", state),
        blocks=(facts, *_deeds(story.deeds)),
        address=reverse("admin:trading_position_change", args=[position.pk]),
        is_asked=position == story.anchor,
    )


def _profit(position: Position, currency: str) -> Any:
    earned = position.realised_profit
    if earned is None:
        return _("none yet: it is open")
    share = percent(earned / position.bought_total, with_sign=True) if position.bought_total else ""
    return format_html("{} {} <small>{}</small>", profit(earned, currency), currency, share)


_STAGE_BLOCKS = {
    "risk_check": _risk_blocks,
    "data_collection": _data_blocks,
    "analysis": _analysis_blocks,
    "execution": _execution_blocks,
}
ICONS = {"risk_check": "shield", "data_collection": "database", "analysis": "psychology", "execution": "play_circle"}
