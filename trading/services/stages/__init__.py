"""The four stages. Each takes the cycle's context, reads what it needs and answers with an `Outcome`; `cycles` writes it."""
