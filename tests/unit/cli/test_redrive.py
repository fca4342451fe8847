"""Dead letters: what is sent back, what stays, and what an interruption leaves."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3_to_sftp_cli import dead_letters
from s3_to_sftp_cli.dead_letters import DeadLetterQueue, Selection
from s3_to_sftp_cli.main import main
from s3_to_sftp_cli.object_dead_letters import what_copies_share
from s3_to_sftp_cli.pace import Pace
from tests.support.cli import BUCKET, REGION, CliEnvironment, check_schema
from tests.support.cli import notification as cli_notification
from tests.support.ledger_environment import ref

DENIED = {"error": "RequestRefused", "status": "PERMISSION_DENIED", "operation": "create"}
NAMED = {"error": "RemotePathRefused", "reason": "The name is too long."}


class Queues:
    def __init__(self, cli: CliEnvironment) -> None:
        self._cli = cli
        self.sqs = cli.aws.client("sqs")
        self.queue, self.dead = cli.queue_url, cli.dead_letter_queue_url

    def dead_letter(self, key: str, **attributes: str) -> None:
        self._cli.dead_letter(ref("01", key=key), **attributes)

    def messages(self, url: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=600
        ).get("Messages"):
            found += messages
        for message in found:
            self.sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return found


def notification(key: str) -> str:
    return cli_notification(ref("01", key=key))


@pytest.fixture
def queues(cli: CliEnvironment) -> Queues:
    return Queues(cli)


@pytest.fixture
def redrive(queues: Queues) -> Any:
    def redrive(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["redrive", "--region", REGION, "--max-rate", "10000", *arguments])
        return int(ended.value.code or 0)

    return redrive


def test_one_kind_goes_back_and_the_other_stays_visible(redrive: Any, queues: Queues) -> None:
    for number in range(12):
        queues.dead_letter(f"denied/{number}.csv", **DENIED)
        queues.dead_letter(f"named/{number}.csv", **NAMED)
    assert redrive("--error", "PERMISSION_DENIED") == 0
    back, stay = queues.messages(queues.queue), queues.messages(queues.dead)
    assert Counter("denied" in message["Body"] for message in back) == {True: 12}
    assert Counter("named" in message["Body"] for message in stay) == {True: 12}


def test_body_and_attributes_are_sent_back_unchanged(redrive: Any, queues: Queues) -> None:
    queues.dead_letter("a b+ü.csv", **DENIED, reason="r", continued="3")
    redrive("--all")
    (message,) = queues.messages(queues.queue)
    assert message["Body"] == notification("a b+ü.csv")
    texts = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    object_ = {"bucket": BUCKET, "key": "a b+ü.csv"}
    assert texts == {**object_, **DENIED, "reason": "r", "continued": "3"}


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (["--error", "requestrefused"], {"denied/1.csv"}),
        (["--error", "create"], {"denied/1.csv"}),
        (["--error", "RequestRefused PERMISSION_DENIED create"], {"denied/1.csv"}),
        (["--reason", "too LONG"], {"named/2.csv"}),
        (["--key", "named/*"], {"named/2.csv"}),
        (["--key", "*.csv", "--reason", "long"], {"named/2.csv"}),
        (["--error", "received too often"], {"native.csv"}),
        (["--all"], {"denied/1.csv", "named/2.csv", "native.csv"}),
    ],
)
def test_selection_by_error_reason_and_key(
    redrive: Any, queues: Queues, arguments: list[str], sent: set[str]
) -> None:
    queues.dead_letter("denied/1.csv", **DENIED)
    queues.dead_letter("named/2.csv", **NAMED)
    queues.dead_letter("native.csv")
    assert redrive(*arguments) == 0
    assert {message["Body"] for message in queues.messages(queues.queue)} == {
        notification(key) for key in sent
    }


def test_without_a_selection_nothing_is_sent_and_the_usage_is_explained(
    redrive: Any, queues: Queues, capsys: Any
) -> None:
    queues.dead_letter("a.csv", **DENIED)
    assert redrive() == 2
    assert "--all" in capsys.readouterr().err
    assert queues.messages(queues.queue) == []


def test_dry_run_shows_the_kinds_and_changes_nothing(redrive: Any, queues: Queues, capsys: Any) -> None:
    queues.dead_letter("a.csv", **DENIED)
    queues.dead_letter("b.csv", **NAMED)
    assert redrive("--dry-run") == 0
    shown = capsys.readouterr().out
    assert "RequestRefused PERMISSION_DENIED create" in shown
    assert "2 messages would be sent back" in shown
    assert queues.messages(queues.queue) == []
    assert len(queues.messages(queues.dead)) == 2


def test_a_selection_that_matches_nothing_has_an_exit_code_of_its_own(redrive: Any, queues: Queues) -> None:
    queues.dead_letter("a.csv", **DENIED)
    assert redrive("--error", "QUOTA_EXCEEDED") == 4
    assert len(queues.messages(queues.dead)) == 1


def test_an_empty_queue_is_said_so(redrive: Any, capsys: Any) -> None:
    assert redrive("--all") == 0
    assert "empty" in capsys.readouterr().out


def test_json_counts_what_was_sent_and_what_stays(redrive: Any, queues: Queues, capsys: Any) -> None:
    queues.dead_letter("a.csv", **DENIED)
    queues.dead_letter("b.csv", **NAMED)
    redrive("--error", "create", "--json")
    document = json.loads(capsys.readouterr().out)
    check_schema("redrive", document)
    assert document["sent"] == 1
    assert document["matched"] == [{"kind": "RequestRefused PERMISSION_DENIED create", "messages": 1}]
    assert document["kept"] == [{"kind": "RemotePathRefused", "messages": 1}]
    assert document["interrupted"] is False


def test_interruption_is_one_document_that_tells_what_was_sent(
    redrive: Any, queues: Queues, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for number in range(3):
        queues.dead_letter(f"{number}.csv", **DENIED)
    waits = iter((None, KeyboardInterrupt()))

    def interrupted(_: Pace) -> None:
        if (error := next(waits)) is not None:
            raise error

    monkeypatch.setattr(Pace, "wait", interrupted)
    assert redrive("--all", "--json") == 130
    document = json.loads(capsys.readouterr().out)
    assert (document["sent"], document["interrupted"]) == (1, True)
    assert document["matched"] == [{"kind": "RequestRefused PERMISSION_DENIED create", "messages": 1}]


@pytest.mark.parametrize("when", ["before the message is sent", "before it is deleted"])
def test_an_interruption_loses_nothing_and_can_be_repeated(
    redrive: Any, queues: Queues, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    for number in range(5):
        queues.dead_letter(f"{number}.csv", **DENIED)
    left = [3]

    def interrupted(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    target = Pace if when == "before the message is sent" else DeadLetterQueue
    method = "wait" if target is Pace else "delete"
    whole = getattr(target, method)
    with monkeypatch.context() as patched:
        patched.setattr(target, method, lambda *given: (interrupted(), whole(*given)))
        assert redrive("--all") == 130
    names = {notification(f"{number}.csv") for number in range(5)}
    everywhere = [*queues.messages(queues.queue), *queues.messages(queues.dead)]
    assert {message["Body"] for message in everywhere} == names
    assert redrive("--all") == 0
    assert queues.messages(queues.dead) == []
    assert {message["Body"] for message in queues.messages(queues.queue)} == names


def test_a_queue_that_refuses_leaves_the_dead_letters(
    redrive: Any, queues: Queues, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    queues.dead_letter("a.csv", **DENIED)

    def refuse(*_: object) -> None:
        text = "User: x is not authorized to perform: sqs:SendMessage on resource: y"
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": text}}, "SendMessage")

    monkeypatch.setattr(DeadLetterQueue, "send_back", refuse)
    assert redrive("--all") == 5
    assert "lack the permission sqs:SendMessage" in capsys.readouterr().err
    assert len(queues.messages(queues.dead)) == 1


def test_selection_is_of_whole_words_not_of_parts() -> None:
    letter = dead_letters.DeadLetter(
        id="1",
        body="",
        receipt_handle="",
        attributes={"error": {"DataType": "String", "StringValue": "OutcomeUnknown"}},
        objects=(),
    )
    assert Selection(error="OutcomeUnknown").matches(letter)
    assert not Selection(error="Unknown").matches(letter)


def test_pace_spreads_what_passes_evenly() -> None:
    now = [0.0]
    pace = Pace(4, clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    for _ in range(9):
        pace.wait()
    assert now[0] == 2.0


def test_letter_that_is_dead_lettered_anew_is_not_sent_back_again(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_CLOCK_SECONDS", 0.0)
    queues.dead_letter("a.csv", **DENIED)
    time.sleep(1.1)  # the resolution of the clock in the answers
    letters = DeadLetterQueue(queues.sqs, queues.dead)
    sent = 0
    with letters.all_letters() as found:
        for letter in found:
            letters.send_back(letter, queues.queue)
            sent += 1
            assert sent == 1
            time.sleep(1.1)
            queues.dead_letter("a.csv", **DENIED)
    assert len(queues.messages(queues.dead)) == 1


def test_message_that_fails_again_within_the_second_is_sent_back_once(
    redrive: Any, queues: Queues, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(dead_letters, "_CLOCK_SECONDS", 60.0)  # within the second, at any speed
    queues.dead_letter("a.csv", **DENIED)
    send_back = DeadLetterQueue.send_back

    def and_fails(letters: DeadLetterQueue, letter: dead_letters.DeadLetter, url: str) -> None:
        send_back(letters, letter, url)
        queues.dead_letter("a.csv", **DENIED)

    monkeypatch.setattr(DeadLetterQueue, "send_back", and_fails)
    assert redrive("--all") == 0
    assert "1 message sent back" in (shown := capsys.readouterr().out)
    assert "1 message failed again at once" in shown
    assert len(queues.messages(queues.queue)) == len(queues.messages(queues.dead)) == 1


def test_copy_that_a_retry_has_left_is_deleted_once_the_other_was_sent(
    redrive: Any, queues: Queues, capsys: Any
) -> None:
    asked = json.dumps({"action": "retry", "id": "retry-1", "who": "eve", "at": 1.0})
    queues.dead_letter("a.csv", **DENIED)
    queues.dead_letter("a.csv", **DENIED, operator=asked)
    queues.dead_letter("b.csv", **DENIED)
    time.sleep(1.1)  # the resolution of the clock in the answers
    assert redrive("--all", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "2 messages would be sent back" in shown
    assert "1 message of the same objects would be deleted" in shown
    assert len(queues.messages(queues.dead)) == 3
    assert redrive("--all", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["sent"], document["copies"][0]["messages"]) == (2, 1)
    assert {each["Body"] for each in queues.messages(queues.queue)} == {
        notification("a.csv"),
        notification("b.csv"),
    }
    assert len(queues.messages(queues.queue)) == 2
    assert queues.messages(queues.dead) == []


@pytest.mark.parametrize(
    "other",
    [
        {"operator": json.dumps({"action": "resend", "id": "resend-1"})},
        {"operator": json.dumps({"action": "backfill", "id": "backfill-1"})},
        {"operator": "nonsense"},
        {"error": "OutcomeUnknown"},
    ],
)
def test_message_that_asks_for_something_else_is_no_copy(
    redrive: Any, queues: Queues, other: dict[str, str]
) -> None:
    queues.dead_letter("a.csv", **DENIED)
    queues.dead_letter("a.csv", **{**DENIED, **other})
    time.sleep(1.1)
    redrive("--all")
    everywhere = [*queues.messages(queues.queue), *queues.messages(queues.dead)]
    assert len(everywhere) == 2


def test_copy_stays_where_the_other_could_not_be_sent(
    redrive: Any, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        queues.dead_letter("a.csv", **DENIED)
    time.sleep(1.1)

    def refuse(*_: object) -> None:
        raise ClientError({"Error": {"Code": "InternalError"}}, "SendMessage")

    monkeypatch.setattr(DeadLetterQueue, "send_back", refuse)
    assert redrive("--all") == 1
    assert len(queues.messages(queues.dead)) == 2


@pytest.mark.parametrize("body", ["nonsense", '{"Records": []}', "[" * 100_000])
def test_unreadable_body_has_no_copies_that_could_be_deleted(body: str) -> None:
    letter = dead_letters.DeadLetter(id="1", body=body, receipt_handle="", attributes={}, objects=())
    assert what_copies_share(letter) is None
