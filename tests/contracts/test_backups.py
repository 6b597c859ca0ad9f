"""A backup comes back as it was, or not at all; and it holds no key."""

import gzip
import json
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from dgbot.core.errors import BadInput
from dgbot.local.paths import Places
from monitoring.backups import files, keeping, making, postgres, redis_keys, restoring, results, upgrades
from monitoring.backups.models import Backup, BackupReason, BackupState
from monitoring.seeds import create_schedules

pytestmark = pytest.mark.django_db

NAME = "backup_test"
REASON = BackupReason.OPERATOR


def run(database: str, statement: str) -> Any:
    """Run a statement as the server's superuser; its first row."""
    session = postgres.connect(database)
    try:
        with session.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone() if cursor.description else None
    finally:
        session.close()


def databases() -> set[str]:
    session = postgres.connect("postgres")
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{NAME}%"])
            return {name for (name,) in cursor.fetchall()}
    finally:
        session.close()


@pytest.fixture(scope="module")
def template(servers: Places) -> str:
    """A small database with one table that grows, one partitioned, one empty."""
    run("postgres", f"CREATE DATABASE {NAME}_template")
    for statement in (
        "CREATE TABLE fills (id bigint PRIMARY KEY, price numeric(38, 18) NOT NULL, at timestamptz NOT NULL, note text)",
        "INSERT INTO fills SELECT n, n / 7.0, to_timestamp(1767225600 + n), 'fill ' || n FROM generate_series(1, 5000) n",
        "CREATE TABLE lines (id bigint, at date NOT NULL) PARTITION BY RANGE (at)",
        "CREATE TABLE lines_default PARTITION OF lines DEFAULT",
        "INSERT INTO lines SELECT n, '2026-01-01'::date + n::int FROM generate_series(1, 50) n",
        "CREATE TABLE nothing (id int)",
        "CREATE TABLE django_migrations (app text, name text)",
    ):
        run(f"{NAME}_template", statement)
    return f"{NAME}_template"


