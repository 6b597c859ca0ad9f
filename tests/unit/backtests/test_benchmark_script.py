"""`scripts/benchmark.py`: what it writes can be compared with, and a wrong option is one sentence. How fast it is, is not asked here."""

import csv
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.timeout(600)

SCRIPT = Path(__file__).parents[3] / "scripts" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_efficiency_is_target_over_actual_and_files_are_stamped(benchmark: ModuleType, tmp_path: Path) -> None:
    assert benchmark.main(["--repeats", "5", "--export", "json", "--folder", str(tmp_path)]) == 0

    [path] = tmp_path.glob("benchmark_*Z.json")
    rows = json.loads(path.read_text())["rows"]
    assert [row["candles"] for row in rows] == [100, 300, 1000]
    for row in rows:
        assert row["efficiency"] == pytest.approx(row["target_s"] / row["median_s"])
        assert row["fastest_s"] <= row["median_s"] <= row["slowest_s"]
        assert row["repeats"] == 5


def test_a_run_is_compared_with_an_earlier_file_of_either_form(benchmark: ModuleType, tmp_path: Path, capsys) -> None:
    assert benchmark.main(["--candles", "120", "--repeats", "5", "--export", "csv", "--folder", str(tmp_path)]) == 0
    [path] = tmp_path.glob("*.csv")
    [row] = csv.DictReader(path.open())
    capsys.readouterr()

    assert benchmark.main(["--candles", "120", "--repeats", "5", "--compare", str(path)]) == 0

    assert " %" in capsys.readouterr().out
    assert benchmark.change_percent({"rows": [{"candles": 120, "median_s": 2.0}]}, {"candles": 120, "median_s": 1.5}) == -25
    assert benchmark.change_percent({"rows": []}, {"candles": 120, "median_s": 1.5}) is None
    assert row["efficiency"] == "", "the sources tell no time for 120 candles"


def test_watching_samples_processor_and_memory(benchmark: ModuleType) -> None:
    seen = benchmark.watched(100, minutes=0.01)

    assert seen["samples"] >= 1
    assert seen["runs_per_s"] > 0
    assert seen["memory_mib_last"] > 10


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--repeats", "4"], "--repeats must be 5 or more"),
        (["--candles", "0"], "--candles must be 1 or more"),
        (["--monitor", "0"], "--monitor takes minutes above 0"),
        (["--compare", str(SCRIPT)], "is no file of an earlier --export"),
        (["--compare", "nowhere.json"], "nowhere.json"),
    ],
)
def test_a_wrong_option_is_one_sentence(benchmark: ModuleType, capsys, options: list[str], sentence: str) -> None:
    assert benchmark.main(options) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1
