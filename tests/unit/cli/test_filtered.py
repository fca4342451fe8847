"""`resend --even-if-filtered`: what the rule 'only' leaves out reaches the partner when somebody names it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.outcomes import Filtered
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.state.receipt import Receipt
from tests.support.cli import BUCKET, CliEnvironment, check_schema
from tests.support.partner_queue import OperatedPartner
from tests.unit.cli.test_number_advice import in_backticks

RULES = DeliveryRules(only=Filter(suffixes=[".csv"]))
HARD_TO_TYPE = "it's -- $(a) {b}"


def put(partner: OperatedPartner, key: str, data: bytes) -> None:
    """Put the object for the command as well, which asks S3 itself."""
    s3 = partner.cli.aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key=key, Body=data)
    partner.harness.s3.objects[key] = data


@pytest.fixture
def partner(cli: CliEnvironment) -> OperatedPartner:
    """A partner whose rules leave out all objects of this test."""
    location = {"LocationConstraint": cli.aws.client("s3").meta.region_name}
    cli.aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
    partner = OperatedPartner(cli, RULES)
    put(partner, "x", b"one")
    return partner


@pytest.mark.parametrize("key", ["x", HARD_TO_TYPE, "-option"])
def test_command_in_the_message_sends_the_object_that_was_left_out(
    partner: OperatedPartner, key: str
) -> None:
    put(partner, key, b"one")
    ref = partner.harness.ref(key)
    filtered = partner.deliver(ref)[key]
    assert isinstance(filtered, Filtered)
    assert partner.files == {}
    command = in_backticks(filtered.hint, "resend")
    assert partner.types(command.removeprefix("s3-to-sftp ").replace("TEXT", "why")).code == 0
    assert isinstance(partner.deliver()[key], Receipt)
    assert partner.files == {key: b"one"}


def test_command_is_repeated_without_harm(partner: OperatedPartner) -> None:
    for _ in range(2):
        document = partner.types("resend x --even-if-filtered --reason TEXT --json").json
        check_schema("resend", document)
        assert (document["objects"], document["bytes"], document["sent"]) == (1, 3, 1)
    outcomes = partner.deliver()
    assert isinstance(outcomes["x"], Receipt | DeliveryError)
    assert partner.harness.names_given == ["inbox/x"]


def test_newer_version_is_sent_where_the_ledger_knows_an_older_one(partner: OperatedPartner) -> None:
    partner.harness.rules = DeliveryRules()
    partner.deliver(partner.x)
    partner.harness.rules = RULES
    put(partner, "x", b"newer")
    assert partner.types("resend x --even-if-filtered --reason TEXT").code == 0
    partner.deliver()
    assert partner.files == {"x": b"newer"}


def test_object_that_the_ledger_knows_is_sent_again_as_without_the_option(partner: OperatedPartner) -> None:
    partner.harness.rules = DeliveryRules()
    x = replace(partner.x, etag=partner.harness.s3.ref("x").etag)
    partner.deliver(x)
    partner.harness.rules = RULES
    assert partner.types("resend x --even-if-filtered --reason TEXT").code == 0
    partner.deliver()
    assert len(partner.harness.item(x)["earlier_receipts"]["L"]) == 1


def test_object_that_is_nowhere_is_not_sent(partner: OperatedPartner) -> None:
    outcome = partner.types("resend nothing --even-if-filtered --reason TEXT")
    assert outcome.code == 4, outcome
    assert "There is no such object in bucket" in outcome.stderr


def test_option_needs_an_object(partner: OperatedPartner) -> None:
    outcome = partner.types("resend --delivered 2h.. --even-if-filtered --reason TEXT")
    assert outcome.code == 2
    assert "--even-if-filtered needs an object" in outcome.stderr


def test_dry_run_sends_nothing(partner: OperatedPartner) -> None:
    assert partner.types("resend x --even-if-filtered --dry-run --reason TEXT").code == 0
    assert partner.deliver() == {}


@pytest.mark.parametrize("command", ["resend x --reason TEXT", "receipts x"])
def test_unknown_object_is_explained_with_the_command(partner: OperatedPartner, command: str) -> None:
    partner.cli.deploy(rules="1")
    outcome = partner.types(command)
    assert outcome.code == 4
    again = in_backticks(outcome.stderr, "--even-if-filtered")
    assert partner.types(again.removeprefix("s3-to-sftp ")).code == 0
