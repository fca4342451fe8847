"""Advice about numbers of a sequence works when it is followed word by word, and loses no number."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import LedgerError, RuleRefused
from s3_to_sftp.outcomes import Cancelled, SequenceHeld
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.sequence import Reset, Sequence
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.receipt import Receipt
from tests.support.cli import CliEnvironment, check_schema
from tests.support.ledger_environment import TABLE
from tests.support.partner_queue import OperatedPartner

PLAIN = DeliveryRules(name="PAY_{sequence:04d}.csv", sequence=Sequence())
MARKED = replace(PLAIN, companions=(Companion.marker("{name}.done"),))
READY = replace(PLAIN, companions=(Companion.marker("{name}.ready", before=True),))
MARKER = "PAY_0001.csv.done"


def given_up(cli: CliEnvironment, rules: DeliveryRules = MARKED, refused: str = MARKER) -> OperatedPartner:
    """The first object has number 1, is refused a name, and is dead-lettered; the second one waits."""
    partner = OperatedPartner(cli, rules)
    partner.refuses(refused)
    partner.deliver(partner.x, gives_up=True)
    partner.accepts()
    partner.deliver(partner.y)
    return partner


def in_flight(cli: CliEnvironment, rules: DeliveryRules = MARKED, refused: str = MARKER) -> OperatedPartner:
    """The first object has number 1, is refused a name once, and will be retried."""
    partner = OperatedPartner(cli, rules)
    partner.refuses(refused)
    partner.deliver(partner.x)
    partner.accepts()
    return partner


def unknown(cli: CliEnvironment, x: ObjectRef | None = None) -> OperatedPartner:
    """Nobody knows whether the first object has arrived as number 1; it is dead-lettered."""
    partner = OperatedPartner(cli, MARKED)
    partner.is_silent()
    partner.deliver(x or partner.x)
    partner.accepts()
    partner.harness.env.files.clear()
    partner.deliver()
    assert partner.harness.state(x or partner.x) == "UNKNOWN"
    return partner


def words(text: str) -> str:
    return " ".join(text.split())


def in_backticks(text: str, containing: str) -> str:
    (command,) = [each for each in re.findall(r"`([^`]+)`", words(text)) if containing in each]
    return str(command)


# --- a number that the partner may have seen ---


def test_number_with_files_at_the_partner_is_not_set_again_unless_it_is_said(cli: CliEnvironment) -> None:
    partner = given_up(cli)
    refused = partner.types("sequence --set 1 --reason TEXT")
    assert (refused.code, "Files with numbers up to 1" in refused.stderr) == (6, True)
    command = in_backticks(refused.stderr, "--set 2")
    assert partner.types(command).code == 0
    assert isinstance(partner.deliver()["y"], Receipt)
    assert partner.files["PAY_0001.csv"] == b"one"


def test_object_that_lost_its_number_gets_no_receipt_for_it(cli: CliEnvironment) -> None:
    partner = given_up(cli)
    document = partner.types("sequence --set 1 --reuse --reason TEXT --json").json
    check_schema("sequence", document)
    assert [each["key"] for each in document["set"]["cancelled"]] == ["x"]
    partner.deliver()
    assert partner.files["PAY_0001.csv"] == b"two"
    assert partner.types("redrive --key x").code == 0
    assert isinstance(partner.deliver()["x"], Cancelled)
    assert partner.types("resend x --reason TEXT").code == 0
    partner.deliver()
    assert (partner.files["PAY_0001.csv"], partner.files["PAY_0002.csv"]) == (b"two", b"one")


def test_object_that_kept_its_number_loses_it_when_it_is_used_again(cli: CliEnvironment) -> None:
    partner = given_up(cli)
    partner.types("sequence --set 2 --reason TEXT")
    partner.deliver()
    assert partner.types("sequence --set 1 --reuse --reason TEXT").code == 0
    assert partner.harness.state(partner.x) == "CANCELLED"
    assert partner.sequence()["kept"] == []


def test_object_in_flight_that_kept_its_number_loses_it_when_it_is_used_again(cli: CliEnvironment) -> None:
    partner = unknown(cli)
    partner.types("sequence --set 2 --reason TEXT")
    partner.types("resend x --reason TEXT")
    partner.refuses("PAY_0001.csv")
    partner.deliver()
    partner.accepts()
    assert partner.types("sequence --set 1 --reuse --reason TEXT").code == 0
    outcomes = partner.deliver(partner.y)
    assert isinstance(outcomes["x"], Cancelled)
    assert partner.files == {"PAY_0001.csv": b"two", MARKER: b""}


def test_released_object_is_completed_with_its_number(cli: CliEnvironment) -> None:
    partner = given_up(cli)
    said = partner.types("sequence --set 2 --reason TEXT").stdout
    assert "s3://bucket/x keeps number 1" in words(said)
    partner.deliver()
    (kept,) = partner.sequence()["kept"]
    assert (kept["key"], kept["number"]) == ("x", 1)
    assert partner.types(in_backticks(said, "redrive")).code == 0
    partner.deliver()
    assert partner.files == {
        "PAY_0001.csv": b"one",
        MARKER: b"",
        "PAY_0002.csv": b"two",
        "PAY_0002.csv.done": b"",
    }
    assert partner.sequence()["kept"] == []


def test_released_object_whose_data_has_no_name_yet_is_completed_with_its_number(cli: CliEnvironment) -> None:
    partner = given_up(cli, READY, "PAY_0001.csv")
    partner.types("sequence --set 2 --reason TEXT")
    partner.deliver()
    partner.types("redrive --key x")
    assert isinstance(partner.deliver()["x"], Receipt)
    assert (partner.files["PAY_0001.csv"], partner.files["PAY_0002.csv"]) == (b"one", b"two")


@pytest.mark.parametrize("decision", ["confirm x --reason TEXT", "resend x --reason TEXT"])
def test_released_object_with_unknown_outcome_keeps_its_number(cli: CliEnvironment, decision: str) -> None:
    partner = unknown(cli)
    partner.types("sequence --set 2 --reason TEXT")
    partner.deliver(partner.y)
    assert partner.types(decision).code == 0
    receipt = partner.deliver()["x"]
    assert isinstance(receipt, Receipt)
    assert receipt.details["sequence"] == 1


def test_delivered_object_that_had_kept_its_number_takes_a_new_one_when_resent(cli: CliEnvironment) -> None:
    partner = given_up(cli)
    partner.types("sequence --set 2 --reason TEXT")
    partner.types("redrive --all")
    partner.deliver()
    partner.types("resend x --reason TEXT")
    partner.deliver()
    assert partner.files["PAY_0003.csv"] == b"one"


def test_holder_in_flight_lets_the_others_go_on_and_keeps_its_number(cli: CliEnvironment) -> None:
    partner = in_flight(cli)
    refused = partner.types("cancel x --reason TEXT")
    assert partner.types(in_backticks(refused.stderr, "--set")).code == 0
    partner.deliver(partner.y)
    assert (partner.files["PAY_0001.csv"], partner.files["PAY_0002.csv"]) == (b"one", b"two")
    assert {MARKER, "PAY_0002.csv.done"} < partner.files.keys()


def test_object_whose_number_was_taken_away_by_hand_is_cancelled_and_sent_with_another_one(
    cli: CliEnvironment,
) -> None:
    partner = in_flight(cli)
    key = {"pk": {"S": "sequence#default"}, "sk": {"S": "counter"}}
    partner.harness.ledger.dynamodb.update_item(
        TableName=TABLE, Key=key, UpdateExpression="REMOVE holder_pk, holder_sk"
    )
    lost = partner.deliver()["x"]
    assert isinstance(lost, LedgerError)
    assert (partner.harness.state(partner.x), MARKER in partner.files) == ("FAILED", False)
    for verb in ("cancel", "resend"):
        assert partner.types(in_backticks(lost.hint, verb).replace("KEY", "x")).code == 0
    assert isinstance(partner.deliver()["x"], Receipt)
    assert partner.files["PAY_0002.csv"] == b"one"


def test_cancel_says_which_files_stay_at_the_partner(cli: CliEnvironment) -> None:
    partner = given_up(cli, DeliveryRules(companions=[Companion.marker("{name}.done")]), "x.done")
    assert "at the partner stays: 'inbox/x' is there" in words(partner.types("cancel x --reason TEXT").stdout)


# --- names in advice ---


def two_versions(partner: OperatedPartner) -> tuple[ObjectRef, ObjectRef]:
    older, newer = (partner.harness.ref("x", sequencer) for sequencer in ("0A", "0B"))
    return replace(older, version_id="v1"), replace(newer, version_id="v2")


@pytest.mark.parametrize("verb", ["confirm", "resend"])
def test_advice_names_the_version_where_the_key_has_a_newer_one(cli: CliEnvironment, verb: str) -> None:
    v1, v2 = two_versions(OperatedPartner(cli, MARKED))
    partner = unknown(cli, v1)
    partner.deliver(v2)
    (command,) = [each for each in partner.advice() if each.startswith(f"s3-to-sftp {verb} ")]
    assert "--version v1" in command
    assert partner.types(command).code == 0


def test_advice_of_sequence_cancels_the_holder_and_not_the_newer_version(cli: CliEnvironment) -> None:
    partner = OperatedPartner(cli, PLAIN)
    v1, v2 = two_versions(partner)
    partner.refuses("PAY_0001.csv")
    partner.deliver(v1)
    partner.deliver(v2)
    refused = partner.types("sequence --set 7 --reason TEXT")
    assert partner.types(in_backticks(refused.stderr, "cancel")).code == 0
    assert (partner.harness.state(v1), partner.harness.state(v2)) == ("CANCELLED", "STAGED")


@pytest.mark.parametrize("key", ["in/a[1].csv", "a\tb.csv", "-x.csv", "my 'file'.csv", "s3://a/b"])
def test_advised_redrive_means_this_key(cli: CliEnvironment, key: str) -> None:
    partner = OperatedPartner(cli, MARKED)
    partner.refuses(MARKER)
    partner.deliver(partner.object(key), gives_up=True)
    partner.deliver(partner.y)
    (command,) = [each for each in partner.advice() if "redrive --key" in each]
    assert partner.types(command).code == 0


@pytest.mark.parametrize("key", ["-x.csv", "--all", "s3://a/b", "a [1].csv"])
def test_advised_retry_means_this_key(cli: CliEnvironment, key: str) -> None:
    partner = OperatedPartner(cli, PLAIN)
    partner.refuses("PAY_0001.csv")
    partner.deliver(partner.object(key))
    refused = partner.types("sequence --set 7 --reason TEXT")
    assert partner.types(in_backticks(refused.stderr, "retry")).code == 0


# --- the next number ---


def test_number_that_is_set_is_that_of_the_next_object_on_a_new_day_too(cli: CliEnvironment) -> None:
    rules = DeliveryRules(name="{delivery_time:%Y%m%d}_{sequence}.txt", sequence=Sequence(reset=Reset.DAY))
    partner = OperatedPartner(cli, rules)
    partner.deliver(partner.x)
    partner.harness.ledger.clock.now += 86_400
    assert "the next object gets 7" in partner.types("sequence --set 7 --reason TEXT").stdout
    partner.deliver(partner.y, partner.object("z"))
    assert sorted(name.partition("_")[2] for name in partner.files) == ["1.txt", "7.txt", "8.txt"]


def test_sequence_without_a_number_begins_with_the_one_that_is_set(cli: CliEnvironment) -> None:
    partner = OperatedPartner(cli, replace(PLAIN, sequence=Sequence(name="other")))
    outcome = partner.types("sequence other --set 12 --reason TEXT --json")
    check_schema("sequence", outcome.json)
    assert outcome.json["set"]["next_number_before"] is None
    assert "none was taken yet" in partner.cli.run("sequence").stdout
    assert partner.types("sequence other --set 2 --reason TEXT").code == 0  # mistyped
    partner.deliver(partner.x, partner.y)
    assert partner.files.keys() == {"PAY_0002.csv", "PAY_0003.csv"}


def test_sequence_whose_counter_was_deleted_goes_on_with_the_number_that_is_set(cli: CliEnvironment) -> None:
    partner = OperatedPartner(cli, PLAIN)
    partner.deliver(partner.x)
    key = {"pk": {"S": "sequence#default"}, "sk": {"S": "counter"}}
    partner.harness.ledger.dynamodb.delete_item(TableName=TABLE, Key=key)
    deleted = partner.deliver(partner.y)["y"]
    assert isinstance(deleted, LedgerError)
    assert partner.types(in_backticks(deleted.hint, "--set").replace("N", "2")).code == 0
    partner.types("redrive --all")
    partner.deliver()
    assert partner.files == {"PAY_0001.csv": b"one", "PAY_0002.csv": b"two"}


def test_sequence_that_no_rules_can_name_is_refused(cli: CliEnvironment) -> None:
    outcome = cli.run("sequence", "no name", "--set", "5", "--reason", "r")
    assert (outcome.code, "letters, digits" in outcome.stderr) == (2, True)


def test_mistyped_number_is_corrected_without_a_warning(cli: CliEnvironment) -> None:
    partner = OperatedPartner(cli, PLAIN)
    partner.deliver(partner.x)
    partner.types("sequence --set 1000000 --reason TEXT")
    assert (partner.sequence()["last_number"], partner.sequence()["next_number"]) == (1, 1_000_000)
    said = partner.types("sequence --set 2 --reason TEXT")
    assert (said.code, "warning" in said.stdout) == (0, False)
    partner.deliver(partner.y)
    assert partner.files["PAY_0002.csv"] == b"two"


def test_number_that_was_given_back_is_shown_as_the_next_one(cli: CliEnvironment) -> None:
    partner = in_flight(cli, PLAIN, "PAY_0001.csv")
    assert partner.types("cancel x --reason TEXT").code == 0
    assert partner.sequence()["next_number"] == 1
    assert "gives it to the next object" in words(partner.cli.run("sequence").stdout)
    partner.deliver(partner.y)
    assert partner.files == {"PAY_0001.csv": b"two"}


# --- a number that is refused for all objects ---


def test_number_that_something_of_the_partner_has_stops_the_sequence(cli: CliEnvironment) -> None:
    partner = OperatedPartner(cli, replace(PLAIN, if_exists=IfExists.REFUSE))
    partner.harness.env.files["inbox/PAY_0001.csv"] = bytearray(b"theirs")
    outcomes = partner.deliver(partner.x, partner.y)
    refused = outcomes["x"]
    assert isinstance(refused, RuleRefused)
    assert isinstance(outcomes["y"], SequenceHeld)
    assert "s3-to-sftp sequence default --set N --reason TEXT" in partner.advice()
    assert partner.sequence()["stopped"]
    assert partner.types(in_backticks(refused.hint, "--set").replace("N", "2")).code == 0
    partner.types("redrive --all")
    partner.deliver()
    assert partner.files["PAY_0001.csv"] == b"theirs"
    assert sorted(partner.files) == ["PAY_0001.csv", "PAY_0002.csv", "PAY_0003.csv"]


def test_stopped_sequence_goes_on_when_the_partner_has_removed_its_file(cli: CliEnvironment) -> None:
    partner = OperatedPartner(cli, replace(PLAIN, if_exists=IfExists.REFUSE))
    partner.harness.env.files["inbox/PAY_0001.csv"] = bytearray(b"theirs")
    partner.deliver(partner.x, partner.y)
    del partner.harness.env.files["inbox/PAY_0001.csv"]
    partner.types("redrive --key x")
    partner.deliver()
    partner.deliver()
    assert partner.files == {"PAY_0001.csv": b"one", "PAY_0002.csv": b"two"}


# --- a number besides the first one ---


def test_resend_of_a_delivered_object_says_that_it_takes_another_number(cli: CliEnvironment) -> None:
    partner = OperatedPartner(cli, PLAIN)
    partner.deliver(partner.x)
    outcome = partner.types("resend x --dry-run --reason TEXT")
    assert "takes another number of the sequence" in words(outcome.stdout)
    document = partner.types("resend x --reason TEXT --json").json
    check_schema("resend", document)
    assert document["numbered"] == 1
