"""The page itself, for every admin whose rows have a reason, and the candles its picture is drawn from."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from dgbot.base.badges import mode_badge
from trading.admin.why import moments, notified
from trading.models import Decision
from trading.selectors.stories import Story
from trading.services import candle_pictures, decision_records


class TellsWhy:
    """For an admin of decisions, orders, trades or positions. story_of: how the story of a row is read."""

    story_of: Any  # a static function: id of a row → its Story

    @action(description=gettext_lazy("Why"), permissions=["view"], icon="help")
    def why(self: Any, request: HttpRequest, object_id: str) -> HttpResponse:
        """Everything that is stored about it, in the order of time."""
        row = self.get_object(request, object_id)
        story = self.story_of(row.pk)
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": moments.in_one_sentence(story),
            "story": story,
            "mode": mode_badge(story.anchor.mode, is_demo=story.account.is_demo),
            "moments": moments.in_order([*moments.tell(story), *notified.tell(story, user=request.user)]),
            "records": [_record(decision) for decision in story.decisions],
            "row_address": reverse(f"admin:{name}_change", args=[row.pk]),
            "candles_address": reverse(f"admin:{name}_why_candles", args=[row.pk]) if story.bot else "",
        }
        return TemplateResponse(request, "trading/why.html", context)

    def why_candles(self: Any, request: HttpRequest, object_id: str) -> JsonResponse:
        """The bars around the story with its trades, its stop and its target, and what the hashes of its candles prove."""
        row = self.get_object(request, object_id)
        story = self.story_of(row.pk)
        if story.bot is None:
            return JsonResponse({"bars": [], "marks": [], "why_empty": _("No bot is known, so no market."), "proofs": []})
        trades = [trade for one in story.orders for trade in one.trades] + story.stray_trades
        instants = _instants(story)
        drawn = candle_pictures.picture(story.bot, symbol=story.anchor_symbol, since=min(instants), until=max(instants), trades=trades)
        proofs = [
            {"decision": one.pk, "is_same": same, "told": told} for one in story.decisions for same, told in [candle_pictures.proof(one)]
        ]
        return JsonResponse({**drawn.as_json(), "lines": _lines(story), "proofs": proofs})

    def get_urls(self: Any) -> list[Any]:
        """The candles beside the page."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_why_candles"
        return [path("<path:object_id>/why/candles.json", self.admin_site.admin_view(self.why_candles), name=name), *super().get_urls()]  # type: ignore[misc]

    @admin.display(description=gettext_lazy("why"))
    def why_link(self: Any, row: Any) -> SafeString:
        """To that page."""
        address = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_why", args=[row.pk])
        return format_html('<a class="dg-why-link" href="{}">{}</a>', address, _("Why?"))


def _record(decision: Decision) -> tuple[Decision, str]:
    """A decision, and why its row cannot be trusted; empty when hash and chain are whole."""
    return decision, decision_records.why_tampered(decision)


def _instants(story: Story) -> list[datetime]:
    """Market times the story is about; at least one."""
    found = [one.cycle.slot for one in story.cycles] + [one.order.created_at for one in story.orders]
    found += [trade.created_at for trade in story.stray_trades]
    if story.position is not None:
        found += [at for at in (story.position.opened_at, story.position.closed_at) if at is not None]
    return found or [story.anchor.created_at]


def _lines(story: Story) -> list[dict[str, Any]]:
    """Entry, stop and target of the position, as levels of the price."""
    position = story.position
    if position is None:
        return []
    named = (
        ("entry", _("entry"), position.entry_price),
        ("stop", _("stop"), position.current_stop),
        ("target", _("target"), position.target_price),
    )
    return [{"kind": kind, "title": title, "price": float(price)} for kind, title, price in named if price is not None]
