"""The rule book, the same in backtest, replay, paper and live. Pure: values in, values out."""
