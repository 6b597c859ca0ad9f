"""Run by `manage.py shell`: the gateway, which for once drives a live account. Its exchange is a fake on loopback."""

from django.conf import settings
from django.core.management import call_command

from trading.services import venues

assert settings.ENV["DGBOT_UPBIT_URL"].startswith("http://127.0.0.1:")
settings.LIVE_TRADING = True
venues.LIVE_ORDER_PATH_IS_PROVEN = True
call_command("run_gateway")
