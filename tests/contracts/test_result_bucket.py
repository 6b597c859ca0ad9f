"""Results in a bucket, over real HTTP to a real S3 server: stored, proven, kept while it is away, moved when it is back, removed."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.files.storage import storages
from moto.server import ThreadedMotoServer

from backtests.models import BacktestRun, ResultFile
from backtests.services import results, runs
from backtests.storage import places
from backtests.storage.places import ResultDamaged, StorageUnavailable
from dgbot.base.machine import machine_now
from tests.run_factory import archive, run_spec

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]
BUCKET = "dgbot-results"
KEYS = {"access_key": "AKIATEST", "secret_key": "hush"}


class Cloud:
    """An S3 server that can go away and come back with what it held."""

    def __init__(self) -> None:
        self.port = 0
        self.start()
        self.client.create_bucket(Bucket=BUCKET)

    def start(self) -> None:
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]

    def stop(self) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Any:
        names = {"aws_access_key_id": KEYS["access_key"], "aws_secret_access_key": KEYS["secret_key"]}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **names)

    def names(self) -> list[str]:
        return sorted(item["Key"] for item in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", []))


@pytest.fixture(scope="module")
def running_cloud() -> Iterator[Cloud]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    cloud = Cloud()
    yield cloud
    cloud.stop()


@pytest.fixture
def cloud(running_cloud: Cloud, settings: Any, tmp_path: Path) -> Cloud:
    for name in running_cloud.names():
        running_cloud.client.delete_object(Bucket=BUCKET, Key=name)
    settings.DATA_DIR = tmp_path
    options = {**KEYS, "bucket_name": BUCKET, "region_name": "us-east-1", "endpoint_url": running_cloud.url}
    settings.STORAGES = {**settings.STORAGES, places.BUCKET: {"BACKEND": "backtests.storage.bucket.ResultBucket", "OPTIONS": options}}
    archive(count=400)
    return running_cloud


def finished() -> BacktestRun:
    return runs.run_now(spec=run_spec())


def test_results_lie_in_the_bucket_by_date_and_are_proven_on_reading(cloud: Cloud) -> None:
    row = finished()

    assert cloud.names() == sorted(row.files.values_list("name", flat=True))
    assert all(name.startswith(f"backtests/{machine_now():%Y-%m-%d}/run-{row.pk}-") for name in cloud.names())
    assert not list(places.local_files())
    assert results.read(row).metrics == row.metrics


def test_a_byte_flipped_in_the_bucket_is_reported_and_never_shown(cloud: Cloud) -> None:
    row = finished()
    name = row.files.get(kind="equity").name
    content = bytearray(cloud.client.get_object(Bucket=BUCKET, Key=name)["Body"].read())
    content[50] ^= 1
    cloud.client.put_object(Bucket=BUCKET, Key=name, Body=bytes(content))

    with pytest.raises(ResultDamaged, match="is damaged"):
        results.read(row)

    assert row.files.get(kind="equity").is_damaged


def test_what_is_gone_from_the_bucket_is_reported(cloud: Cloud) -> None:
    row = finished()
    cloud.client.delete_object(Bucket=BUCKET, Key=row.files.get(kind="trades").name)

    with pytest.raises(ResultDamaged, match="is gone"):
        results.read(row)


def test_while_the_bucket_is_away_results_are_kept_here_and_moved_when_it_is_back(cloud: Cloud) -> None:
    cloud.stop()
    try:
        row = finished()
        here = list(places.local_files())
        read_here = results.read(row)
        moved_meanwhile = results.upload_waiting()
    finally:
        cloud.start()
        cloud.client.create_bucket(Bucket=BUCKET)

    assert row.status == "finished"
    assert (len(here), moved_meanwhile) == (3, (0, 3))
    assert "cannot be used for now" in row.files.order_by("pk").first().trouble

    assert results.upload_waiting() == (3, 0)

    assert set(ResultFile.objects.values_list("place", "trouble")) == {("bucket", "")}
    assert not list(places.local_files())
    assert results.read(row).equity.equity.tolist() == read_here.equity.equity.tolist()


def test_a_bucket_that_does_not_answer_is_told_as_that_and_not_as_damage(cloud: Cloud) -> None:
    row = finished()
    cloud.stop()
    try:
        with pytest.raises(StorageUnavailable, match="The bucket cannot be used for now"):
            results.read(row)
    finally:
        cloud.start()
        cloud.client.create_bucket(Bucket=BUCKET)

    assert not row.files.filter(is_damaged=True).exists()


def test_old_results_go_from_the_bucket_and_pinned_ones_stay(cloud: Cloud) -> None:
    old, pinned = finished(), finished()
    results.pin(pinned, is_pinned=True)
    BacktestRun.objects.update(finished_at=machine_now() - timedelta(days=31))

    assert results.expire(before=machine_now() - timedelta(days=30)) == 1

    assert cloud.names() == sorted(pinned.files.values_list("name", flat=True))
    assert not old.files.exists()


def test_results_stored_before_there_was_a_bucket_move_there_too(cloud: Cloud, settings: Any) -> None:
    with_bucket = settings.STORAGES
    settings.STORAGES = {name: value for name, value in with_bucket.items() if name != places.BUCKET}
    row = finished()
    assert results.upload_waiting() == (0, 0)

    settings.STORAGES = with_bucket

    assert results.upload_waiting() == (3, 0)
    assert results.read(row).metrics == row.metrics
    assert places.BUCKET in storages.backends
