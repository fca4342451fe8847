"""`SKIPPED`: what the partner's rules say is not sent, since something else had its name."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.outcomes import Skipped
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp_cli.backfill_plan import Plan
from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.ledger import LedgerReader
from s3_to_sftp_cli.stored_objects import StoredObject
from tests.support.cli import BUCKET, CliEnvironment, check_schema
from tests.support.ledger_environment import TABLE
from tests.support.rules_environment import RulesEnvironment

WHY = ("--reason", "they removed theirs")


@pytest.fixture
def harness(cli: CliEnvironment) -> RulesEnvironment:
    """A partner that has a file with the name of an object, which is skipped."""
    rules = DeliveryRules(if_exists=IfExists.SKIP)
    harness = RulesEnvironment(cli.aws.client("dynamodb"), rules, {"a": b"data"})
    harness.ledger.clock.now = cli.ledger.clock.now
    harness.env.files["inbox/a"] = bytearray(b"theirs")
    with pytest.raises(Skipped):
        harness.deliver(harness.ref("a"))
    return harness


@pytest.mark.usefixtures("harness")
def test_skipped_object_is_in_receipts(cli: CliEnvironment) -> None:
    document = cli.run("receipts", "a", "--json", "--no-logs").json
    check_schema("receipts", document)
    assert document["state"] == "SKIPPED"
    assert "SKIPPED" in cli.run("receipts").stdout
    (row,) = csv.DictReader(io.StringIO(cli.run("receipts", "--csv").stdout))
    assert (row["state"], row["sequence"], row["companions"]) == ("SKIPPED", "", "")


@pytest.mark.usefixtures("harness")
def test_skipped_object_counts_in_status_and_report(cli: CliEnvironment, tmp_path: Path) -> None:
    document = cli.run("status", "--json").json
    check_schema("status", document)
    assert document["today"]["skipped"] == 1
    assert not document["attention"]
    assert "0 superseded, 1 skipped" in " ".join(cli.run("status").stdout.split())
    page = tmp_path / "report.html"
    assert cli.run("report", "-o", str(page)).code == 0
    assert "Something else had the final name" in page.read_text()


@pytest.mark.usefixtures("harness")
@pytest.mark.parametrize("command", ["cancel", "confirm"])
def test_skipped_object_has_ended(cli: CliEnvironment, command: str) -> None:
    outcome = cli.run(command, "a", *WHY)
    assert outcome.code == 6
    assert "resend a --reason TEXT` tries it again" in outcome.stderr


@pytest.mark.usefixtures("harness")
def test_skipped_object_can_be_sent_again(cli: CliEnvironment) -> None:
    assert cli.run("resend", "a", *WHY).code == 0


def test_skipped_object_is_not_part_of_a_backfill(cli: CliEnvironment, harness: RulesEnvironment) -> None:
    data = harness.ref("a")
    stored = StoredObject(
        bucket=BUCKET,
        key="a",
        version_id=None,
        etag=data.etag or "",
        size=4,
        modified=None,
        position=(0, "a"),
    )
    ledger = LedgerReader(cli.aws.client("dynamodb"), TABLE)
    with Plan(ledger, (WatchedSource(bucket=BUCKET),)) as plan:
        plan.add_all([stored], lambda _: None)
        assert (plan.count, dict(plan.skipped)) == (0, {"operator": 1})


def test_receipt_shows_number_companions_and_how_it_was_written(cli: CliEnvironment) -> None:
    beside = ["/inbox/P_7.done", "/inbox/P_7.sha256"]
    cli.delivered("b", evidence="close_ok", details={"sequence": 7, "companions": beside})
    text = cli.run("receipts", "b", "--no-logs").stdout
    assert "number        7\n" in text
    assert "beside it     /inbox/P_7.done\nbeside it     /inbox/P_7.sha256\n" in text
    assert "it was written under its final name" in text
    document = cli.run("receipts", "b", "--json", "--no-logs").json
    check_schema("receipts", document)
    assert (document["receipt"]["sequence"], document["receipt"]["companions"]) == (7, beside)
    (row,) = csv.DictReader(io.StringIO(cli.run("receipts", "--csv").stdout))
    assert (row["sequence"], row["companions"]) == ("7", " ".join(beside))
