"""What pretended exchanges remember: for comparing with our own rows, never for editing."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from dgbot.base.admin import FactAdmin
from dgbot.base.querysets import SEES_ALL
from trading.models import VenueAccount, VenueFill, VenueOrder


class VenueFactAdmin(FactAdmin):
    """These rows belong to no user, so only those who see all owners see them."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """With the right to see all owners."""
        return super().has_module_permission(request) and request.user.has_perm(SEES_ALL)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """With the right to see all owners."""
        return super().has_view_permission(request, obj) and request.user.has_perm(SEES_ALL)


@admin.register(VenueAccount)
class VenueAccountAdmin(VenueFactAdmin):
    """Balances."""

    list_display = ("account_key", "asset", "free")
    ordering = ("account_key", "asset")


@admin.register(VenueOrder)
class VenueOrderAdmin(VenueFactAdmin):
    """Orders."""

    list_display = ("created_at", "account_key", "exchange_order_id", "client_id", "symbol", "side", "status")
    search_fields = ("=client_id", "=exchange_order_id")
    ordering = ("-id",)


@admin.register(VenueFill)
class VenueFillAdmin(VenueFactAdmin):
    """Fills."""

    list_display = ("executed_at", "account_key", "exchange_trade_id", "exchange_order_id", "price", "amount", "fee")
    search_fields = ("=exchange_order_id", "=exchange_trade_id")
    ordering = ("-id",)
