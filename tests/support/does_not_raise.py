"""The claim of a test that nothing is raised, for functions that return nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def does_not_raise() -> Iterator[None]:
    """Fail the test if the block raises."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- of any kind: none is expected
        pytest.fail(f"expected no exception, got {error!r}")
