"""The bucket results go to: django-storages' S3 with waits a worker can afford."""

from typing import Any

from botocore.config import Config
from storages.backends.s3 import S3Storage

CONNECT_TIMEOUT_S, READ_TIMEOUT_S, ATTEMPTS = 5, 30, 2  # by default a bucket that is away holds a worker for minutes


class ResultBucket(S3Storage):  # type: ignore[misc]  # it is not typed
    """As its options say, see `dgbot.settings`."""

    def get_default_settings(self) -> dict[str, Any]:
        """Its own defaults with our waits; a client's configuration replaces the settings for address and signature."""
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": ATTEMPTS},
            signature_version="s3v4",  # with an address of its own the default makes URLs of version 2
            s3={"addressing_style": "path"} if self._has_own_address else {},
            # Ours is the SHA-256 in the database; some S3 clones refuse the library's newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return super().get_default_settings() | {"client_config": config, "file_overwrite": False, "default_acl": None}

    def __init__(self, **options: Any) -> None:
        self._has_own_address = bool(options.get("endpoint_url"))
        super().__init__(**options)
