"""The ASGI application: Django over HTTP, monitoring's consumers over websockets."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dgbot.settings")
os.environ.setdefault("DGBOT_PROCESS", "web")
http = get_asgi_application()  # before anything that imports a model

from dgbot.base.loops import beat_in_background  # noqa: E402
from dgbot.checks import refuse_to_start  # noqa: E402
from monitoring.routing import websocket_urlpatterns  # noqa: E402

if os.environ["DGBOT_PROCESS"] == "web":
    refuse_to_start()
    beat_in_background("web")

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
