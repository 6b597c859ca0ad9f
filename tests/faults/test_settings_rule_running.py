"""Settings changed while beat, worker and gateway run: the very next cycle and order obey, without a restart."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.crew import Crew, crew_on
from tests.faults.rules import wait_until
from tests.scale import only_in_full

CAP = 21_000  # KRW; the demo bot would take 50,000
CHANGE = "from trading.services import config; config.change(key={key!r}, value={value!r}, by='test', reason='now')"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    with crew_on(folder) as made:
        yield made


@only_in_full
def test_every_change_is_obeyed_by_the_very_next_cycle(crew: Crew) -> None:
    change(crew, "max_trade_amount_krw", {"amount": CAP})
    for name in ("beat 1", "worker 1", "gateway 1"):
        crew.start(name)

    wait_until(lambda: number(crew, "SELECT count(*) FROM orders WHERE purpose = 'entry'"), "an entry", seconds=150)
    assert number(crew, "SELECT max(quote_amount) FROM orders WHERE purpose = 'entry'") == CAP

    version = change(crew, "risk_level", {"level": "low"})
    first = first_after(crew, version)
    assert risk_check_of(crew, first)["data"]["risk_profile"] == "conservative"

    version = change(crew, "target_symbols", {"symbols": ["KRW-ETH"]})
    wait_until(lambda: number(crew, "SELECT count(*) FROM positions WHERE amount > 0") == 0, "the position to be left", seconds=150)
    flat_since = number(crew, "SELECT max(id) FROM cycles")
    wait_until(lambda: number(crew, f"SELECT count(*) FROM cycles WHERE id > {flat_since} AND status = 'done'"), "a cycle without one")
    flat = number(crew, f"SELECT min(id) FROM cycles WHERE id > {flat_since} AND status = 'done'")
    assert "target_symbols" in [reason["code"] for reason in risk_check_of(crew, flat)["reasons"]]
    since = f"JOIN cycles ON cycles.id = orders.cycle_id WHERE orders.purpose = 'entry' AND cycles.config_version_id >= {version}"
    assert number(crew, f"SELECT count(*) FROM orders {since}") == 0


def change(crew: Crew, key: str, value: dict) -> int:
    """Change a setting from another process; the version it has made."""
    crew.manage("shell", "-c", CHANGE.format(key=key, value=value))
    return number(crew, "SELECT max(id) FROM config_versions")


def first_after(crew: Crew, version: int) -> int:
    """The first cycle that began after the change. It must have read it."""
    changed_at = f"(SELECT changed_at FROM config_versions WHERE id = {version})"
    since = number(crew, f"SELECT coalesce(max(id), 0) FROM cycles WHERE recorded_at <= {changed_at}")
    wait_until(lambda: number(crew, f"SELECT count(*) FROM cycles WHERE id > {since} AND status = 'done'"), "the next cycle")
    first = number(crew, f"SELECT min(id) FROM cycles WHERE id > {since} AND status = 'done'")
    assert number(crew, f"SELECT config_version_id FROM cycles WHERE id = {first}") >= version
    return first


def risk_check_of(crew: Crew, cycle: int) -> dict:
    """What RiskCheck wrote."""
    (told,) = crew.sql(f"SELECT row_to_json(r)::text FROM stage_results r WHERE cycle_id = {cycle} AND stage = 'risk_check'")
    return json.loads(told)


def number(crew: Crew, query: str) -> int:
    (value,) = crew.sql(query)
    return int(value)
