"""News of backtests for whoever watches, sent after commit. Nothing that must happen hangs on these; only monitoring listens."""

from django.dispatch import Signal

job_died = Signal()  # sender: BacktestRun or Sweep, pk: the one that was given up; it waits among the dead for an operator
