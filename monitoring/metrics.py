"""What Prometheus reads: our rows as metrics, and what every process counted by itself.

In multiprocess mode django-prometheus' own view would leave the database's metrics out, so this view builds the registry.
"""

import hmac
import os
import threading
import time

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from monitoring.exposition.families import RowCollector

CACHE_S = 10.0
LOOPBACK = ("127.0.0.1", "::1")


@login_not_required
@require_safe
def expose(request: HttpRequest) -> HttpResponse:
    """All metrics; for who bears DGBOT_METRICS_TOKEN, or for this machine when there is none."""
    if not _may_read(request):
        return HttpResponseForbidden("Send DGBOT_METRICS_TOKEN as a bearer token.\n", content_type="text/plain")
    return HttpResponse(_cached(), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN
    if token:
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode())
    # A proxy on this machine makes every visitor look local.
    return request.META.get("REMOTE_ADDR") in LOOPBACK and "X-Forwarded-For" not in request.headers


def _cached() -> bytes:
    global _text, _made_at
    with _lock:
        if not _text or time.monotonic() - _made_at > CACHE_S:
            _text, _made_at = _render(), time.monotonic()
        return _text


def _render() -> bytes:
    registry = CollectorRegistry()
    registry.register(RowCollector())
    text = generate_latest(registry)
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        return text + generate_latest(counted)
    return text + generate_latest(REGISTRY)


_lock = threading.Lock()
_text, _made_at = b"", 0.0
