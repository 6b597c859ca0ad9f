"""backtesting.py on the work, with two half orders. Prints seconds and trades."""

import json
import statistics
import sys
import time

import pandas as pd
from backtesting import Backtest, Strategy
from market import FEE, FIRST_PROFIT, LAST_PROFIT, SLIPPAGE, STOP, bars, entries

market = bars(int(sys.argv[1]))
enters = entries(market)
frame = pd.DataFrame(
    {name.capitalize(): market[name] for name in ("open", "high", "low", "close", "volume")}, index=pd.to_datetime(market["time"])
)


class Work(Strategy):
    """Two half orders, one a target each."""

    def init(self) -> None:
        self.signal = self.I(lambda: enters.astype(float), name="signal")

    def next(self) -> None:
        if not self.position and not self.orders and self.signal[-1]:
            price = self.data.Close[-1]
            self.buy(size=1, sl=price * (1 - STOP), tp=price * (1 + FIRST_PROFIT))
            self.buy(size=1, sl=price * (1 - STOP), tp=price * (1 + LAST_PROFIT))


took = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    result = Backtest(frame, Work, cash=1e9, commission=FEE + SLIPPAGE, exclusive_orders=False, finalize_trades=True).run()
    took.append(time.perf_counter() - start)
print(json.dumps({"s": statistics.median(took), "trades": int(result["# Trades"]), "left_out": "slippage only as fee; signals"}))  # noqa: T201
