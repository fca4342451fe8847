"""Functions whose steps come in the same order each time."""

import pytest

from s3_to_sftp.delivery import batch
from s3_to_sftp.delivery.inline_executor import InlineExecutor


@pytest.fixture
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches take one thread."""
    monkeypatch.setattr(batch, "ThreadPoolExecutor", lambda *_about: InlineExecutor())
