"""A fake Upbit: REST and websocket as documented and recorded, over the shared engine."""
