"""botocore repeats a request whose answer was lost: an operator's change is no conflict with itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.client import BaseClient

from s3_to_sftp_cli.errors import ExitCode
from s3_to_sftp_cli.ledger_changes import LedgerWriter
from tests.support.cli import HOST, PORT, CliEnvironment
from tests.support.ledger_environment import commit_of, ref

KEY = "in/a.csv"


@pytest.fixture
def lose_answers(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lose the first answer to each single write, from when this is called."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined] # what everybody patches

    def twice(client: Any, operation: str, request: Mapping[str, Any]) -> Any:
        if operation in {"PutItem", "UpdateItem"}:
            call(client, operation, request)
        return call(client, operation, request)

    return lambda: monkeypatch.setattr(BaseClient, "_make_api_call", twice)


def nothing(_: CliEnvironment) -> None:
    """What `pause` needs."""


def with_unknown_outcome(cli: CliEnvironment) -> None:
    ledger, lease = cli.ledger.function(), cli.ledger.lease(ref("0A", key=KEY))
    commit = commit_of(lease, checksum="abc=", checksum_algorithm="CRC32", sha256="ff")
    ledger.commit(lease, commit)
    ledger.stage(lease, commit, reason="silence")
    ledger.record_outcome(lease.ref, state="UNKNOWN", reason="Nobody knows.", hint="Ask.")


@pytest.mark.parametrize(
    ("prepare", "command"),
    [
        (nothing, ("pause",)),
        (CliEnvironment.pause, ("resume",)),
        (lambda cli: cli.failed(KEY), ("cancel", KEY)),
        (with_unknown_outcome, ("confirm", KEY)),
    ],
    ids=["pause", "resume", "cancel", "confirm"],
)
def test_change_whose_answer_was_lost_is_reported_as_made(
    cli: CliEnvironment,
    lose_answers: Callable[[], None],
    prepare: Callable[[CliEnvironment], object],
    command: tuple[str, ...],
) -> None:
    prepare(cli)
    lose_answers()
    outcome = cli.run(*command, "--reason", "r")
    assert outcome.code == ExitCode.OK, outcome.stderr
    assert "at the same time" not in outcome.stderr


def test_order_to_try_now_whose_answer_was_lost_is_reported_as_made(
    cli: CliEnvironment, lose_answers: Callable[[], None]
) -> None:
    cli.breaker()
    lose_answers()
    writer = LedgerWriter(cli.aws.client("dynamodb"), cli.ledger.table)
    assert writer.try_partner_now(f"{HOST}:{PORT}", {"revision": 1}, now=1.0)
