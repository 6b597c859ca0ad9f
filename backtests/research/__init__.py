"""Research that does not fool itself: what was tried is counted, what was chosen is judged on bars nobody chose by.

Pure: candles, strategies and setups in, values out; seeds are arguments, the counter's rows are the caller's.
Which method answers which question: docs/decisions/0024-what-a-promotion-proves.md
"""
