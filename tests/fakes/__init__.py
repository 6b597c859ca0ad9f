"""The outside world on loopback: real servers that speak the real protocols and keep a ledger of truth of their own."""
