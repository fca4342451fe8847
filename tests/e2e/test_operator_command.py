"""The operator's command against the deployed stack."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import check_schema
from tests.support.e2e.operator_command import operate
from tests.support.e2e.stack_environment import StackEnvironment, wait_until

REFUSED = "operator/../refused.csv"


def documents(env: StackEnvironment, command: str, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """Run a command, and return its documents once they are valid."""
    ended, printed = operate(env, command, *arguments)
    found = printed if isinstance(printed, list) else [printed]
    assert ended == code, found
    for each in found:
        check_schema(command, each)
    return found


def receipt_of(env: StackEnvironment, key: str) -> dict[str, Any]:
    return documents(env, "receipts", key, "--no-logs")[0]


def test_list_finds_the_deployed_delivery(env: StackEnvironment) -> None:
    code, listed = operate(env, "list")
    assert (code, listed["version"], listed["command"]) == (0, 1, "list")
    (delivery,) = listed["deliveries"]
    assert delivery["function"] == env.deployment.function
    assert (delivery["host"], delivery["port"]) == (env.server.host, env.server.port)
    assert [source["bucket"] for source in delivery["sources"]] == [env.deployment.bucket]


def test_redrive_dry_run_counts_dead_letters_by_kind_and_moves_none(env: StackEnvironment) -> None:
    dead_letters = env.deployment.dead_letter_queue_url
    before = env.messages(dead_letters)
    env.put(REFUSED, b"refused")
    wait_until(lambda: env.messages(dead_letters) == before + 1, "dead letter", env.explain)
    code, counted = operate(env, "redrive", "--error", "RemotePathRefused", "--dry-run")
    assert (code, counted["command"], counted["dry_run"], counted["sent"]) == (0, "redrive", True, 0)
    (kind,) = counted["matched"]
    assert kind["kind"].startswith("RemotePathRefused")
    assert kind["messages"] >= 1
    assert env.messages(dead_letters) == before + 1


def test_redrive_of_a_kind_that_is_not_there_says_so(env: StackEnvironment) -> None:
    code, counted = operate(env, "redrive", "--error", "NoSuchError", "--dry-run")
    assert (code, counted["matched"]) == (4, [])


def test_unknown_name_is_an_error_document(env: StackEnvironment) -> None:
    code, document = operate(env, "redrive", "--dry-run", "--name", "no-such-delivery")
    assert (code, document["error"]["code"]) == (4, "NOT_FOUND")


@pytest.mark.parametrize("command", ["status", "list", "receipts", "addresses", "algorithms"])
def test_reading_commands_print_what_their_schema_says(env: StackEnvironment, command: str) -> None:
    env.put(f"operator/{command}.csv", b"read")
    env.wait_for_file(f"operator/{command}.csv")
    ended, printed = operate(env, command)
    assert ended in ((0, 3) if command == "status" else (0,))
    for each in printed if isinstance(printed, list) else [printed]:
        check_schema(command, each)


def test_pause_holds_an_object_and_resume_lets_it_go(env: StackEnvironment) -> None:
    key = "operator/paused.csv"
    documents(env, "pause", "--until", "2h", "--reason", "maintenance")
    try:
        env.put(key, b"paused")
        wait_until(
            lambda: operate(env, "receipts", key, "--no-logs")[0] == 0,
            "item of the waiting object",
            env.explain,
        )
        assert receipt_of(env, key)["state"] == "WAITING"
        code, refused = operate(env, "retry", key)
        assert (code, refused["error"]["code"]) == (6, "CONFLICT")
    finally:
        documents(env, "resume", "--reason", "over")
    documents(env, "retry", key)
    assert env.wait_for_file(key) == b"paused"
    wait_until(lambda: receipt_of(env, key)["state"] == "DELIVERED", "receipt", env.explain)


def test_resend_gives_a_second_receipt_and_keeps_the_first(env: StackEnvironment) -> None:
    key = "operator/lost.csv"
    env.put(key, b"lost")
    env.wait_for_file(key)
    wait_until(lambda: receipt_of(env, key)["state"] == "DELIVERED", "receipt", env.explain)
    documents(env, "resend", key, "--reason", "they lost it")
    wait_until(lambda: len(receipt_of(env, key)["earlier_receipts"]) == 1, "second receipt", env.explain)
    assert [each["reason"] for each in receipt_of(env, key)["operator_actions"]] == ["they lost it"]


def test_selftest_delivers_a_file_and_removes_it(env: StackEnvironment) -> None:
    (document,) = documents(env, "selftest", "--timeout", "5m")
    assert document["delivered"]
    assert document["file_removed"]
    assert document["object_deleted"]


@pytest.mark.parametrize("where", [(), ("--local",)], ids=["function", "local"])
def test_doctor_finds_a_healthy_partner_and_leaves_nothing(
    env: StackEnvironment, where: tuple[str, ...]
) -> None:
    (document,) = documents(env, "doctor", "--write", *where)
    names = {check["name"]: check["outcome"] for check in document["checks"]}
    assert document["healthy"], document
    assert {"secret", "ledger", "queue", "bucket", "login", "sftp", "directory", "write"} <= names.keys()
    assert document["connections"] == 1
    assert not list(env.partner.root.rglob("s3-to-sftp-doctor-*"))


def test_cancelled_object_is_not_sent_and_its_dead_letter_is_gone(env: StackEnvironment) -> None:
    dead_letters = env.deployment.dead_letter_queue_url
    key = "operator/../cancelled.csv"
    before = env.messages(dead_letters)
    env.put(key, b"refused")
    wait_until(lambda: env.messages(dead_letters) == before + 1, "dead letter", env.explain)
    documents(env, "cancel", key, "--reason", "not a valid name")
    wait_until(lambda: env.messages(dead_letters) == before, "dead letter removed", env.explain)
    assert receipt_of(env, key)["state"] == "CANCELLED"
