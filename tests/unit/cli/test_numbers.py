"""`cancel`, `confirm` and `sequence` where a partner's rules number files, and want others beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from s3_to_sftp.errors import (
    DeliveryError,
    Disposition,
    OutcomeUnknown,
    RenameUnanswered,
    RequestRefused,
    RuleRefused,
)
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.outcomes import Cancelled, SequenceHeld
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.sequence import Reset, Sequence
from s3_to_sftp.s3.envelopes import objects_in_message
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp_cli.ledger_changes import LedgerWriter
from tests.support.cli import CliEnvironment, check_schema
from tests.support.delivery_environment import is_rename
from tests.support.ledger_environment import TABLE
from tests.support.rules_environment import RulesEnvironment
from tests.support.scripted_server import NOTHING, Asked, status

RULES = DeliveryRules(
    name="PAY_{sequence:04d}.csv",
    sequence=Sequence(),
    companions=[
        Companion.marker("{name}.ready", before=True),
        *map(Companion.marker, ("{name}.1", "{name}.2")),
    ],
)
DATA, READY = "inbox/PAY_0001.csv", "inbox/PAY_0001.csv.ready"
FIRST, SECOND = "inbox/PAY_0001.csv.1", "inbox/PAY_0001.csv.2"
WHY = ("--reason", "they said so")
REFUSED: dict[str, Any] = {"code": 3, "disposition": Disposition.PERMANENT, "request": "rename"}


class Partner:
    """A partner with rules, functions that deliver to it, and an operator.

    Attributes:
        cli: Types commands.
        harness: Delivers.
        x: The object that was put first.
        y: The other one.
    """

    def __init__(self, cli: CliEnvironment, rules: DeliveryRules = RULES) -> None:
        self.cli = cli
        self.harness = RulesEnvironment(cli.aws.client("dynamodb"), rules, {"x": b"one", "y": b"two"})
        self.x, self.y = self.harness.ref("x"), self.harness.ref("y")

    @property
    def files(self) -> set[str]:
        return set(self.harness.env.files)

    def is_lost_at(self, path: str, *, done: bool = True) -> None:
        """Let the connection be lost when the first object's file is to get this name."""

        def script(asked: Asked) -> bytes | None:
            if not is_rename(asked) or asked.texts[-1] != path:
                return None
            if done:
                self.harness.env.connection(0).server.healthy(asked)
            return NOTHING

        self.harness.env.scripts[0] = script
        with pytest.raises(RenameUnanswered):
            self.harness.deliver(self.x)
        self.harness.env.scripts.clear()

    def is_unknown_at(self, path: str) -> None:
        """Let nobody know whether this file has its name: the partner has taken it."""
        self.is_lost_at(path)
        self.harness.env.files.pop(path)
        function = self.harness.function()
        with pytest.raises(OutcomeUnknown) as unknown:
            function.deliver(self.x)
        function.give_up(self.x, unknown.value)
        self.cli.dead_letter(self.x)
        assert self.harness.state(self.x) == "UNKNOWN"

    def is_refused_its_name(self) -> None:
        """Let the first object take a number, and nothing that has it be at the partner."""

        def script(asked: Asked) -> bytes | None:
            return status(asked, Status.PERMISSION_DENIED) if is_rename(asked) else None

        self.harness.env.scripts[0] = script
        with pytest.raises(DeliveryError):
            self.harness.deliver(self.x)
        self.harness.env.scripts.clear()

    def announced(self) -> list[ObjectRef]:
        """What is in the queue."""
        answer = self.cli.aws.client("sqs").receive_message(
            QueueUrl=self.cli.queue_url, MaxNumberOfMessages=10
        )
        return [each for told in answer.get("Messages", []) for each in objects_in_message(told["Body"])]

    def counter(self) -> dict[str, Any]:
        key = {"pk": {"S": "sequence#default"}, "sk": {"S": "counter"}}
        item: dict[str, Any] = self.harness.ledger.dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
        return item

    def dead_letters(self) -> int:
        answer = self.cli.aws.client("sqs").get_queue_attributes(
            QueueUrl=self.cli.dead_letter_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])


@pytest.fixture
def partner(cli: CliEnvironment) -> Partner:
    return Partner(cli)


# --- cancel ---

WITHOUT_BEFORE = DeliveryRules(name="PAY_{sequence:04d}.csv", sequence=Sequence())


@pytest.fixture
def holding(cli: CliEnvironment) -> Partner:
    """An object in flight that has a number, and whose RENAME was refused."""
    partner = Partner(cli, WITHOUT_BEFORE)
    partner.is_refused_its_name()
    assert partner.counter()["number"] == {"N": "1"}
    return partner


