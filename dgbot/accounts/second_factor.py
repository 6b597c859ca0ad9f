"""Whether somebody has just proven a second factor: the one place that everything costly asks."""

from django.http import HttpRequest


def is_available(request: HttpRequest) -> bool:
    """Whether this platform knows second factors: their middleware gives users the question."""
    return callable(getattr(request.user, "is_verified", None))


def is_proven(request: HttpRequest) -> bool:
    """Whether this session has proven its user's second factor. False while none is set up: then nobody has."""
    check = getattr(request.user, "is_verified", None)
    return bool(check()) if callable(check) else False
