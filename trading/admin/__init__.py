"""The cockpit over everything trading records, one idea per module."""

from trading.admin import accounts, bots, commands, config, cycles, ledger, orders, trades, venue

__all__ = ["accounts", "bots", "commands", "config", "cycles", "ledger", "orders", "trades", "venue"]
