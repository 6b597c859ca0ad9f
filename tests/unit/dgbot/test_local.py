"""Paths stay short enough for sockets, locks die with their holder, seeds keep their order."""

from pathlib import Path

import pytest

from dgbot.base import seeds
from dgbot.core.errors import BadInput
from dgbot.local import commands, processes, up
from dgbot.local.lock import Lock, is_taken
from dgbot.local.paths import POSTGRES_SOCKET, SOCKET_PATH_LIMIT, Places


@pytest.mark.parametrize("length", [5, 60, 200])
def test_a_socket_path_is_never_too_long(length):
    places = Places(Path("/data") / ("x" * length))

    assert len(bytes(places.run / POSTGRES_SOCKET)) <= SOCKET_PATH_LIMIT


def test_two_long_folders_have_two_run_folders():
    assert Places(Path("/a") / ("x" * 200)).run != Places(Path("/b") / ("x" * 200)).run


def test_a_lock_is_held_by_one_and_freed_by_its_release(tmp_path):
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")

    assert first.take()
    assert not second.take()
    assert is_taken(tmp_path / "lock")
    first.release()
    assert second.take(timeout_s=1)


def test_shared_holders_share_and_keep_the_exclusive_one_out(tmp_path):
    first, second, third = (Lock(tmp_path / "lock") for _ in range(3))

    assert first.take(shared=True)
    assert second.take(shared=True)
    assert not third.take()


def test_a_recycled_pid_is_not_ours():
    own = processes.Identity.of(1)

    assert processes.Identity(1, own.created - 100).process() is None


def test_a_broken_pids_file_means_nobody(tmp_path):
    (tmp_path / "pids.json").write_text("{")

    assert processes.recall(tmp_path / "pids.json") == {}


def test_a_full_disk_is_refused_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(up.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 3_000_000}))

    with pytest.raises(BadInput, match=r"only 3 MB are free .* DGBOT_DATA_DIR"):
        up.refuse_full_disk(tmp_path)


def test_another_python_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(up.sys, "version_info", (3, 15, 0))

    with pytest.raises(BadInput, match=r"3\.11 to 3\.14"):
        up.refuse_other_python()


def test_commands_that_read_files_only_start_no_servers():
    environment = commands.env.load({}, dotenv=None)

    for arguments in (["makemessages"], ["migrate", "--help"], []):
        with commands.servers_for(arguments, environment) as servers:
            assert servers is None


def test_seeds_run_in_their_order_and_once_per_name(monkeypatch):
    monkeypatch.setattr(seeds, "_seeds", {})

    for order, name in ((20, "b"), (10, "a"), (20, "b")):
        seeds.register(order, name, lambda: None)

    assert [seed.name for seed in seeds.registered()] == ["a", "b"]
