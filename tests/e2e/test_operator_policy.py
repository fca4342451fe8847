"""Each command of the operator, with no permissions but those that its row in docs/reference/cli.md names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.e2e.function_role import OURS, PREFIX, Function
from tests.support.e2e.operator_command import operate_as
from tests.support.e2e.stack_environment import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
REASON = ("--reason", "a test")
SENT = f"{PREFIX}operator.csv"
REFUSED = f"{PREFIX}../refused.csv"
Credentials = dict[str, str]
User = Callable[[str], Credentials]


def documented() -> dict[str, set[str]]:
    """Return the actions of each command, those that every command needs included."""
    section = PAGE.read_text().partition("\n## Permissions\n")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    actions = {
        command: set(re.findall(r"`([a-z0-9]+:[A-Za-z]+)`", row[2])) | {"lambda:GetFunctionConfiguration"}
        for row in rows
        for command in re.findall(r"`([a-z-]+)(?: --public)?`", row[1])
    }
    for command, others in {"resend": "redrive", "retry": "redrive", "cancel": "redrive"}.items():
        actions[command] |= actions[others]
    return actions


def with_batches(actions: set[str]) -> set[str]:
    """Return the actions as the emulator names them: it has one of its own for each batch request.

    In AWS the action of a single request covers the batch ("Actions, resources, and condition keys for Amazon
    SQS", Service Authorization Reference).
    """
    single = actions & {"sqs:SendMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"}
    return actions | {f"{action}Batch" for action in single}


@pytest.fixture(scope="module")
def user(function: Function) -> User:
    """Makes users, each with the documented actions of one command on all resources."""
    iam = function.root("iam")

    def make(command: str, *, without: str = "") -> Credentials:
        name = f"{command}-{without.replace(':', '-')}"
        iam.create_user(UserName=name)
        actions = sorted(with_batches(documented()[command] - {without}))
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="least", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    return make


@pytest.fixture(scope="module")
def delivered(function: Function) -> str:
    """The key of an object that was delivered."""
    env = function.env
    env.put(SENT, b"sent")
    env.wait_for_file(SENT)
    return SENT


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("status", ()),
        ("receipts", (SENT,)),
        ("logs", ("--since", "1h")),
        ("report", ("--force", "-o", "{folder}/report.html")),
        ("addresses", ()),
        ("algorithms", ()),
        ("key", ("--public",)),
        ("pause", ("--until", "1h", *REASON)),
        ("resume", REASON),
        ("resend", (SENT, *REASON)),
        ("redrive", ("--all", "--dry-run")),
        ("backfill", ("--dry-run", *REASON)),
        ("doctor", ()),
        ("selftest", ()),
    ],
)
def test_command_works_with_its_documented_permissions(
    function: Function, user: User, delivered: str, tmp_path: Path, command: str, arguments: tuple[str, ...]
) -> None:
    given = (argument.format(folder=tmp_path) for argument in arguments)
    code, document = operate_as(function.env, user(command), command, *given)
    assert code in ((0, 3) if command == "status" else (0, 4) if command == "key" else (0,)), document
    assert "not allowed" not in json.dumps(document)


def test_cancel_works_with_its_documented_permissions(function: Function, user: User) -> None:
    env = function.env
    dead_letters = function.own.dead_letter_queue_url
    before = env.messages(dead_letters)
    env.put(REFUSED, b"refused")
    wait_until(lambda: env.messages(dead_letters) > before, "dead letter", env.explain)
    code, document = operate_as(env, user("cancel"), "cancel", REFUSED, *REASON)
    assert code == 0, document


@pytest.mark.parametrize(
    ("command", "arguments", "missing"),
    [
        ("receipts", (OURS,), "dynamodb:Query"),
        ("pause", ("--until", "1h", *REASON), "dynamodb:PutItem"),
        ("redrive", ("--all", "--dry-run"), "sqs:ReceiveMessage"),
    ],
)
def test_missing_permission_is_named(
    function: Function,
    user: Callable[..., Credentials],
    command: str,
    arguments: tuple[str, ...],
    missing: str,
) -> None:
    code, document = operate_as(function.env, user(command, without=missing), command, *arguments)
    assert (code, document["error"]["code"]) == (5, "DENIED")
    assert missing in document["error"]["message"]
