"""The fixture writes what the function writes, and the command reads it."""

from __future__ import annotations

from s3_to_sftp_cli.ledger import LedgerReader
from tests.support.cli import BUCKET, CliEnvironment


def reader(cli: CliEnvironment) -> LedgerReader:
    return LedgerReader(cli.aws.client("dynamodb"), cli.ledger.table)


def test_a_delivered_object_has_a_receipt_and_a_day(cli: CliEnvironment) -> None:
    cli.delivered("a.csv", size=1000)
    (record,) = reader(cli).versions(BUCKET, "a.csv")
    assert (record.state, record.size, record.remote_path) == ("DELIVERED", 1000, "out/a.csv")
    assert record.changed
    assert [each.key for each in reader(cli).delivered(record.changed.date(), record.changed.date())] == [
        "a.csv"
    ]


def test_objects_in_flight_are_waiting_released_or_being_sent(cli: CliEnvironment) -> None:
    cli.waiting("a.csv", size=5, next_try=9)
    cli.released("b.csv")
    lease = cli.sending("c.csv", progress={"bytes": 1, "total": 2, "at": 3})
    assert {each.key: each.state for each in reader(cli).in_flight()} == {
        "a.csv": "WAITING",
        "b.csv": "SENDING",
        "c.csv": "SENDING",
    }
    (sent,) = reader(cli).versions(BUCKET, "c.csv")
    assert sent.is_being_sent(cli.ledger.clock.now)
    assert sent.owner == lease.owner
    assert sent.progress == {"bytes": 1, "total": 2, "at": 3}


def test_a_failed_object_is_dead_lettered_with_its_error(cli: CliEnvironment) -> None:
    cli.failed("a.csv")
    (record,) = reader(cli).in_state("FAILED")
    assert (record.error, record.operation, record.sftp_status) == (
        "RequestRefused",
        "create",
        "PERMISSION_DENIED",
    )
    answer = cli.aws.client("sqs").receive_message(
        QueueUrl=cli.dead_letter_queue_url, MessageAttributeNames=["All"]
    )
    assert answer["Messages"][0]["MessageAttributes"]["key"]["StringValue"] == "a.csv"


def test_the_command_tells_what_it_may_not(cli: CliEnvironment) -> None:
    cli.refused.add("lambda:ListFunctions")
    outcome = cli.run("list")
    assert outcome.code == 5
    assert "lambda:ListFunctions" in outcome.stderr
