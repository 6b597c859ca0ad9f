"""Which address leads where."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.urls import include, path
from django.views.i18n import set_language

from monitoring.leaving import leave

urlpatterns = [
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", leave, name="logout"),
    path("admin/logout/", leave),  # before the admin's own, which would not ask
    path("i18n/setlang/", login_not_required(set_language), name="set_language"),
    path("admin/", admin.site.urls),
    path("account/", include("dgbot.accounts.urls")),
    path("", include("monitoring.urls")),
]
if settings.SHOWS_ADMIN:  # the other processes serve nothing, and start without the libraries of API and reports
    from dgbot.base.rest.errors import plain_error

    urlpatterns += [path("", include("backtests.urls")), path("", include("dgbot.api_urls"))]
    handler400, handler403, handler404, handler500 = (plain_error(status) for status in (400, 403, 404, 500))
