"""docs/sequence.svg shows what a delivery does, in its order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from docs import draw_sequence as drawn
from s3_to_sftp.sftp.protocol import Request
from tests.support.delivery_environment import DeliveryEnvironment
from tests.support.scripted_server import Asked, ScriptedServer, is_rename

NOT_DRAWN = {"INIT", "head_object", "limits"}
"""What is asked for once per connection, and for objects whose message does not say what they are."""


def test_sequence_picture_in_the_docs_is_current() -> None:
    assert drawn.PICTURE.read_text() == drawn.draw(), "run python -m docs.draw_sequence"


class Recorded:
    """A client that writes down which of its operations are called."""

    def __init__(self, client: Any, calls: list[str]) -> None:
        self._client = client
        self._calls = calls

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def operation(**request: Any) -> Any:
            self._calls.append(name)
            return getattr(self._client, name)(**request)

        return operation


def test_delivery_does_what_the_sequence_picture_shows(
    ledger_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    environment = DeliveryEnvironment(ledger_table, {"a": b"news"})
    ref = environment.ref()
    healthy = ScriptedServer.healthy

    def answer(server: ScriptedServer, asked: Asked) -> bytes:
        is_question = asked.kind is Request.EXTENDED and not is_rename(asked)
        calls.append("RENAME" if is_rename(asked) else "limits" if is_question else asked.kind.name)
        return healthy(server, asked)

    monkeypatch.setattr(ScriptedServer, "healthy", answer)
    environment.ledger.dynamodb = Recorded(environment.ledger.dynamodb, calls)
    environment.s3 = Recorded(environment.s3, calls)  # type: ignore[assignment]
    environment.deliver(ref)
    shown = list(itertools.chain.from_iterable(step.calls for step in drawn.STEPS))
    assert [call for call in calls if call not in NOT_DRAWN] == shown
