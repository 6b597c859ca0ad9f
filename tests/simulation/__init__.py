"""Tier S: the order path itself under a seeded world that lies, breaks and dies. Source: faults.md, sections 1 and 2.

world ── rng ──▶ strategy · operator · exchange engine · nemesis
  │                      │
  ▼                      ▼
processes (OrderPath over MemoryStore, through a Wire) ──▶ TruthExchange, whose ledger is the truth
  └─ every commit and every arrival is checked at once, everything again after healing
"""