def test_cancelled_object_returns_its_number_to_the_next_one(holding: Partner) -> None:
    with pytest.raises(SequenceHeld):
        holding.harness.deliver(holding.y)
    document = holding.cli.run("cancel", "x", *WHY, "--json").json
    check_schema("cancel", document)
    assert document["number_returned"] == {"sequence": "default", "number": 1}
    assert holding.harness.deliver(holding.y).remote_path == "inbox/PAY_0001.csv"
    with pytest.raises(Cancelled):
        holding.harness.deliver(holding.x)


def test_cancelled_object_that_is_sent_after_all_gets_another_number(holding: Partner) -> None:
    text = holding.cli.run("cancel", "x", *WHY).stdout
    assert "number 1 of the sequence 'default' goes to the next object" in text
    holding.harness.deliver(holding.y)
    assert holding.cli.run("resend", "x", *WHY).code == 0
    (asked,) = holding.announced()
    resend = replace(asked, operator=OperatorRequest(action=Action.RESEND, id="1", at=9e9))
    assert holding.harness.deliver(resend).remote_path == "inbox/PAY_0002.csv"


def test_dry_run_of_cancel_returns_nothing(holding: Partner) -> None:
    before = holding.counter()
    assert holding.cli.run("cancel", "x", "--dry-run").code == 0
    assert holding.counter() == before
    assert holding.harness.state(holding.x) == "STAGED"


