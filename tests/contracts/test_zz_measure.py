"""CPU of a 10,000-set sweep as a job, and Parquet against JSON on a recorded year."""
import os, time, json, sys
from pathlib import Path
import pytest
pytestmark = [pytest.mark.django_db, pytest.mark.timeout(900)]

def test_sizes(tmp_path, settings):
    settings.DATA_DIR = tmp_path
    from datetime import datetime, UTC
    from backtests.candles.importing import ImportOptions
    from backtests.services import candles, runs, results
    from backtests.selectors import archive_root
    from backtests.models import ResultFile
    from trading.services import backtesting
    from trading.services.backtesting import Wanted
    from decimal import Decimal
    from dgbot.core.clock import from_nanoseconds
    data = Path("/work/shared/data/upbit")
    file = next(p for p in sorted(data.rglob("*")) if "KRW-BTC" in p.name and ("60" in p.name or "1h" in p.name) and p.is_file())
    print(file)
    candles.import_file(file, root=archive_root(), exchange="upbit", symbol="KRW-BTC", now=datetime.now(tz=UTC))
    for strategy in ("volatility_breakout", "conservative_ema", "ultra_aggressive_momentum"):
        wanted = Wanted(strategy=strategy, symbols=["KRW-BTC"], start=datetime(2023,1,1,tzinfo=UTC), end=datetime(2024,1,1,tzinfo=UTC), fraction=Decimal("0.9"), has_limits=False)
        begun = time.process_time()
        row = runs.run_now(spec=backtesting.prepare(wanted).spec)
        took = time.process_time() - begun
        assert row.status == "finished", row.reason
        stored = results.read(row)
        size = sum(f.size for f in row.files.all())
        trades = [{name: (from_nanoseconds(int(v[i])).isoformat() if name.endswith("_at") else v[i].item() if hasattr(v[i], "item") else str(v[i])) for name, v in vars(stored.trades).items()} for i in range(len(stored.trades))]
        equity = [{"timestamp": from_nanoseconds(int(t)).isoformat(), "equity": float(e)} for t, e in zip(stored.equity.time, stored.equity.equity)]
        fills = [{name: (from_nanoseconds(int(v[i])).isoformat() if name == "time" else v[i].item() if hasattr(v[i], "item") else str(v[i])) for name, v in vars(stored.fills).items()} for i in range(len(stored.fills))]
        old = len(json.dumps({"metrics": row.metrics, "trades": trades, "equity_curve": equity}))
        full = len(json.dumps({"metrics": row.metrics, "trades": trades, "equity_curve": equity, "fills": fills}))
        print(strategy, "bars", len(equity), "trades", len(trades), "parquet", size, {f.kind: f.size for f in row.files.all()}, "json", old, f"{size/old:.1%}", "with fills", full, f"{size/full:.1%}", "cpu s", round(took, 3))

def test_sweep(tmp_path, settings):
    settings.DATA_DIR = tmp_path
    import numpy as np
    from datetime import datetime, UTC
    from backtests.services import candles, sweeps, searches
    from backtests.selectors import archive_root
    from backtests.services.slices import Next
    from trading.services import backtesting
    from trading.services.backtesting import Wanted, WantedSweep
    import backtests.engine.sweeping as sweeping
    data = Path("/work/shared/data/upbit")
    file = next(p for p in sorted(data.rglob("*")) if "KRW-BTC" in p.name and ("60" in p.name or "1h" in p.name) and p.is_file())
    candles.import_file(file, root=archive_root(), exchange="upbit", symbol="KRW-BTC", now=datetime.now(tz=UTC))
    for sampler in ("sobol",):
        wanted = WantedSweep(run=Wanted(strategy="volatility_breakout", symbols=["KRW-BTC"], start=datetime(2023,1,1,tzinfo=UTC), end=datetime(2025,1,1,tzinfo=UTC)), sampler=sampler, sets=10_000, folds=0)
        for again in range(2):
            row = sweeps.submit(spec=backtesting.prepare_sweep(wanted))
            t = {"plan": 0.0, "pieces": 0.0, "end": 0.0}
            kernel = [0.0]
            orig = sweeps._searched
            def timed(*a, **k):
                b = time.process_time(); r = orig(*a, **k); kernel[0] += time.process_time() - b; return r
            sweeps._searched = timed
            n = 0
            b0 = time.process_time()
            b = time.process_time(); s = sweeps.work(sweep_pk=row.pk); t["plan"] = time.process_time() - b
            kernel[0] = 0.0
            while True:
                b = time.process_time(); s = sweeps.work(sweep_pk=row.pk); d = time.process_time() - b
                if s.next is not Next.AGAIN: t["end"] = d; break
                t["pieces"] += d; n += 1
            sweeps._searched = orig
            row.refresh_from_db()
            print(row.status, row.reason, "pieces", n, "cpu", {k: round(v, 3) for k, v in t.items()}, "search within pieces", round(kernel[0], 3), "all", round(time.process_time() - b0, 3))
    import cProfile, pstats
    row = sweeps.submit(spec=backtesting.prepare_sweep(wanted)); sweeps.work(sweep_pk=row.pk)
    p = cProfile.Profile(); p.enable()
    while sweeps.work(sweep_pk=row.pk).next is Next.AGAIN: pass
    p.disable(); pstats.Stats(p).sort_stats("tottime").print_stats(18)
