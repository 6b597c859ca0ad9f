"""The archive's labels, what was tried, and the jobs that try it."""

from backtests.models.candles import INTERVALS, SEVERITIES, CandleCorrection, CandleSeries, CandleSync, SyncStatus
from backtests.models.jobs import ENDED, MOVES, OPEN, WORKING, Job, JobStatus
from backtests.models.research import DataSet, Search, SearchBatch, SearchStatus, Trial
from backtests.models.runs import BacktestRun, ResultFile, ResultKind, ResultPlace, Sweep, SweepPiece

__all__ = [
    "ENDED",
    "INTERVALS",
    "MOVES",
    "OPEN",
    "SEVERITIES",
    "WORKING",
    "BacktestRun",
    "CandleCorrection",
    "CandleSeries",
    "CandleSync",
    "DataSet",
    "Job",
    "JobStatus",
    "ResultFile",
    "ResultKind",
    "ResultPlace",
    "Search",
    "SearchBatch",
    "SearchStatus",
    "Sweep",
    "SweepPiece",
    "SyncStatus",
    "Trial",
]