def test_number_that_changes_while_cancel_reads_it_cancels_nothing(
    holding: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = LedgerWriter.cancel

    def late(writer: LedgerWriter, *what: Any) -> None:
        holding.harness.deliver(holding.x)  # the function was faster
        cancel(writer, *what)

    monkeypatch.setattr(LedgerWriter, "cancel", late)
    outcome = holding.cli.run("cancel", "x", *WHY)
    assert (outcome.code, holding.harness.state(holding.x)) == (6, "DELIVERED")
    assert holding.counter()["number"] == {"N": "1"}


@pytest.mark.parametrize(
    ("lost_at", "said"),
    [
        (READY, f"'{READY}' may be there"),
        (DATA, f"'{DATA}' may be there, '{READY}' is there"),
        (FIRST, f"'{DATA}' is there, '{READY}' is there, '{FIRST}' may be there"),
    ],
)
def test_number_that_the_partner_may_have_seen_is_not_cancelled(
    partner: Partner, lost_at: str, said: str
) -> None:
    partner.is_lost_at(lost_at)
    before = partner.counter(), partner.harness.item(partner.x)
    outcome = partner.cli.run("cancel", "x", *WHY)
    assert outcome.code == 6
    assert said in outcome.stderr
    assert "x has number 1 of the sequence 'default'" in outcome.stderr
    assert "`s3-to-sftp retry x` completes it" in outcome.stderr
    assert (partner.counter(), partner.harness.item(partner.x)) == before
    partner.harness.deliver(partner.x)
    assert {DATA, READY, FIRST, SECOND} <= partner.files


def test_given_up_number_is_released_by_sequence_and_then_cancelled(partner: Partner) -> None:
    partner.is_unknown_at(FIRST)
    refused = partner.cli.run("cancel", "x", *WHY)
    assert "confirm x --reason TEXT" in refused.stderr
    assert "sequence default --set 2 --reason TEXT" in refused.stderr
    assert partner.cli.run("sequence", "default", "--set", "2", *WHY).code == 0
    assert partner.cli.run("cancel", "x", *WHY, "--json").json["number_returned"] is None
    assert partner.harness.deliver(partner.y).remote_path == "inbox/PAY_0002.csv"


# --- confirm ---


@pytest.mark.parametrize("path", [READY, DATA, FIRST, SECOND])
def test_confirmed_file_is_not_put_again_and_the_rest_is_done(partner: Partner, path: str) -> None:
    partner.is_unknown_at(path)
    document = partner.cli.run("confirm", "x", *WHY, "--json").json
    check_schema("confirm", document)
    assert (document["remote_path"], document["receipt"]) == (path, None)
    assert document["state"] == partner.harness.state(partner.x)
    assert partner.dead_letters() == 0
    (again,) = partner.announced()
    written = partner.harness.written
    receipt = partner.harness.deliver(again)
    assert partner.harness.written == written
    assert partner.harness.names_given.count(path) == 1
    assert partner.files == {DATA, READY, FIRST, SECOND} - {path}
    assert receipt.evidence == ("confirmed" if path == DATA else "rename_ok")
    assert partner.harness.deliver(partner.y).remote_path == "inbox/PAY_0002.csv"


SENT = {"transforms", "source_bytes", "sent_sha256"}
"""What a receipt says of bytes that were changed on their way."""


def test_receipt_of_confirmed_data_says_what_was_sent(cli: CliEnvironment) -> None:
    partner = Partner(cli, DeliveryRules(name="{name}.gz", transforms=[Gzip()]))
    partner.is_unknown_at("inbox/x.gz")
    cli.run("confirm", "x", *WHY)
    (again,) = partner.announced()
    partner.harness.deliver(again)
    assert partner.harness.item(partner.x)["receipt"]["M"].keys() >= SENT


def test_receipt_of_data_whose_marker_is_given_up_says_what_was_sent(cli: CliEnvironment) -> None:
    rules = replace(RULES, name="PAY_{sequence:04d}.csv.gz", transforms=[Gzip()])
    partner = Partner(cli, rules)

    def script(asked: Asked) -> bytes | None:
        is_last = is_rename(asked) and asked.texts[-1].endswith("1.csv.gz.2")
        return status(asked, Status.PERMISSION_DENIED) if is_last else None

    partner.harness.env.scripts[0] = script
    with pytest.raises(RequestRefused):
        partner.harness.deliver(partner.x)
    refused = RuleRefused("companions", "Its marker has no name.", value="v", hint="h")
    partner.harness.function().give_up(partner.x, refused)
    document = cli.run("confirm", "x", *WHY, "--json").json
    check_schema("confirm", document)
    receipt = partner.harness.item(partner.x)["receipt"]["M"]
    assert receipt.keys() >= SENT
    assert receipt["source_bytes"] == {"N": "3"}
    assert receipt["sequence"] == {"N": "1"}
    there = [each["S"].rpartition("csv.gz")[2] for each in receipt["companions"]["L"]]
    assert there == [".ready", ".1"]
    assert document["receipt"].keys() == receipt.keys()
    assert partner.harness.deliver(partner.y).details["sequence"] == 2


def test_confirm_says_which_file_and_that_the_function_does_the_rest(partner: Partner) -> None:
    partner.is_unknown_at(FIRST)
    said = " ".join(partner.cli.run("confirm", "x", *WHY).stdout.split())
    assert "x is COMMITTING (was UNKNOWN)" in said
    assert f"'{FIRST}' is recorded as confirmed; the function puts what is missing" in said
    (action,) = partner.harness.item(partner.x)["operator_actions"]["L"]
    assert action["M"]["reason"] == {"S": "they said so"}


def test_dry_run_of_confirm_changes_nothing(partner: Partner) -> None:
    partner.is_unknown_at(FIRST)
    before = partner.harness.item(partner.x)
    assert partner.cli.run("confirm", "x", "--dry-run").code == 0
    assert partner.harness.item(partner.x) == before
    assert (partner.announced(), partner.dead_letters()) == ([], 1)


def test_unknown_file_that_the_ledger_does_not_name_is_not_confirmed(partner: Partner) -> None:
    partner.is_unknown_at(READY)
    commit = partner.harness.item(partner.x)["commit"]["M"]
    commit["rename_unanswered"] = {"BOOL": True}
    partner.harness.ledger.write(partner.x, "commit", {"M": commit})
    partner.harness.ledger.write(partner.x, "reason", {"S": "Nobody knows."})
    outcome = partner.cli.run("confirm", "x", *WHY)
    assert (outcome.code, partner.harness.state(partner.x)) == (6, "UNKNOWN")
    assert "does not say which file" in outcome.stderr


def test_data_is_completed_by_its_own_rules_and_not_confirmed_without_its_marker(cli: CliEnvironment) -> None:
    partner = Partner(cli, DeliveryRules(companions=[Companion.marker("{name}.done")]))

    def script(asked: Asked) -> bytes | None:
        is_marker = is_rename(asked) and asked.texts[-1].endswith(".done")
        return status(asked, Status.PERMISSION_DENIED) if is_marker else None

    partner.harness.env.scripts[0] = script
    with pytest.raises(RequestRefused) as refused:
        partner.harness.deliver(partner.x)
    partner.harness.env.scripts.clear()
    partner.harness.function().give_up(partner.x, refused.value)
    outcome = cli.run("confirm", "x", *WHY)  # the marker can still be put
    assert (outcome.code, partner.harness.state(partner.x)) == (6, "FAILED")
    partner.harness.rules = DeliveryRules(
        name="{sequence}_{name}",
        sequence=Sequence(),
        companions=[Companion.document("{name}.no", "{sequence}")],
    )
    partner.harness.deliver(partner.x)
    assert partner.harness.state(partner.x) == "DELIVERED"
    assert {"inbox/x", "inbox/x.done"} <= set(partner.harness.env.files)


# --- sequence ---


def test_sequence_shows_last_and_next_number(holding: Partner) -> None:
    holding.harness.deliver(holding.x)
    lines = holding.cli.run("sequence").stdout.splitlines()
    assert lines[0] == "sequence  default"
    assert lines[1].startswith("last      1, delivered; taken ")
    assert lines[2] == "next      2"
    document = holding.cli.run("sequence", "--json").json
    check_schema("sequence", document)
    (sequence,) = document["sequences"]
    assert (sequence["last_number"], sequence["next_number"], sequence["holder"]) == (1, 2, None)


def test_sequence_shows_who_holds_the_last_number(holding: Partner) -> None:
    text = " ".join(holding.cli.run("sequence").stdout.split())
    assert "last 1: s3://bucket/x holds it since" in text
    assert "(STAGED)" in text
    document = holding.cli.run("sequence", "--json").json
    check_schema("sequence", document)
    assert document["sequences"][0]["holder"]["key"] == "x"


def test_number_that_is_set_goes_to_the_next_object(holding: Partner) -> None:
    holding.harness.deliver(holding.x)
    document = holding.cli.run("sequence", "--set", "57", *WHY, "--json").json
    check_schema("sequence", document)
    assert document["set"] == {
        "next_number": 57,
        "next_number_before": 2,
        "released": None,
        "keeps_number": False,
        "cancelled": [],
    }
    (action,) = document["sequences"][0]["operator_actions"]
    assert (action["action"], action["number"], action["reason"]) == ("sequence", 57, "they said so")
    assert action["who"].startswith("arn:aws:sts")
    assert holding.harness.deliver(holding.y).remote_path == "inbox/PAY_0057.csv"
    assert "operator_actions" in holding.counter()


def test_number_below_the_last_one_is_set_with_a_warning(holding: Partner) -> None:
    holding.harness.deliver(holding.x)
    refused = holding.cli.run("sequence", "--set", "0", *WHY)
    assert (refused.code, "Files with numbers up to 1" in refused.stderr) == (6, True)
    outcome = holding.cli.run("sequence", "--set", "0", "--reuse", *WHY)
    assert "warning: numbers up to 1 were taken before" in outcome.stdout
    assert holding.harness.deliver(holding.y).remote_path == "inbox/PAY_0000.csv"


def test_number_is_not_set_while_an_object_in_flight_holds_one(holding: Partner) -> None:
    before = holding.counter()
    outcome = holding.cli.run("sequence", "--set", "57", *WHY)
    assert outcome.code == 6
    assert "s3://bucket/x has number 1" in outcome.stderr
    assert "s3-to-sftp cancel x --reason TEXT" in outcome.stderr
    assert holding.counter() == before


def test_number_of_an_object_that_was_given_up_is_released(partner: Partner) -> None:
    partner.is_unknown_at(DATA)
    outcome = partner.cli.run("sequence", "--set", "2", *WHY, "--json").json
    check_schema("sequence", outcome)
    assert outcome["set"]["released"]["state"] == "UNKNOWN"
    assert "holder_pk" not in partner.counter()
    assert partner.harness.deliver(partner.y).remote_path == "inbox/PAY_0002.csv"


def test_number_of_a_version_that_the_ledger_lost_is_released(holding: Partner) -> None:
    holding.harness.ledger.delete(holding.x, holding.harness.item(holding.x)["sk"]["S"])
    assert "(no longer in the ledger)" in " ".join(holding.cli.run("sequence").stdout.split())
    assert holding.cli.run("sequence", "--set", "5", *WHY).code == 0
    assert holding.harness.deliver(holding.y).remote_path == "inbox/PAY_0005.csv"


def test_dry_run_sets_nothing(holding: Partner) -> None:
    holding.harness.deliver(holding.x)
    before = holding.counter()
    outcome = holding.cli.run("sequence", "--set", "57", "--dry-run")
    assert "would get 57 (not 2)" in outcome.stdout
    assert holding.counter() == before


def test_sequence_that_changes_meanwhile_is_not_set(
    holding: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding.harness.deliver(holding.x)
    transact = LedgerWriter.transact

    def late(writer: LedgerWriter, *changes: Any) -> set[int]:
        holding.harness.deliver(holding.y)
        return transact(writer, *changes)

    monkeypatch.setattr(LedgerWriter, "transact", late)
    assert holding.cli.run("sequence", "--set", "57", *WHY).code == 6
    assert holding.counter()["number"] == {"N": "2"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--set", "5"), 2, "needs a reason"),
        (("--set", "5", "--reason", " "), 2, "--reason must have"),
        (("--set", "-1", *WHY), 2, "-1 is not in the range"),
        (WHY, 2, "go with --set"),
        (("other",), 4, "No number of 'other' has been taken yet. There is default."),
    ],
)
def test_wrong_use_of_sequence_is_refused(
    holding: Partner, arguments: tuple[str, ...], code: int, said: str
) -> None:
    before = holding.counter()
    outcome = holding.cli.run("sequence", *arguments)
    assert (outcome.code, said in outcome.stderr) == (code, True), outcome.stderr
    assert holding.counter() == before


def test_partner_without_sequence_has_none_to_show(cli: CliEnvironment) -> None:
    outcome = cli.run("sequence", "--set", "57", *WHY)
    assert (outcome.code, "No number has been taken yet" in outcome.stderr) == (4, True)


def test_one_of_several_sequences_has_to_be_named(holding: Partner) -> None:
    holding.harness.deliver(holding.x)
    other = DeliveryRules(
        name="{delivery_time:%Y%m%d}_{sequence}", sequence=Sequence(name="daily", reset=Reset.DAY)
    )
    holding.harness.rules = other
    holding.harness.deliver(holding.y)
    assert "several sequences: daily, default" in holding.cli.run("sequence", "--set", "7", *WHY).stderr
    assert "next      2 of 2026-11-23" in holding.cli.run("sequence").stdout
    told = " ".join(holding.cli.run("sequence", "daily", "--set", "7", *WHY).stdout.split())
    assert "1 was of 2026-11-23: the next object gets 7, whichever day it is of" in told
    assert holding.counter()["number"] == {"N": "1"}


# --- status ---


def waits_for_number(partner: Partner) -> None:
    """Let the second object wait for the number of the first one."""
    with pytest.raises(SequenceHeld):
        partner.harness.deliver(partner.y)


def held_in(partner: Partner) -> dict[str, Any]:
    document: dict[str, Any] = partner.cli.run("status", "--json").json
    check_schema("status", document)
    return document


def test_status_names_the_object_that_the_others_wait_for(holding: Partner) -> None:
    assert held_in(holding)["sequences_held"] == []
    waits_for_number(holding)
    document = held_in(holding)
    assert document["in_flight"]["waiting_for_number"] == 1
    (sequence,) = document["sequences_held"]
    assert (sequence["last_number"], sequence["holder"]["key"]) == (1, "x")
    assert [each["command"] for each in document["next"] if "number 1" in each["why"]] == [
        "s3-to-sftp retry x"
    ]
    text = " ".join(holding.cli.run("status").stdout.split())
    assert "sequence default: s3://bucket/x has number 1 since" in text
    assert "(STAGED)" in text
    assert "1 object waiting for the next" in text


def test_status_does_not_advise_to_retry_while_deliveries_are_paused(holding: Partner) -> None:
    waits_for_number(holding)
    holding.cli.pause()
    assert [each["command"] for each in held_in(holding)["next"]] == ["s3-to-sftp resume"]


def test_status_says_what_to_do_about_a_number_whose_outcome_is_unknown(partner: Partner) -> None:
    partner.is_unknown_at(DATA)
    waits_for_number(partner)
    commands = [each["command"] for each in held_in(partner)["next"]]
    assert "s3-to-sftp confirm x --reason TEXT" in commands
    assert "s3-to-sftp resend x --reason TEXT" in commands


def test_status_says_what_to_do_about_a_number_that_was_dead_lettered(partner: Partner) -> None:
    partner.is_lost_at(DATA)
    partner.harness.function().give_up(partner.x, RequestRefused("No.", hint="h", **REFUSED))
    waits_for_number(partner)
    assert "s3-to-sftp redrive --key x" in [each["command"] for each in held_in(partner)["next"]]


def test_status_says_what_to_do_about_a_number_that_nobody_delivers(holding: Partner) -> None:
    waits_for_number(holding)
    holding.harness.ledger.delete(holding.x, holding.harness.item(holding.x)["sk"]["S"])
    commands = [each["command"] for each in held_in(holding)["next"]]
    assert "s3-to-sftp sequence default --set 2 --reason TEXT" in commands
