"""vectorbt's `from_signals` on the work: one stop and one target, no partial exit. Prints seconds and trades."""

import json
import statistics
import sys
import time

import numpy as np
import pandas as pd
import vectorbt
from market import FEE, LAST_PROFIT, SLIPPAGE, STOP, bars, entries

market = bars(int(sys.argv[1]))
index = pd.to_datetime(market["time"])  # without a zone: with one, every wrap turns the index into objects
opens, high, low, close = (pd.Series(market[name], index=index) for name in ("open", "high", "low", "close"))
enters = pd.Series(np.concatenate([[False], entries(market)[:-1]]), index=index)
leaves = pd.Series(False, index=index)
took, with_statistics, first = [], [], 0.0
for number in range(int(sys.argv[2]) + 1):
    start = time.perf_counter()
    portfolio = vectorbt.Portfolio.from_signals(
        close, enters, leaves, price=opens, open=opens, high=high, low=low, size=2, init_cash=1e9,
        fees=FEE, slippage=SLIPPAGE, sl_stop=STOP, tp_stop=LAST_PROFIT, freq="1h",
    )  # fmt: skip
    ran = time.perf_counter() - start
    portfolio.stats()
    if number == 0:
        first = ran
        continue
    took.append(ran)
    with_statistics.append(time.perf_counter() - start)
figures = {
    "s": statistics.median(took),
    "with_statistics_s": statistics.median(with_statistics),
    "first_s": first,
    "trades": int(portfolio.trades.count()),
    "left_out": "partial exit; signals",
}
print(json.dumps(figures))  # noqa: T201
