"""The cockpit over everything trading records, one idea per module."""

from trading.admin import accounts, analysts, bots, commands, config, cycles, ledger, orders, parity, protection, reconcile, trades, venue

__all__ = [
    "accounts",
    "analysts",
    "bots",
    "commands",
    "config",
    "cycles",
    "ledger",
    "orders",
    "parity",
    "protection",
    "reconcile",
    "trades",
    "venue",
]
