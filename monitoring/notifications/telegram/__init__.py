"""Commands by Telegram: who may ask what, answered through the same outbox as everything else.

poller: getUpdates, one at a time by an advisory lock ─→ inbox: one transaction per message: offset, effect, answer
catalogue: every command with its right ─ reading: asks · deeds: does · bots: which bot is meant
"""
