"""Addresses of one's own sign-in."""

from django.urls import path

from dgbot.accounts import views

urlpatterns = [
    path("", views.security, name="account_security"),
    path("second-factor/", views.set_up, name="account_set_up"),
    path("second-factor/codes/", views.renew_codes, name="account_renew_codes"),
    path("verify/", views.verify, name="account_verify"),
    path("sessions/end/", views.end_others, name="account_end_others"),
]
