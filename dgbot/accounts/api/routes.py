"""Addresses of users' faces."""

from django.urls import path

from dgbot.accounts.api import auth, own
from dgbot.base.rest.routing import Router

router = Router()
router.register("tokens", own.TokensFace, "token")

urlpatterns = [
    path("auth/token", auth.TokenFace.as_view(), name="auth_token"),
    path("auth/refresh", auth.RefreshFace.as_view(), name="auth_refresh"),
    path("auth/logout", auth.LogoutFace.as_view(), name="auth_logout"),
    path("auth/logout-everywhere", auth.LogoutEverywhereFace.as_view(), name="auth_logout_everywhere"),
    path("me", own.MeFace.as_view(), name="me"),
    path("me/password", own.PasswordFace.as_view(), name="me_password"),
    *router.urls,
]
