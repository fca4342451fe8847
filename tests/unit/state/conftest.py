"""The fixture of the ledger's tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ledger_environment import LedgerEnvironment


@pytest.fixture
def env(ledger_table: Any) -> LedgerEnvironment:
    """An empty ledger, as functions write it."""
    return LedgerEnvironment(ledger_table)
