"""How Flower finds our queues: the same broker and prefix as the platform (dgbot/settings.py)."""

broker_url = "redis://valkey:6379/0"
broker_transport_options = {"global_keyprefix": "dgbot:"}
