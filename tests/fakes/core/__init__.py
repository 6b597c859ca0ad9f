"""What every fake exchange shares: books, matching, money, a ledger of truth, clock, limits, faults, request log, server."""
