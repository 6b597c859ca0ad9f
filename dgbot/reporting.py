"""Errors told to Sentry, where a DSN is set: without secrets, request bodies, cookies, users or local variables."""

from typing import Any

from dgbot.redaction import redacted


def start(dsn: str, *, process: str, deployment: str) -> None:
    """Report uncaught exceptions and error lines of this process from now on."""
    import sentry_sdk  # only where it is wanted: it takes a fifth of a second

    sentry_sdk.init(
        dsn=dsn,
        environment=deployment,
        server_name=process or "manage",
        include_local_variables=False,  # a frame may hold an opened key
        max_request_body_size="never",
        traces_sample_rate=0.0,
        before_send=_without_secrets,
        before_breadcrumb=_breadcrumb,
    )


def _without_secrets(event: Any, _hint: Any) -> Any:
    return redacted(event)


def _breadcrumb(crumb: Any, _hint: Any) -> Any:
    return redacted(crumb)
