"""The order path without a database, a network or a clock: at most one order per decision, nothing lost, money once.

    claiming ──▶ one send ──▶ answers ──▶ booking
                    │ unclear                ▲
                    └─▶ settling ── found ───┘
                           └─ not found: absence (or the same client id once more)

Everything here is a function from what one transaction reads (`OrderFacts`) to what it writes (`Change`). `procedure` is the only
part that acts, through the narrow ports of `ports`; PostgreSQL and the simulator of `tests/simulation` stand behind the same ports.
Source: docs/decisions/0027-the-order-path-has-no-database.md
"""
