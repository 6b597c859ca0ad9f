"""The scorecard: whether the models know anything, and whether they earn what they cost."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from dgbot.core.errors import DgbotError
from monitoring import scorecards
from monitoring.scorecards import HEIGHT, SQUARE, WIDTH
from trading.models import Bot
from trading.models.bots import RULES
from trading.selectors.scorecards import GROUPS
from trading.services import shadows

ADD, OPERATE = "trading.add_bot", "trading.change_bot"


@require_GET
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """Cards of forecasts by model, prompt, symbol or regime; every shadow beside its champion."""
    by = request.GET.get("by", "")
    by = by if by in GROUPS else GROUPS[0]
    now = timezone.now()
    cards, pending, unknown = scorecards.scored(request.user, by=by, now=now)
    context: dict[str, Any] = {
        "groups": {"model": _("model"), "prompt": _("prompt"), "symbol": _("symbol"), "regime": _("regime")},
        "by": by,
        "cards": cards,
        "pending": pending,
        "unknown": unknown,
        "followed": scorecards.followed(request.user, now=now),
        "champions": scorecards.may_be_followed(request.user),
        "analysts": scorecards.analysts(),
        "rules": RULES,
        "picture": {"width": WIDTH, "height": HEIGHT, "square": SQUARE},
    }
    return render(request, "monitoring/scorecard.html", context)


@require_POST
@permission_required(ADD, raise_exception=True)
def create_shadow(request: HttpRequest) -> HttpResponse:
    """Make a shadow of one of the user's bots."""
    champion = _visible(request, request.POST.get("champion", ""))
    name, analyst, reason = (request.POST.get(field, "") for field in ("name", "analyst", "reason"))
    try:
        shadow = shadows.create(champion_pk=champion.pk, name=name, analyst=analyst, by=request.user, reason=reason)
    except DgbotError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("%(name)s was created. It stands still until you start it.") % {"name": shadow.name})
        return redirect("bot_page", bot_pk=shadow.pk)
    return redirect("scorecard")


@require_POST
@permission_required(OPERATE, raise_exception=True)
def promote(request: HttpRequest, bot_pk: int) -> HttpResponse:
    """Exchange what is in question between a shadow and its champion."""
    shadow = _visible(request, bot_pk)
    try:
        champion = shadows.promote(shadow_pk=shadow.pk, by=request.user, reason=request.POST.get("reason", ""))
    except DgbotError as error:
        messages.error(request, str(error))
    else:
        told = _("%(champion)s now does what %(shadow)s did, and the other way round; promoting again takes it back.")
        messages.success(request, told % {"champion": champion.name, "shadow": shadow.name})
    return redirect("scorecard")


def _visible(request: HttpRequest, bot_pk: Any) -> Bot:
    rows = Bot.objects.for_user(request.user)
    found = rows.filter(pk=int(bot_pk)).first() if str(bot_pk).isdecimal() else None
    if found is None:
        raise Http404
    return found
