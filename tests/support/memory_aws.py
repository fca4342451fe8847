"""moto's AWS in memory, one request at a time.

moto copies and puts back whole tables for a transaction, without a lock: what another thread writes meanwhile
is lost, or it fails with "dictionary changed size during iteration". AWS does neither.
"""

from __future__ import annotations

import threading
from typing import Any

from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from tests.support import cheap_moto

__all__ = ["mock_aws"]

_turn = threading.RLock()
_process_request = BotocoreStubber.process_request


def _one_at_a_time(self: BotocoreStubber, request: Any) -> Any:
    with _turn:
        return _process_request(self, request)


BotocoreStubber.process_request = _one_at_a_time  # type: ignore[method-assign]
cheap_moto.install()
