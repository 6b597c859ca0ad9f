"""Whether somebody has just proven a second factor: the one place that everything costly asks."""

from django.http import HttpRequest


def is_proven(request: HttpRequest) -> bool:
    """Whether this session has proven its user's second factor. False while none is set up: then nobody has."""
    check = getattr(request.user, "is_verified", None)  # what a second factor's middleware adds to a user
    return bool(check()) if callable(check) else False
