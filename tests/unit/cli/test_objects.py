"""`resend`, `retry`, `cancel`, `confirm`: what an operator does reaches the function, and is on record."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3_to_sftp.errors import PartnerUnreachable
from s3_to_sftp.outcomes import AlreadyDelivered, Cancelled, CircuitOpen
from s3_to_sftp.queue.message_queue import Message
from s3_to_sftp.s3.envelopes import objects_in_message
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import to_attribute
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from s3_to_sftp_cli import object_selection, partner_attempt
from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.ledger import LedgerReader, Record
from s3_to_sftp_cli.main import main
from s3_to_sftp_cli.object_selection import parse_period, wrong_state
from s3_to_sftp_cli.operator_messages import Request, Sender
from tests.support.cli import CliEnvironment, check_schema
from tests.support.lambda_events import eventbridge_event, s3_notification, s3_record, sqs_record
from tests.support.ledger_environment import TABLE, commit_of, ref

A = ref("0A", size=5)
SERVER = "sftp.example:22"


class Account:
    """A delivery in an account, with its ledger and its queues, as the function and the operator see it."""

    def __init__(self, cli: CliEnvironment, capsys: pytest.CaptureFixture[str]) -> None:
        self.sqs = cli.aws.client("sqs")
        self.dynamodb = cli.aws.client("dynamodb")
        self.ledger = cli.ledger
        self.queue, self.dead = cli.queue_url, cli.dead_letter_queue_url
        cli.deploy(
            function="acme",
            arn="arn:acme",
            host="sftp.example",
            sources=(WatchedSource(bucket="bucket"), WatchedSource(bucket="other")),
        )
        self.delivery = cli.delivery
        self._capsys = capsys

    def run(self, *arguments: str, code: ExitCode = ExitCode.OK) -> str:
        """Run the command; return what it printed, on both."""
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--region", "eu-west-1"])
        printed = self._capsys.readouterr()
        text = printed.out + printed.err
        assert ended.value.code == code, text
        return text

    def json(self, *arguments: str, code: ExitCode = ExitCode.OK) -> dict[str, Any]:
        """Run the command with --json; return the document."""
        printed = self.run(*arguments, "--json", code=code).splitlines()
        (document,) = (json.loads(line) for line in printed if line.startswith("{"))
        check_schema(arguments[0], document)
        return document

    def received(self, url: str = "") -> list[Message]:
        """Receive and delete what is in a queue."""
        messages = []
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=url or self.queue,
                MaxNumberOfMessages=10,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
                WaitTimeSeconds=0,
            )
            if not answer.get("Messages"):
                return messages
            for each in answer["Messages"]:
                self.sqs.delete_message(QueueUrl=url or self.queue, ReceiptHandle=each["ReceiptHandle"])
                messages.append(Message.from_record(sqs_record(each)))

    def announced(self) -> list[ObjectRef]:
        """What the function would get: the versions, with the request of the operator."""
        return [
            dataclasses.replace(each, operator=message.operator)
            for message in self.received()
            for each in objects_in_message(message.body)
        ]

    def unknown(self, version: ObjectRef = A) -> None:
        """Let the outcome of the version be unknown."""
        ledger, lease = self.ledger.function(), self.ledger.lease(version)
        commit = commit_of(lease, checksum="abc=", checksum_algorithm="CRC32", sha256="ff")
        ledger.commit(lease, commit)
        ledger.stage(lease, commit, reason="silence")
        ledger.record_outcome(version, state="UNKNOWN", reason="Nobody knows.", hint="Ask.")

    def failed(self, version: ObjectRef = A) -> None:
        """Let the version be dead-lettered."""
        self.ledger.function().release(self.ledger.lease(version), reason="r")
        self.ledger.function().record_outcome(version, state="FAILED", reason="No permission.", hint="Ask.")

    def dead_letter(self, *versions: ObjectRef) -> None:
        records = []
        for each in versions:
            record = s3_record(each.bucket, each.key, size=1, etag=each.etag)
            record["s3"]["object"] |= {"versionId": each.version_id, "sequencer": each.sequencer}
            records.append(record)
        body = json.dumps(s3_notification(*records))
        self.sqs.send_message(QueueUrl=self.dead, MessageBody=body)

    def waits(self, version: ObjectRef = A) -> None:
        error = CircuitOpen("open.", hint="h", retry_after=60)
        self.ledger.function().note_deferred(
            version, error, next_try=self.ledger.clock.now + 60, was_tried=False
        )

    def actions(self, version: ObjectRef = A) -> list[dict[str, Any]]:
        listed = self.ledger.item(version).get("operator_actions", {"L": []})["L"]
        return [{name: next(iter(each.values())) for name, each in entry["M"].items()} for entry in listed]

    def open_breaker(self, error: str = "PartnerUnreachable") -> DynamoCircuitBreaker:
        breaker = DynamoCircuitBreaker(self.dynamodb, TABLE, SERVER)
        for _ in range(3):
            breaker.failed(PartnerUnreachable("No route to the server.", hint="h"), configuration="c")
        if error != "PartnerUnreachable":
            self.dynamodb.update_item(
                TableName=TABLE,
                Key={"pk": {"S": f"partner#{SERVER}"}, "sk": {"S": "breaker"}},
                UpdateExpression="SET #e = :e",
                ExpressionAttributeNames={"#e": "error"},
                ExpressionAttributeValues={":e": {"S": error}},
            )
        return breaker


@pytest.fixture
def account(cli: CliEnvironment, capsys: pytest.CaptureFixture[str]) -> Account:
    return Account(cli, capsys)


# resend


def test_resend_of_one_object_is_leased_by_the_function_once(account: Account) -> None:
    account.ledger.deliver(A)
    text = account.run("resend", A.key, "--reason", "ticket 7")
    assert "resend: 1 object, 5 B in the queue" in text
    (asked,) = account.announced()
    assert (asked.version_id, asked.sequencer, asked.etag) == (A.version_id, A.sequencer, A.etag)
    assert account.ledger.lease(asked).attempt == 2
    (action,) = account.actions()
    assert (action["action"], action["reason"]) == ("resend", "ticket 7")
    assert action["who"].startswith("arn:aws:sts")


def test_resend_of_an_object_without_versions_meets_its_item(account: Account) -> None:
    version = ref("0A", version_id=None, key="in/ü +%.csv")
    account.ledger.deliver(version)
    account.run("resend", version.key, "--reason", "r")
    (asked,) = account.announced()
    assert account.ledger.lease(asked).attempt == 2


def test_resend_tells_its_id_and_continues_with_it(account: Account) -> None:
    for key in ("a", "b", "c"):
        account.ledger.deliver(ref("0A", key=key))
    arguments = ("resend", "--delivered", "1h..", "--reason", "r", "--yes")
    account.ledger.clock.now += 1
    time.sleep(0.01)
    done = account.json(*arguments)
    assert (done["objects"], done["sent"], done["bytes"]) == (3, 3, 3)
    first, *others = account.announced()
    account.ledger.deliver(first)  # the others were lost when the command was interrupted
    again = account.json(*arguments, "--id", done["id"])
    assert again["id"] == done["id"]
    assert {each.key for each in account.announced()} == {each.key for each in others}


def test_resend_that_the_function_has_received_says_what_came_of_it(account: Account) -> None:
    account.ledger.deliver(A)
    id_ = account.json("resend", A.key, "--reason", "r")["id"]
    (asked,) = account.announced()
    account.ledger.deliver(asked)
    text = account.run("resend", A.key, "--reason", "r", "--id", id_)
    assert f"resend: 1 object already sent with the id {id_}" in text
    assert "in/a.csv is DELIVERED." in text
    assert "in the queue" not in text
    document = account.json("resend", A.key, "--reason", "r", "--id", id_)
    assert (document["objects"], document["sent"], document["done_before"]) == (0, 0, 1)
    assert account.received() == []


def test_resend_of_a_period_sends_the_last_version_of_each_key_with_the_prefix(account: Account) -> None:
    for version in (ref("0A", key="in/a"), ref("0B", key="in/a"), ref("0A", key="out/a")):
        account.ledger.deliver(version)
        account.ledger.clock.now += 0.001
    time.sleep(0.01)
    document = account.json("resend", "--delivered", "1h..", "--prefix", "in/", "--reason", "r", "--yes")
    assert document["objects"] == 1
    assert [each.sequencer for each in account.announced()] == ["0B"]


def test_resend_of_many_asks_first_and_needs_somebody_to_ask(account: Account) -> None:
    account.ledger.deliver(A)
    time.sleep(0.01)
    text = account.run("resend", "--delivered", "1h..", "--reason", "r", code=ExitCode.USAGE)
    assert "1 object, 5 B to sftp.example:22" in text
    assert "Add --yes." in text
    assert account.received() == []


def test_resend_keeps_to_the_rate(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        account.ledger.deliver(ref("0A", key=f"k{number}"))
    time.sleep(0.01)
    started = time.monotonic()
    account.run("resend", "--delivered", "1h..", "--reason", "r", "--yes", "--max-rate", "20")
    assert time.monotonic() - started >= 5 / 20
    assert len(account.received()) == 5


@pytest.mark.parametrize("command", ["resend", "cancel", "confirm"])
def test_dry_run_changes_nothing_and_tells_what_would(account: Account, command: str) -> None:
    account.unknown()
    account.dead_letter(A)
    before = account.ledger.item(A)
    document = account.json(command, A.key, "--reason", "r", "--dry-run")
    assert document["dry_run"] is True
    assert account.ledger.item(A) == before
    assert account.received() == []
    assert len(account.received(account.dead)) == 1


def test_resend_of_an_older_version_is_refused(account: Account) -> None:
    account.ledger.deliver(A)
    account.ledger.deliver(ref("0B"))
    text = account.run("resend", A.key, "--version", "v0A", "--reason", "r", code=ExitCode.CONFLICT)
    assert "A newer version of in/a.csv was sent" in text
    assert account.received() == []


@pytest.mark.parametrize(("state", "words"), [("FAILED", "redrive --key in/a.csv"), ("GONE", "put it again")])
def test_resend_of_what_cannot_be_sent_again_names_what_to_do(
    account: Account, state: Any, words: str
) -> None:
    account.ledger.function().record_outcome(A, state=state, reason="why.", hint="h")
    text = account.run("resend", A.key, "--reason", "r", code=ExitCode.CONFLICT)
    assert f"in/a.csv is {state} (why.): it cannot be sent again." in text
    assert words in text


def moved(account: Account, version: ObjectRef) -> None:
    account.ledger.deliver(version)
    where = {"bucket": "archive", "key": f"x/{version.key}", "version_id": "v"}
    after = {"action": "move", "state": "done", **where}
    account.ledger.write(version, "after", to_attribute(after))


def test_resend_of_what_was_moved_says_where_it_is_and_how_to_send_it(account: Account) -> None:
    moved(account, A)
    text = " ".join(account.run("resend", A.key, "--reason", "r", code=ExitCode.CONFLICT).split())
    assert "in/a.csv is no longer there: it was moved to s3://archive/x/in/a.csv (version v)" in text
    assert "--key in/a.csv --copy-source 'archive/x/in/a.csv?versionId=v'" in text
    assert account.received() == []


def test_resend_of_a_period_leaves_out_what_was_moved(account: Account) -> None:
    moved(account, A)
    account.ledger.deliver(ref("0A", key="in/b"))
    time.sleep(0.01)
    document = account.json("resend", "--delivered", "1h..", "--reason", "r", "--yes")
    assert document["objects"] == 1
    assert [each.key for each in account.announced()] == ["in/b"]


def test_unknown_object_and_version_are_not_found(account: Account) -> None:
    text = account.run("resend", "nothing.csv", "--reason", "r", code=ExitCode.NOT_FOUND)
    assert "no object 'nothing.csv' in bucket, other" in text
    account.ledger.deliver(A)
    text = account.run("resend", A.key, "--version", "v9", "--reason", "r", code=ExitCode.NOT_FOUND)
    assert "no version 'v9' of 'in/a.csv'; it has v0A" in text


def test_key_in_several_buckets_needs_the_bucket(account: Account) -> None:
    account.ledger.deliver(A)
    account.ledger.deliver(ref("0A", bucket="other"))
    text = account.run("resend", A.key, "--reason", "r", code=ExitCode.USAGE)
    assert "is in several buckets: bucket, other" in text
    account.run("resend", A.key, "--bucket", "other", "--reason", "r")
    account.run("resend", f"s3://bucket/{A.key}", "--reason", "r")
    assert [each.bucket for each in account.announced()] == ["other", "bucket"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("resend", "--reason", "r"),
        ("resend", "k", "--delivered", "1h..", "--reason", "r"),
        ("resend", "k", "--prefix", "p", "--reason", "r"),
        ("resend", "--delivered", "1h..", "--version", "v", "--reason", "r"),
        ("resend", "--delivered", "yesterday", "--reason", "r"),
        ("resend", "k"),
        ("resend", "k", "--reason", " "),
        ("cancel", "k", "--reason", "x" * 1001),
    ],
)
def test_wrong_command_line_is_refused_before_anything_is_done(
    account: Account, arguments: tuple[str, ...]
) -> None:
    account.run(*arguments, code=ExitCode.USAGE)
    assert account.received() == []


def test_period_includes_the_day_that_it_ends_with() -> None:
    now = datetime(2026, 11, 29, 2, 30, tzinfo=UTC)
    since, until = parse_period("2026-11-22..2026-11-23", now=now)
    assert (since, until) == (datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
    assert parse_period("2026-11-22..2026-11-29", now=now)[1] == now
    assert parse_period("2h..", now=now) == (now - timedelta(hours=2), now)


@pytest.mark.parametrize("text", ["", "2h", "..2h", "2026-11-23..2026-11-20", "x..y"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(CliError):
        parse_period(text, now=datetime(2026, 11, 29, 2, 30, tzinfo=UTC))


@pytest.mark.parametrize("text", ["02:00..02:00", "2026-11-29..2026-11-29T00:00"])
def test_empty_period_is_not_said_to_end_before_it_begins(text: str) -> None:
    with pytest.raises(CliError, match="period is empty: it begins and ends at 2026-11-29 0"):
        parse_period(text, now=datetime(2026, 11, 29, 2, 30, tzinfo=UTC))


def test_resend_while_deliveries_are_paused_says_that_it_waits(account: Account) -> None:
    account.ledger.deliver(A)
    hold = {"pk": {"S": "delivery"}, "sk": {"S": "hold"}, "reason": {"S": "maintenance"}}
    account.dynamodb.put_item(TableName=TABLE, Item=hold)
    assert "Deliveries are paused (maintenance)" in account.run("resend", A.key, "--reason", "r")
    assert len(account.received()) == 1


def test_what_all_wait_for_is_wrapped_at_blanks(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.ledger.deliver(A)
    account.open_breaker()
    monkeypatch.setenv("COLUMNS", "50")
    lines = account.run("resend", A.key, "--reason", "r").splitlines()
    assert "The circuit breaker is open (No route to the" in lines
    assert all(len(line) <= 50 for line in lines[1:])


def test_resend_while_the_breaker_is_open_says_that_it_waits(account: Account) -> None:
    account.ledger.deliver(A)
    account.open_breaker()
    text = account.run("resend", A.key, "--reason", "r")
    assert "The circuit breaker is open (No route to the server.): it waits, next attempt" in text


# retry


def test_retry_of_one_object_sends_a_second_message(account: Account) -> None:
    account.waits()
    account.run("retry", A.key)
    (asked,) = account.announced()
    lease = account.ledger.lease(asked)
    assert (lease.attempt, account.actions()[0]["action"]) == (1, "retry")
    ledger = account.ledger.function()
    ledger.commit(lease, commit_of(lease))
    ledger.delivered(lease, {})
    with pytest.raises(AlreadyDelivered):  # the first message comes back
        account.ledger.lease(A)


def test_retry_that_the_function_has_received_says_what_came_of_it(account: Account) -> None:
    account.waits()
    id_ = account.json("retry", A.key)["id"]
    (asked,) = account.announced()
    account.ledger.deliver(asked)
    text = account.run("retry", A.key, "--id", id_)
    assert f"retry: 1 object already sent with the id {id_}" in text
    assert "in/a.csv is DELIVERED." in text
    assert account.received() == []


def test_retry_of_everything_leaves_out_what_is_being_sent(account: Account) -> None:
    account.waits()
    account.ledger.lease(ref("0A", key="busy"))
    assert account.json("retry")["objects"] == 1
    assert [each.key for each in account.announced()] == [A.key]


def test_retry_of_nothing_says_so(account: Account) -> None:
    assert "nothing to send" in account.run("retry", code=ExitCode.NOT_FOUND)


def test_retry_of_what_is_being_sent_or_delivered_is_refused(account: Account) -> None:
    account.ledger.lease(A)
    assert "is being sent now, by f" in account.run("retry", A.key, code=ExitCode.CONFLICT)
    account.ledger.deliver(ref("0B", key="b"))
    assert "s3-to-sftp resend b" in account.run("retry", "b", code=ExitCode.CONFLICT)


def test_retry_while_deliveries_are_paused_is_refused(account: Account) -> None:
    account.waits()
    hold = {"pk": {"S": "delivery"}, "sk": {"S": "hold"}, "reason": {"S": "maintenance"}}
    account.dynamodb.put_item(TableName=TABLE, Item=hold)
    assert "paused (maintenance)" in account.run("retry", code=ExitCode.CONFLICT)
    account.dynamodb.put_item(TableName=TABLE, Item={**hold, "until": {"N": "7"}})
    account.run("retry")
    assert len(account.received()) == 1


def test_retry_while_the_breaker_is_open_needs_partner(account: Account) -> None:
    account.waits()
    account.open_breaker()
    text = account.run("retry", code=ExitCode.CONFLICT)
    assert "The circuit breaker for sftp.example:22 is open: No route" in text
    assert "add --partner" in text
    assert account.received() == []


def test_retry_needs_no_partner_once_the_next_attempt_of_the_breaker_is_due(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.waits()
    account.open_breaker()
    later = time.time() + 7200
    monkeypatch.setattr(partner_attempt.time, "time", lambda: later)
    account.run("retry")
    assert len(account.received()) == 1


def test_retry_of_the_partner_sends_one_and_then_the_others(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.waits()
    account.waits(ref("0A", key="b"))
    breaker = account.open_breaker()
    sent: list[int] = []

    def the_function_tries(_seconds: float) -> None:
        sent.append(len(account.received()))
        breaker.admit(configuration="c", until=time.time() + 900)
        breaker.succeeded()

    monkeypatch.setattr(partner_attempt.time, "sleep", the_function_tries)
    document = account.json("retry", "--partner")
    assert (document["objects"], document["sent"], sent) == (2, 2, [1])
    assert len(account.received()) == 1


def test_retry_of_a_partner_that_still_refuses_sends_nothing_else(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.waits()
    account.waits(ref("0A", key="b"))
    breaker = account.open_breaker()

    def the_function_tries(_seconds: float) -> None:
        breaker.admit(configuration="c", until=time.time() + 900)
        breaker.failed(PartnerUnreachable("Still no route.", hint="h"), configuration="c")

    monkeypatch.setattr(partner_attempt.time, "sleep", the_function_tries)
    text = account.run("retry", "--partner", code=ExitCode.FAILED)
    assert "still does not accept files: Still no route." in text
    assert len(account.received()) == 1


def test_retry_of_a_refused_login_warns_and_asks(account: Account) -> None:
    account.waits()
    account.open_breaker("LoginRefused")
    text = account.run("retry", "--partner", code=ExitCode.USAGE)
    assert "partners lock accounts" in text
    assert "Add --yes." in text
    assert account.received() == []


# cancel


def test_cancelled_object_is_never_sent_and_says_who_and_why(account: Account) -> None:
    account.waits()
    assert "in/a.csv is CANCELLED (was waiting)" in account.run("cancel", A.key, "--reason", "wrong file")
    with pytest.raises(Cancelled, match="wrong file"):
        account.ledger.lease(A)
    assert [each["S"] for each in (account.ledger.item(A)[name] for name in ("state", "status"))] == [
        "CANCELLED",
        "CANCELLED",
    ]
    assert [(each["action"], each["reason"]) for each in account.actions()] == [("cancel", "wrong file")]
    assert not account.ledger.item(A).keys() & {"next_try", "error", "hint", "owner"}


def test_cancel_of_what_no_invocation_sends_any_more_says_that_it_waited(account: Account) -> None:
    account.ledger.function().release(account.ledger.lease(A), reason="The connection was lost.")
    assert account.ledger.state(A) == "SENDING"
    assert "would become CANCELLED (was waiting)" in account.run(
        "cancel", A.key, "--reason", "r", "--dry-run"
    )
    assert account.json("cancel", A.key, "--reason", "r")["state_before"] == "WAITING"


def test_cancel_removes_the_dead_letter_of_this_object_alone(account: Account) -> None:
    account.failed()
    b = ref("0A", key="b")
    for letter in ((A,), (A, b), (b,), (ref("0B"),)):
        account.dead_letter(*letter)
    document = account.json("cancel", A.key, "--reason", "r")
    assert document["dead_letters_removed"] == 1
    left = [
        [each.key for each in objects_in_message(message.body)] for message in account.received(account.dead)
    ]
    assert sorted(left) == [["b"], ["in/a.csv"], ["in/a.csv", "b"]]


def test_cancel_finds_the_dead_letter_of_an_eventbridge_event(account: Account) -> None:
    event = eventbridge_event("bucket", "in/a +.csv")
    body = json.dumps(event)
    (version,) = objects_in_message(body)
    account.failed(version)
    account.sqs.send_message(QueueUrl=account.dead, MessageBody=body)
    account.sqs.send_message(QueueUrl=account.dead, MessageBody="no JSON")
    assert account.json("cancel", version.key, "--reason", "r")["dead_letters_removed"] == 1


def test_cancel_is_refused_while_the_object_is_being_sent(account: Account) -> None:
    account.ledger.lease(A)
    before = account.ledger.item(A)
    text = account.run("cancel", A.key, "--reason", "r", code=ExitCode.CONFLICT)
    assert "is being sent now, by f" in text
    assert account.ledger.item(A) == before


def test_cancel_is_refused_when_a_function_was_faster(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.waits()
    find = object_selection.find_version

    def slow(*arguments: Any, **options: Any) -> Any:
        record = find(*arguments, **options)
        account.ledger.lease(A)
        return record

    monkeypatch.setattr("s3_to_sftp_cli.commands.settle.find_version", slow)
    text = account.run("cancel", A.key, "--reason", "r", code=ExitCode.CONFLICT)
    assert "has changed since it was read" in text
    assert account.ledger.state(A) == "SENDING"


def test_cancel_of_a_delivered_object_is_refused(account: Account) -> None:
    account.ledger.deliver(A)
    text = account.run("cancel", A.key, "--reason", "r", code=ExitCode.CONFLICT)
    assert "in/a.csv is DELIVERED: there is nothing to cancel." in text


def test_resend_sends_a_cancelled_object_after_all(account: Account) -> None:
    account.waits()
    account.run("cancel", A.key, "--reason", "r")
    account.run("resend", A.key, "--reason", "it was right")
    (asked,) = account.announced()
    assert account.ledger.lease(asked).attempt == 1
    assert [each["action"] for each in account.actions()] == ["cancel", "resend"]


def test_resend_that_still_waits_does_not_overrule_a_later_cancel(account: Account) -> None:
    account.unknown()
    account.run("resend", A.key, "--reason", "they have not got it")
    (asked,) = account.announced()  # and it waits
    account.run("cancel", A.key, "--reason", "they no longer want it")
    with pytest.raises(Cancelled):
        account.ledger.lease(asked)


# confirm


def test_confirmed_object_has_a_receipt_of_what_was_sent(account: Account) -> None:
    account.unknown()
    account.dead_letter(A)
    document = account.json("confirm", A.key, "--reason", "phone call with Ann")
    assert document["dead_letters_removed"] == 1
    receipt = document["receipt"]
    assert receipt["evidence"] == "confirmed"
    assert (receipt["bytes"], receipt["checksum"], receipt["sha256"]) == (7, "abc=", "ff")
    item = account.ledger.item(A)
    assert item["status"]["S"] == f"DELIVERED#{datetime.now(UTC).date()}"
    assert item["receipt"]["M"]["evidence"] == {"S": "confirmed"}
    assert not item.keys() & {"commit", "temporary", "reason", "hint", "error"}
    assert [(each["action"], each["reason"]) for each in account.actions()] == [
        ("confirm", "phone call with Ann")
    ]
    with pytest.raises(AlreadyDelivered):
        account.ledger.lease(dataclasses.replace(A, resend=True))


def test_only_an_unknown_outcome_can_be_confirmed(account: Account) -> None:
    account.failed()
    text = account.run("confirm", A.key, "--reason", "r", code=ExitCode.CONFLICT)
    assert "only an object whose outcome is unknown can be confirmed" in text


def test_nothing_can_be_confirmed_of_which_nothing_was_sent(account: Account) -> None:
    account.ledger.function().record_outcome(A, state="UNKNOWN", reason="r", hint="h")
    text = account.run("confirm", A.key, "--reason", "r", code=ExitCode.CONFLICT)
    assert "does not say what was sent" in text
    assert account.ledger.state(A) == "UNKNOWN"


def test_resend_after_an_unknown_outcome_is_leased(account: Account) -> None:
    account.unknown()
    account.run("resend", A.key, "--reason", "they have not got it")
    (asked,) = account.announced()
    assert account.ledger.lease(asked).commit is None


# What is refused by AWS


def test_permission_that_is_missing_is_named(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.waits()

    def denied(*_: Any, **__: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "UpdateItem")

    monkeypatch.setattr("s3_to_sftp_cli.ledger_changes.LedgerWriter._update", denied)
    text = account.run("cancel", A.key, "--reason", "r", code=ExitCode.DENIED)
    assert "lack the permission UpdateItem" in text


def test_dead_letter_that_cannot_be_removed_is_said_after_the_change(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.unknown()

    def denied(*_: Any) -> int:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ReceiveMessage")

    monkeypatch.setattr("s3_to_sftp_cli.commands.settle.remove_dead_letters", denied)
    text = account.run("confirm", A.key, "--reason", "r", code=ExitCode.DENIED)
    assert "in/a.csv is DELIVERED, and its dead letter could not be removed" in text
    assert account.ledger.state(A) == "DELIVERED"


@pytest.mark.parametrize(("answer", "sent", "code"), [("y\n", 1, 0), ("n\n", 0, ExitCode.INTERRUPTED)])
def test_person_is_asked_before_many_are_sent_again(
    account: Account, monkeypatch: pytest.MonkeyPatch, answer: str, sent: int, code: Any
) -> None:
    account.ledger.deliver(A)
    time.sleep(0.01)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    text = account.run("resend", "--delivered", "1h..", "--reason", "r", code=code)
    assert "Send it again [y/N]" in text
    assert len(account.received()) == sent


class InterruptedSender(Sender):
    """Ctrl-C after the first ten."""

    def send(self, records: Iterable[Record], request: Request) -> Iterator[Record]:
        for number, record in enumerate(super().send(records, request), start=1):
            yield record
            if number == 10:
                raise KeyboardInterrupt


def test_interrupted_resend_has_told_how_to_continue(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(15):
        account.ledger.deliver(ref("0A", key=f"k{number}"))
    time.sleep(0.01)
    arguments = ("resend", "--delivered", "1h..", "--reason", "r", "--yes")
    with monkeypatch.context() as patched:
        patched.setattr("s3_to_sftp_cli.commands.resend.Sender", InterruptedSender)
        text = account.run(*arguments, code=ExitCode.INTERRUPTED)
    (id_,) = re.findall(r"id (resend-\S+): --id continues", text)
    assert "resend: 10 of 15 objects in the queue\n" in text
    assert text.splitlines()[-1] == (
        f"interrupted: the same command with `--id {id_}` sends the rest, and only that"
    )
    sent = account.announced()
    for each in sent:
        account.ledger.deliver(each)
    document = account.json(*arguments, "--id", id_)
    assert (document["sent"], document["done_before"], document["interrupted"]) == (5, 10, False)
    assert not {each.key for each in account.announced()} & {each.key for each in sent}


def test_interrupted_resend_is_one_document_that_says_so(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(11):
        account.ledger.deliver(ref("0A", key=f"k{number}"))
    time.sleep(0.01)
    monkeypatch.setattr("s3_to_sftp_cli.commands.resend.Sender", InterruptedSender)
    arguments = ("resend", "--delivered", "1h..", "--reason", "r", "--yes")
    document = account.json(*arguments, code=ExitCode.INTERRUPTED)
    assert (document["objects"], document["sent"], document["interrupted"]) == (11, 10, True)


@pytest.mark.parametrize("state", ["DELIVERED", "UNKNOWN", "CANCELLED", "FAILED", "SENDING"])
def test_command_that_an_error_names_can_be_typed(account: Account, state: str) -> None:
    """A key with a blank is one word, and a command that needs a reason has one."""
    version = ref("0A", key="my file.csv")
    account.ledger.deliver(version)
    account.ledger.write(version, "state", {"S": state})
    (record,) = LedgerReader(account.dynamodb, TABLE).versions(version.bucket, version.key)
    commands = re.findall(r"`([^`]+)`", wrong_state(record, "no").hint)
    assert commands
    for command in commands:
        _, name, *arguments = shlex.split(command)
        assert "my file.csv" in arguments
        assert ("--reason" in arguments) is (name in {"resend", "confirm"})
