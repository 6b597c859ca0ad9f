"""Who was told of a story, by which channel and when: read from the outbox by the facts its rows name."""

from typing import Any

from django.db.models import Prefetch
from django.utils.translation import gettext as _

from dgbot.base.badges import state_badge
from monitoring.notifications.models import Channel, Delivery, Notification
from trading.admin.why.blocks import Fact, Facts, Table
from trading.admin.why.moments import RANK_OUTCOME, Moment
from trading.selectors.stories import Story

TONES = {"info": "quiet", "warning": "warn", "error": "bad", "critical": "bad"}


def tell(story: Story, *, user: Any) -> list[Moment]:
    """The notifications of every row of the story, with the deliveries to channels `user` may see. Two queries."""
    seen = Delivery.objects.filter(channel__in=Channel.objects.for_user(user)).select_related("channel").order_by("pk")
    rows = Notification.objects.for_user(user).filter(fact__in=_facts(story)).order_by("happened_at", "pk")
    return [_moment(row) for row in rows.prefetch_related(Prefetch("deliveries", seen, to_attr="seen"))]


def _facts(story: Story) -> list[str]:
    """What the outbox calls the rows of this story."""
    found = [f"decision:{one.pk}" for one in story.decisions]
    found += [f"stage:{stage.pk}" for one in story.cycles for stage in one.stages]
    found += [f"risk_event:{event.pk}" for event in story.risk_events]
    for one in story.orders:
        found += [f"order_event:{event.pk}" for event in one.events]
        found += [f"order:{one.order.pk}:{event.seq}" for event in one.events]
        found += [f"trade:{trade.pk}" for trade in one.trades]
    return found + [f"trade:{trade.pk}" for trade in story.stray_trades]


def _moment(row: Any) -> Moment:
    sent = tuple((delivery.sent_at, str(delivery.channel), delivery.get_state_display(), delivery.error) for delivery in row.seen)
    table = Table((_("sent at"), _("channel"), _("state"), _("error")), sent)
    none = Facts((Fact(_("delivered"), _("to no channel of yours")),))
    return Moment(
        at=row.happened_at,
        recorded_at=row.created_at,
        title=_("Notification: %(kind)s") % {"kind": row.get_kind_display()},
        icon="notifications",
        rank=RANK_OUTCOME,
        badge=state_badge(TONES.get(row.level, "quiet"), row.get_level_display()),
        blocks=(table if sent else none,),
    )