@pytest.fixture
def database(template: str, settings: Any, tmp_path: Path) -> Iterator[str]:
    """A copy of it, to back up and to destroy; backups lie in a folder of this test's own."""
    run("postgres", f"CREATE DATABASE {NAME} TEMPLATE {template}")
    superuser = settings.DATABASE_DIRECT
    settings.DATABASE_DIRECT = {**superuser, "NAME": NAME}
    settings.BACKUP_DIR = tmp_path / "backups"
    yield NAME
    settings.DATABASE_DIRECT = superuser
    for name in databases() - {template}:
        run("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.BACKUP_DIR = tmp_path / "backups"
    return settings.BACKUP_DIR


def restore_outside_the_test(path: Path, monkeypatch: pytest.MonkeyPatch) -> restoring.Restored:
    """`restore` closes Django's connections, which here hold the test's transaction; they are to another database."""
    monkeypatch.setattr(restoring.connections, "close_all", lambda: None)
    return restoring.restore(path)


def test_what_was_destroyed_comes_back_identical(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = making.make("postgres", reason=REASON)
    run(database, "DROP TABLE fills")
    run(database, "UPDATE lines SET id = 0")

    done = restore_outside_the_test(files.folder() / row.file, monkeypatch)

    assert (done.rows, done.tables) == (5050, 4)
    with postgres.connect(database).cursor() as cursor:
        assert postgres.fingerprints(cursor) == row.contents["tables"]
    assert run(done.former, "SELECT sum(id) FROM lines") == (0,)  # nothing is thrown away
    assert run(database, "SELECT sum(price) FROM fills") == run(f"{NAME}_template", "SELECT sum(price) FROM fills")


def test_a_lost_database_comes_back(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.folder() / making.make("postgres", reason=REASON).file
    run("postgres", f"DROP DATABASE {database}")

    done = restore_outside_the_test(path, monkeypatch)

    assert (done.rows, done.former) == (5050, None)


def test_the_row_the_file_and_what_lies_beside_it_agree(database: str) -> None:
    row = making.make("postgres", reason=REASON)

    path = files.folder() / row.file
    assert (row.state, row.bytes) == (BackupState.DONE, path.stat().st_size)
    assert subprocess.run(["sha256sum", "-c", f"{row.file}.sha256"], cwd=files.folder(), check=False, capture_output=True).returncode == 0
    assert json.loads(files.beside(path, ".json").read_text())["tables"]["fills"][0] == 5000
    assert {stat.S_IMODE(each.stat().st_mode) for each in files.folder().iterdir()} == {0o600}
    assert stat.S_IMODE(files.folder().stat().st_mode) == 0o700


def test_a_damaged_backup_is_refused_and_nothing_is_touched(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.folder() / making.make("postgres", reason=REASON).file
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))

    with pytest.raises(BadInput, match="is damaged: its SHA-256 is"):
        restore_outside_the_test(path, monkeypatch)

    assert databases() == {NAME, f"{NAME}_template"}


def test_a_database_that_differs_after_its_restore_is_dropped(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.folder() / making.make("postgres", reason=REASON).file
    said = json.loads(files.beside(path, ".json").read_text())
    said["tables"]["fills"][1] = "1"
    files.beside(path, ".json").write_text(json.dumps(said))

    with pytest.raises(BadInput, match="1 of 4 tables are not as they were when the backup was made: fills"):
        restore_outside_the_test(path, monkeypatch)

    assert databases() == {NAME, f"{NAME}_template"}


def test_a_database_in_use_is_not_replaced(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.folder() / making.make("postgres", reason=REASON).file
    visitor = postgres.connect(database)
    try:
        with pytest.raises(BadInput, match="is in use by dgbot restore; stop the platform first"):
            restore_outside_the_test(path, monkeypatch)
    finally:
        visitor.close()


def test_a_drill_proves_a_backup_while_the_database_is_in_use(database: str) -> None:
    row = making.make("postgres", reason=REASON)
    visitor = postgres.connect(database)

    done = restoring.drill(files.folder() / row.file)

    visitor.close()
    row.refresh_from_db()
    assert (done.rows, done.tables) == (5050, 4)
    assert "monitoring.0001_initial" in done.pending
    assert row.proven_at is not None
    assert databases() == {NAME, f"{NAME}_template"}


def test_no_backup_holds_the_private_key(database: str, settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "result.parquet").write_bytes(b"equity")
    (tmp_path / "sealing.key").write_text("the private key")
    (tmp_path / "secret_key").write_text("the signing key")

    made, failed = making.make_all(("postgres", "results"), reason=REASON)

    dump = subprocess.run(
        [postgres.program("pg_restore", server="18"), "--file=-", files.folder() / made[0].file], check=True, capture_output=True
    ).stdout
    with tarfile.open(files.folder() / made[1].file) as archive:
        assert archive.getnames() == ["media/result.parquet"]
    assert b"fill 5000" in dump
    assert b"key" not in dump.replace(b"PRIMARY KEY", b"").replace(b"_pkey", b"")
    assert failed == []


def test_candles_and_results_come_back(folder: Path, settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "media").mkdir()
    lost = tmp_path / "media" / "result.parquet"
    lost.write_bytes(b"equity")
    path = folder / making.make("results", reason=REASON).file
    lost.unlink()

    assert results.load(path) == 1
    assert lost.read_bytes() == b"equity"


def test_queues_come_back_with_their_time_to_live(folder: Path, settings: Any) -> None:
    client = redis.Redis.from_url(settings.REDIS_URLS[2])
    client.rpush("backup-test:queue", "first", "second")
    client.set("backup-test:short", "lived", px=60_000)
    path = folder / making.make("redis", reason=REASON).file
    client.delete("backup-test:queue", "backup-test:short")

    redis_keys.load(path)

    assert client.lrange("backup-test:queue", 0, -1) == [b"first", b"second"]
    assert 0 < client.pttl("backup-test:short") <= 60_000
    assert gzip.decompress(path.read_bytes()).startswith(b'{"database"')


def test_a_failure_is_recorded_and_told(folder: Path, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.REDIS_URLS = ("redis://127.0.0.1:1/0",)

    with pytest.raises(BadInput, match="Redis could not be read"):
        making.make("redis", reason=REASON)

    row = Backup.objects.get()
    assert (row.state, row.error.startswith("The redis backup failed: Redis could not be read")) == (BackupState.FAILED, True)
    assert list(folder.iterdir()) == []
    assert "run scripts/backup.sh redis again" in caplog.text


def test_one_that_died_is_closed_by_the_next(folder: Path) -> None:
    died = Backup.objects.create(kind="redis", reason=REASON)
    (files.folder() / "dgbot-redis-x.jsonl.gz.draft").touch()

    making.make("redis", reason=REASON)

    died.refresh_from_db()
    assert (died.state, died.error) == (BackupState.FAILED, "Its process ended before the backup was finished.")
    assert not list(folder.glob("*.draft"))


def test_two_at_once_are_refused(folder: Path) -> None:
    with making.alone(), pytest.raises(making.Busy, match="another backup runs"):
        making.make("redis", reason=REASON)


def test_clean_up_removes_old_files_and_never_the_newest(folder: Path) -> None:
    old, newest = making.make("redis", reason=REASON), making.make("redis", reason=REASON)
    Backup.objects.update(started_at=timezone.now() - timedelta(days=30))

    assert keeping.clean_up(days=7) == 1

    old.refresh_from_db()
    assert old.removed_at is not None
    assert {path.name for path in folder.iterdir()} == {newest.file, *(f"{newest.file}{suffix}" for suffix in files.BESIDE)}
    with pytest.raises(BadInput, match="at least 1 day"):
        keeping.clean_up(days=0)


def test_standing_tells_age_and_failures(folder: Path, settings: Any) -> None:
    making.make("redis", reason=REASON)
    settings.REDIS_URLS = ("redis://127.0.0.1:1/0",)
    making.make_all(("redis",), reason=REASON)

    by_kind = {each.kind: each for each in keeping.standing()}

    assert (by_kind["redis"].count, by_kind["redis"].failures) == (1, 1)
    assert 0 <= by_kind["redis"].age_s < 60
    assert by_kind["postgres"].age_s is None


def test_copies_in_the_bucket_come_with_their_checksums(folder: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(keeping, "settings", Settings(settings, AWS_BUCKET_NAME="backups-test", AWS_REGION="us-east-1"))
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="backups-test")
    row = making.make("redis", reason=REASON)
    try:
        assert keeping.upload() == [row.file]
        assert keeping.upload() == []
        found = {item["Key"] for item in client.list_objects_v2(Bucket="backups-test")["Contents"]}
    finally:
        server.stop()

    assert found == {f"backups/{row.file}{suffix}" for suffix in ("", *files.BESIDE)}


class Settings:
    """Django's settings with other variables of the environment."""

    def __init__(self, given: Any, **variables: str) -> None:
        self.given, self.ENV = given, {**{name: django_settings.ENV[name] for name in ("AWS_BUCKET_NAME", "AWS_REGION")}, **variables}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.given, name)


def test_without_a_bucket_the_sentence_says_what_to_set(folder: Path) -> None:
    with pytest.raises(CommandError, match="AWS_BUCKET_NAME is not set"):
        call_command("backup", "s3")


def test_the_schedule_is_daily_at_midnight_and_sundays_at_one_utc() -> None:
    create_schedules()

    plans = {task.task: task.crontab for task in PeriodicTask.objects.filter(task__startswith="monitoring.tasks.").exclude(crontab=None)}
    daily, weekly = plans["monitoring.tasks.back_up"], plans["monitoring.tasks.clean_backups"]
    assert (daily.minute, daily.hour, daily.day_of_week, str(daily.timezone)) == ("0", "0", "*", "UTC")
    assert (weekly.minute, weekly.hour, weekly.day_of_week, str(weekly.timezone)) == ("0", "1", "0", "UTC")
    assert create_schedules() is None


def test_migrations_that_wait_are_preceded_by_a_dump(database: str) -> None:
    assert upgrades.dump_before_migrations() is None
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'monitoring' AND name = '0001_initial'")
        cursor.execute("DELETE FROM django_migrations WHERE app = 'monitoring'")

    written = upgrades.dump_before_migrations()

    assert written is not None
    assert making.record(written, reason=BackupReason.UPGRADE).file == written.path.name


def test_the_commands_answer_for_a_program(database: str) -> None:
    said = StringIO()
    call_command("backup", "postgres", "--json", stdout=said)
    call_command("backup", "stats", "--json", stdout=said)
    call_command("restore_drill", "--json", stdout=said)

    made, standing, drilled = (json.loads(line) for line in said.getvalue().replace("}{", "}\n{").splitlines() if line)
    assert Path(made["made"][0]["file"]).stat().st_size == made["made"][0]["bytes"]
    assert standing["postgres"]["count"] == 1
    assert drilled["rows"] == 5050


def test_a_role_that_may_not_make_databases_is_told_so(database: str, settings: Any) -> None:
    path = files.folder() / making.make("postgres", reason=REASON).file
    run("postgres", "DO $$ BEGIN CREATE ROLE backup_nobody LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    settings.DATABASE_DIRECT = {**settings.DATABASE_DIRECT, "USER": "backup_nobody"}

    with pytest.raises(BadInput, match="connect as the database's owner"):
        restoring.drill(path)
