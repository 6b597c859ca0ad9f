"""What one test has counted is not told to the next."""

import pytest

from monitoring import metrics


@pytest.fixture(autouse=True)
def metrics_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the cache's ten seconds."""
    monkeypatch.setattr(metrics, "_text", b"")
