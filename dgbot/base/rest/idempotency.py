"""A write that comes twice happens once. The client names it by `Idempotency-Key`; we keep its answer for 24 hours.

The key's row, the effect and the answer are one transaction: a second request with the key waits at the unique index until the first has
ended, then gets its answer. A refused write has no effect and keeps nothing, so its key is free again.

Where the effect leaves the database (a message to the queue, a question to an exchange), no transaction may be held meanwhile. There the
row is committed first; who repeats while it is under way, or after a crash in between, is told that nobody knows yet (409).
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.accounts.kept_answers import KEPT
from dgbot.accounts.models import KeptAnswer
from dgbot.base.fields import ClockTimestamp
from dgbot.base.rest.errors import Conflict

HEADER, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
FORM = re.compile(r"^[\x21-\x7e]{1,255}$")
WRITES = ("post", "put", "patch", "delete")

Handler = Callable[..., Response]


def once(handler: Handler, request: Request, *args: Any, leaves_database: bool, hides: tuple[str, ...], **kwargs: Any) -> Response:
    """What `handler` answers, or what it answered before to the same key. hides: fields of the answer that are shown once."""
    key = request.headers.get(HEADER)
    if key is None:
        return handler(request, *args, **kwargs)
    if not FORM.match(key):
        raise ValidationError({HEADER: [_("It must be 1 to 255 visible ASCII characters; a UUID is best.")]})
    fingerprint = _fingerprint(request)
    if leaves_database:
        return _outside(handler, request, *args, key=key, fingerprint=fingerprint, hides=hides, **kwargs)
    with transaction.atomic():
        row, is_new = _claim(request.user, key=key, fingerprint=fingerprint)
        if not is_new:
            return _again(row, fingerprint=fingerprint)
        response = handler(request, *args, **kwargs)
        if response.status_code >= 400:
            transaction.set_rollback(True)
        else:
            _keep(row, response, hides=hides)
    return response


def _outside(handler: Handler, request: Request, *args: Any, key: str, fingerprint: str, hides: tuple[str, ...], **kwargs: Any) -> Response:
    with transaction.atomic():
        row, is_new = _claim(request.user, key=key, fingerprint=fingerprint)
    if not is_new:
        return _again(row, fingerprint=fingerprint)
    try:
        response = handler(request, *args, **kwargs)
    except Exception as error:
        if getattr(error, "status_code", 0) or _is_refusal(error):
            row.delete()  # refused: nothing happened
        raise
    _keep(row, response, hides=hides)
    return response


def _is_refusal(error: Exception) -> bool:
    from django.http import Http404

    from dgbot.core.errors import DgbotError

    return isinstance(error, DgbotError | Http404)


def _claim(user: Any, *, key: str, fingerprint: str) -> tuple[KeptAnswer, bool]:
    KeptAnswer.objects.filter(user=user, key=key, created_at__lt=ClockTimestamp() - KEPT).delete()
    return KeptAnswer.objects.get_or_create(user=user, key=key, defaults={"request_hash": fingerprint})


def _again(row: KeptAnswer, *, fingerprint: str) -> Response:
    if row.request_hash != fingerprint:
        raise Conflict(_("This key came with another request before; take a new key for a new request."), code="key_used")
    if row.status is None:
        raise Conflict(
            _("The request with this key is under way, or was cut off: look at what it did before you ask again with a new key."),
            code="under_way",
        )
    content = json.loads(row.body) if row.body else None
    return Response(content, status=row.status, headers={REPLAYED: "true"})


def _keep(row: KeptAnswer, response: Response, *, hides: tuple[str, ...]) -> None:
    content = response.data
    if hides and isinstance(content, dict):
        content = {name: None if name in hides else value for name, value in content.items()}
    row.status = response.status_code
    row.body = "" if content is None else JSONRenderer().render(content).decode()
    row.save(update_fields=["status", "body"])


def _fingerprint(request: Request) -> str:
    """Method, address and body; the order of a body's names does not count."""
    told = json.dumps([request.method, request.get_full_path(), request.data], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
