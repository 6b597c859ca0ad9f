"""What Prometheus reads: our rows as metrics. Unknown values are left out, never 0; `mode` keeps simulated money apart from real money.

`totals` keeps counters cheap at millions of rows, `families` gives them their names and asks for what holds now.
"""
