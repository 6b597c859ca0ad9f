"""Notifications: what happened, told to whom it concerns, once and in order.

    facts (trades, stages, …) ─ reader ─┐
    states (bots, heartbeats) ─ watcher ─┼─→ notifications ─→ deliveries, one per channel ─ notifier ─→ Telegram, Slack, mail, …
    any room of this level ──── tell() ──┘         (outbox, in the event's transaction)

Start reading at `outbox.tell`. docs/notifications.md is for operators, docs/decisions/0050 and 0051 say why it is built so.
"""
