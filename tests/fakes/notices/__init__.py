"""Where notifications arrive: Telegram's Bot API, a Slack webhook, a mailbox and a webhook, over real sockets and with faults."""
