"""Objects of a partner with rules, from the lease to the receipt."""

from __future__ import annotations

import hashlib
import stat
from typing import Any

import pytest

from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import (
    Disposition,
    NameTaken,
    OutcomeUnknown,
    RenameUnanswered,
    RequestRefused,
    ResumeNotSupported,
    RuleRefused,
)
from s3_to_sftp.outcomes import AlreadyDelivered, SequenceHeld, Skipped
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import FINAL_NAME, Case, DeliveryRules
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.support.delivery_environment import is_rename
from tests.support.rules_environment import EVENT_TIME, RulesEnvironment
from tests.support.scripted_server import NOTHING, Asked, File, Script, status

DATA = b"one,two\n"
LARGE = bytes(3 * 1024 * 1024)
STAMPED = DeliveryRules(
    name="{stem}_{event_time:%Y%m%dT%H%M%S}{ext}", case=Case.UPPER, time_zone="Europe/Zurich"
)


def files(harness: RulesEnvironment) -> dict[str, bytes]:
    return {path.removeprefix("inbox/"): bytes(data) for path, data in harness.env.files.items()}


@pytest.fixture(params=[DATA, LARGE], ids=["small", "large"])
def data(request: pytest.FixtureRequest) -> bytes:
    chosen: bytes = request.param
    return chosen


def delivered(
    ledger_table: Any, rules: DeliveryRules, data: bytes = DATA, key: str = "pay.csv"
) -> RulesEnvironment:
    harness = RulesEnvironment(ledger_table, rules, {key: data})
    harness.deliver(harness.ref(key))
    return harness


# --- names ---


def test_name_follows_the_template(ledger_table: Any, data: bytes) -> None:
    harness = delivered(ledger_table, STAMPED, data)
    assert files(harness) == {"PAY_20261129T103000.CSV": data}
    receipt = harness.item(harness.ref("pay.csv"))["receipt"]["M"]
    assert receipt["remote_path"] == {"S": "inbox/PAY_20261129T103000.CSV"}


def test_metadata_and_tags_come_from_s3(ledger_table: Any) -> None:
    rules = DeliveryRules(name="{metadata[Order]}-{tag[site]}{ext}")
    harness = RulesEnvironment(ledger_table, rules, {"a.csv": DATA})
    harness.s3.metadata["a.csv"] = {"order": "17"}
    harness.s3.tags["a.csv"] = {"site": "ZH", "other": "x"}
    harness.deliver(harness.ref("a.csv"))
    assert files(harness) == {"17-ZH.csv": DATA}


def test_tag_cannot_lead_out_of_the_directory(ledger_table: Any) -> None:
    harness = RulesEnvironment(ledger_table, DeliveryRules(name="{tag[x]}.csv"), {"a.csv": DATA})
    harness.s3.tags["a.csv"] = {"x": "../x"}
    with pytest.raises(RuleRefused, match="lead to another directory"):
        harness.deliver(harness.ref("a.csv"))
    assert files(harness) == {}


def test_second_key_with_the_same_name_is_refused_before_it_is_sent(ledger_table: Any, data: bytes) -> None:
    harness = RulesEnvironment(
        ledger_table, DeliveryRules(name="{stem}{ext}"), {"a/x.csv": b"1", "b/x.csv": data}
    )
    harness.deliver(harness.ref("a/x.csv"))
    with pytest.raises(NameTaken, match=r"a/x\.csv"):
        harness.deliver(harness.ref("b/x.csv"))
    assert files(harness) == {"x.csv": b"1"}


def test_newer_version_of_the_same_key_replaces_the_file(ledger_table: Any) -> None:
    harness = delivered(ledger_table, DeliveryRules(name="{stem}{ext}"))
    harness.s3.objects["pay.csv"] = b"newer"
    harness.deliver(harness.ref("pay.csv", "0B"))
    assert files(harness) == {"pay.csv": b"newer"}


# --- temporary names ---


@pytest.mark.parametrize("temporary", ["{name}.partial", "{stem}.prg", "tmp_{name}", "{name}.{token}.tmp"])
def test_temporary_name_has_the_form_of_the_rule(ledger_table: Any, data: bytes, temporary: str) -> None:
    harness = delivered(ledger_table, DeliveryRules(name="{stem}.asc", temporary=temporary), data)
    assert files(harness) == {"pay.asc": data}
    expected = temporary.format(name="pay.asc", stem="pay", token="token1")
    assert {path for (path,) in harness.paths(Request.OPEN)} == {f"inbox/{expected}"}


def test_dead_attempts_file_is_removed_and_its_name_is_not_used(ledger_table: Any) -> None:
    harness = RulesEnvironment(ledger_table, DeliveryRules(temporary="{name}.partial"), {"a.csv": DATA})
    ref = harness.ref("a.csv")
    _, text = harness.function()._execution.plan(ref)
    about = {"remote_path": "inbox/a.csv", "temporary": "inbox/a.csv.partial", "plan": text}
    harness.ledger.lease(ref, harness.ledger.function("dead"), **about)
    harness.env.files["inbox/a.csv.partial"] = bytearray(b"half")
    harness.ledger.clock.now += 1000
    harness.deliver(ref)
    assert files(harness) == {"a.csv": DATA}
    assert ["inbox/a.csv.partial"] in harness.paths(Request.REMOVE)
    assert ["inbox/a.csv.partial"] not in harness.paths(Request.OPEN)
    assert harness.temporaries(ref) == {"inbox/a.csv.partial"}  # for a day


def test_other_directory_is_proven_before_the_data_is_sent(ledger_table: Any, data: bytes) -> None:
    harness = delivered(ledger_table, DeliveryRules(temporary="staging/{token}_{name}"), data)
    harness.env.disk.directories.add("staging")
    assert harness.env.files["inbox/pay.csv"] == data
    first, *_ = (path for (path,) in harness.paths(Request.OPEN))
    assert first.startswith("staging/.")
    assert set(harness.env.files) == {"inbox/pay.csv"}


def test_nothing_is_sent_where_the_rename_across_directories_is_refused(ledger_table: Any) -> None:
    harness = RulesEnvironment(
        ledger_table, DeliveryRules(temporary="staging/{token}_{name}"), {"a.csv": DATA}
    )
    harness.env.disk.directories.add("staging")

    def script(asked: Asked) -> bytes | None:
        is_it = asked.kind == Request.RENAME or is_rename(asked)
        return status(asked, Status.FAILURE) if is_it else None

    harness.env.scripts[0] = script
    with pytest.raises(RequestRefused, match="the rule 'temporary' needs it"):
        harness.deliver(harness.ref("a.csv"))
    assert harness.env.files == {}
    assert harness.written == 0


@pytest.mark.parametrize(
    ("if_exists", "refused"), [(IfExists.REPLACE, "plain"), (IfExists.REFUSE, "extension")]
)
def test_other_directory_is_proven_with_the_rename_that_will_be_used(
    ledger_table: Any, if_exists: IfExists, refused: str
) -> None:
    rules = DeliveryRules(temporary="staging/{token}_{name}", if_exists=if_exists)
    harness = RulesEnvironment(ledger_table, rules, {"a.csv": DATA})
    harness.env.disk.directories.add("staging")

    def script(asked: Asked) -> bytes | None:
        is_it = asked.kind == Request.RENAME if refused == "plain" else is_rename(asked)
        return status(asked, Status.OP_UNSUPPORTED) if is_it else None

    harness.env.scripts[0] = script
    harness.deliver(harness.ref("a.csv"))
    assert files(harness) == {"a.csv": DATA}


def test_large_file_under_its_final_name_is_refused_without_blaming_the_server(ledger_table: Any) -> None:
    harness = RulesEnvironment(ledger_table, DeliveryRules(temporary=FINAL_NAME), {"a.csv": LARGE})
    with pytest.raises(ResumeNotSupported, match="written under its final name") as raised:
        harness.deliver(harness.ref("a.csv"), deadline=harness.deadline(left=0.02 / 0.75))
    assert "partner" not in raised.value.hint
    assert "Leave the rule 'temporary' out" in raised.value.hint
    assert raised.value.disposition is Disposition.PERMANENT
    assert harness.env.files == {}


def test_file_is_written_under_its_final_name_where_the_rule_says_so(ledger_table: Any, data: bytes) -> None:
    harness = delivered(ledger_table, DeliveryRules(temporary=FINAL_NAME), data)
    assert files(harness) == {"pay.csv": data}
    assert harness.names_given == []
    receipt = harness.item(harness.ref("pay.csv"))["receipt"]["M"]
    assert receipt["evidence"] == {"S": "close_ok"}


def test_refused_file_of_the_partner_is_never_removed_when_final_names_are_written(ledger_table: Any) -> None:
    rules = DeliveryRules(temporary=FINAL_NAME, if_exists=IfExists.REFUSE)
    harness = RulesEnvironment(ledger_table, rules, {"a.csv": DATA})
    harness.env.files["inbox/a.csv"] = bytearray(b"theirs")
    for _ in range(2):
        with pytest.raises(RuleRefused, match="a file of 6 bytes"):
            harness.deliver(harness.ref("a.csv"))
    assert files(harness) == {"a.csv": b"theirs"}


@pytest.mark.parametrize("if_exists", [IfExists.REFUSE, IfExists.SKIP, IfExists.NEW_NAME])
def test_companion_replaces_no_file_that_appears_meanwhile(ledger_table: Any, if_exists: IfExists) -> None:
    rules = DeliveryRules(if_exists=if_exists, companions=[Companion.marker("{name}.done")])
    harness = RulesEnvironment(ledger_table, rules, {"a": DATA})

    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.RENAME and asked.texts[-1] == "inbox/a":
            harness.env.files["inbox/a.done"] = bytearray(b"theirs")
        return None

    harness.env.scripts[0] = script
    with pytest.raises(RequestRefused, match="does not let it be replaced"):
        harness.deliver(harness.ref("a"))
    assert files(harness)["a.done"] == b"theirs"


def test_files_of_several_directories_do_not_meet_in_another_one(ledger_table: Any) -> None:
    rules = DeliveryRules(temporary="staging/{token}_{name}")
    objects = {f"{folder}/x.csv": folder.encode() * 50 for folder in "abcdefgh"}
    harness = RulesEnvironment(ledger_table, rules, objects)
    harness.env.disk.directories |= {"staging", *(f"inbox/{folder}" for folder in "abcdefgh")}
    refs = [harness.ref(key) for key in objects]
    outcomes = dict(deliver_all(harness.function(), refs, harness.invocation()))
    assert {type(outcome) for outcome in outcomes.values()} == {Receipt}
    assert files(harness) == objects


# --- if the name exists ---


def test_existing_file_refuses_the_object_and_says_what_stands_there(ledger_table: Any, data: bytes) -> None:
    rules = DeliveryRules(if_exists=IfExists.REFUSE)
    harness = RulesEnvironment(ledger_table, rules, {"a.csv": data})
    harness.env.files["inbox/a.csv"] = File(b"theirs", modified=EVENT_TIME)
    with pytest.raises(RuleRefused, match="a file of 6 bytes of 2026-11-29 09:30:00 UTC") as refused:
        harness.deliver(harness.ref("a.csv"))
    assert refused.value.rule == "if_exists"
    assert files(harness) == {"a.csv": b"theirs"}


def test_existing_file_skips_the_object(ledger_table: Any, data: bytes) -> None:
    harness = RulesEnvironment(ledger_table, DeliveryRules(if_exists=IfExists.SKIP), {"a.csv": data})
    harness.env.files["inbox/a.csv"] = bytearray(b"theirs")
    for _ in range(2):
        with pytest.raises(Skipped, match="6 bytes"):
            harness.deliver(harness.ref("a.csv"))
    assert harness.state(harness.ref("a.csv")) == "SKIPPED"
    assert files(harness) == {"a.csv": b"theirs"}


def test_existing_file_leads_to_a_new_name(ledger_table: Any, data: bytes) -> None:
    rules = DeliveryRules(if_exists=IfExists.NEW_NAME, companions=[Companion.marker("{stem}.done")])
    harness = RulesEnvironment(ledger_table, rules, {"a.csv": data})
    harness.env.files.update({"inbox/a.csv": bytearray(b"1"), "inbox/a-2.done": bytearray()})
    harness.deliver(harness.ref("a.csv"))
    assert files(harness) == {"a.csv": b"1", "a-2.done": b"", "a-3.csv": data, "a-3.done": b""}


def test_name_of_another_key_leads_to_a_new_name(ledger_table: Any) -> None:
    rules = DeliveryRules(name="{stem}{ext}", if_exists=IfExists.NEW_NAME)
    harness = RulesEnvironment(ledger_table, rules, {"a/x.csv": b"1", "b/x.csv": b"2"})
    harness.deliver(harness.ref("a/x.csv"))
    del harness.env.files["inbox/x.csv"]  # collected
    harness.deliver(harness.ref("b/x.csv"))
    assert files(harness) == {"x-2.csv": b"2"}


@pytest.mark.parametrize("if_exists", [IfExists.REFUSE, IfExists.SKIP, IfExists.NEW_NAME])
def test_own_file_of_a_lost_attempt_does_not_count_as_existing(
    ledger_table: Any, if_exists: IfExists
) -> None:
    harness = RulesEnvironment(ledger_table, DeliveryRules(if_exists=if_exists), {"a.csv": DATA})
    harness.env.scripts[0] = cut_at(harness, "inbox/a.csv")
    with pytest.raises(RenameUnanswered):
        harness.deliver(harness.ref("a.csv"))
    harness.env.scripts.clear()
    receipt = harness.deliver(harness.ref("a.csv"))
    assert receipt.recovered
    assert files(harness) == {"a.csv": DATA}


def cut_at(harness: RulesEnvironment, path: str, *, done: bool = True) -> Script:
    """A partner that is lost when this name is to be given."""

    def script(asked: Asked) -> bytes | None:
        if not (is_rename(asked) or asked.kind == Request.RENAME) or asked.texts[-1] != path:
            return None
        if done:
            harness.env.connection(0).server.healthy(asked)
        return NOTHING

    return script


# --- mode and time ---


def test_mode_and_time_are_set_before_the_file_has_its_name(ledger_table: Any, data: bytes) -> None:
    rules = DeliveryRules(mode=0o664, preserve_time=True, companions=[Companion.marker("{name}.done")])
    harness = delivered(ledger_table, rules, data)
    file, marker = harness.env.files["inbox/pay.csv"], harness.env.files["inbox/pay.csv.done"]
    assert isinstance(file, File)
    assert isinstance(marker, File)
    assert (stat.S_IMODE(file.mode), file.modified) == (0o664, EVENT_TIME)
    assert stat.S_IMODE(marker.mode) == 0o664
    assert all(path.endswith(".part") for (path,) in harness.paths(Request.SETSTAT))


def refuses_setstat(asked: Asked) -> bytes | None:
    return status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.SETSTAT else None


def test_refused_mode_is_remembered_and_no_error(ledger_table: Any) -> None:
    harness = RulesEnvironment(ledger_table, DeliveryRules(mode=0o664), {"a": DATA, "b": DATA})
    harness.env.scripts[0] = refuses_setstat
    function = harness.function()
    for key in "ab":
        function.deliver(harness.ref(key))
    assert files(harness) == {"a": DATA, "b": DATA}
    assert len(harness.paths(Request.SETSTAT)) == 1


def test_refused_mode_is_an_error_where_it_is_required(ledger_table: Any) -> None:
    rules = DeliveryRules(mode=0o664, require_attributes=True)
    harness = RulesEnvironment(ledger_table, rules, {"a": DATA})
    harness.env.scripts[0] = refuses_setstat
    with pytest.raises(RequestRefused, match="the rule 'mode'"):
        harness.deliver(harness.ref("a"))
    assert harness.whole == {}


# --- companions ---

WITH_COMPANIONS = DeliveryRules(
    companions=[
        Companion.checksum("sha256"),
        Companion.document("{stem}.xml", "<f n='{name}' b='{bytes}' m='{md5}'/>", before=True),
        Companion.marker("{name}.done"),
    ]
)
SEEN = ["pay.xml", "pay.csv", "pay.csv.sha256", "pay.csv.done"]


def test_companions_get_their_names_in_order(ledger_table: Any, data: bytes) -> None:
    harness = delivered(ledger_table, WITH_COMPANIONS, data)
    sha256, md5 = hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest()
    assert files(harness) == {
        "pay.csv": data,
        "pay.xml": f"<f n='pay.csv' b='{len(data)}' m='{md5}'/>".encode(),
        "pay.csv.sha256": f"{sha256}  pay.csv\n".encode(),
        "pay.csv.done": b"",
    }
    assert harness.names_given == [f"inbox/{name}" for name in SEEN]
    receipt = harness.item(harness.ref("pay.csv"))["receipt"]["M"]
    assert [each["S"] for each in receipt["companions"]["L"]] == [
        f"inbox/{name}" for name in ("pay.xml", "pay.csv.sha256", "pay.csv.done")
    ]


@pytest.mark.parametrize("done", [True, False], ids=["renamed", "not renamed"])
@pytest.mark.parametrize("lost_at", SEEN)
def test_lost_answer_at_any_name_is_completed_and_nothing_repeated(
    ledger_table: Any, data: bytes, lost_at: str, *, done: bool
) -> None:
    harness = RulesEnvironment(ledger_table, WITH_COMPANIONS, {"pay.csv": data})
    harness.env.scripts[0] = cut_at(harness, f"inbox/{lost_at}", done=done)
    ref = harness.ref("pay.csv")
    with pytest.raises(RenameUnanswered):
        harness.deliver(ref)
    harness.env.scripts.clear()
    harness.deliver(ref)
    given = [name.removeprefix("inbox/") for name in harness.names_given]
    assert [name for i, name in enumerate(given) if name not in given[:i]] == SEEN
    assert {name for name in given if given.count(name) > 1} == (set() if done else {lost_at})
    assert sorted(files(harness)) == sorted(SEEN)
    assert harness.state(ref) == "DELIVERED"


def test_begun_companion_survives_the_loss_of_the_data(ledger_table: Any) -> None:
    rules = DeliveryRules(companions=[Companion.marker("{name}.first", before=True)])
    harness = RulesEnvironment(ledger_table, rules, {"a": DATA})
    harness.env.scripts[0] = cut_at(harness, "inbox/a.first", done=False)
    ref = harness.ref("a")
    with pytest.raises(RenameUnanswered):
        harness.deliver(ref)
    harness.env.scripts.clear()
    steps = harness.item(ref)["steps"]["M"]
    begun = steps["{name}.first"]["M"]["temporary"]["S"]
    for name in [name for name in harness.env.files if name != begun]:
        del harness.env.files[name]  # a partner who tidies up
    harness.deliver(ref)
    assert files(harness) == {"a": DATA, "a.first": b""}


def test_marker_that_the_partner_has_taken_is_unknown_and_not_repeated(ledger_table: Any) -> None:
    rules = DeliveryRules(companions=[Companion.marker("{name}.done")])
    harness = RulesEnvironment(ledger_table, rules, {"a": DATA})
    harness.env.scripts[0] = cut_at(harness, "inbox/a.done")
    ref = harness.ref("a")
    with pytest.raises(RenameUnanswered):
        harness.deliver(ref)
    harness.env.scripts.clear()
    del harness.env.files["inbox/a.done"]
    with pytest.raises(OutcomeUnknown, match=r"a\.done"):
        harness.deliver(ref)
    assert harness.names_given.count("inbox/a.done") == 1
    receipt = harness.deliver(ref, unknown_outcome=UnknownOutcome.ASSUME_DELIVERED)
    assert receipt.recovered
    assert harness.names_given.count("inbox/a") == 1


def test_data_that_was_found_stays_found_when_its_marker_is_refused(ledger_table: Any) -> None:
    rules = DeliveryRules(companions=[Companion.marker("{name}.done")])
    harness = RulesEnvironment(ledger_table, rules, {"a": DATA})
    harness.env.scripts[0] = cut_at(harness, "inbox/a")
    ref = harness.ref("a")
    with pytest.raises(RenameUnanswered):
        harness.deliver(ref)

    def refuses_marker(asked: Asked) -> bytes | None:
        refused = is_rename(asked) and asked.texts[-1] == "inbox/a.done"
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    harness.env.scripts[0] = refuses_marker
    with pytest.raises(RequestRefused):
        harness.deliver(ref)
    harness.env.scripts.clear()
    del harness.env.files["inbox/a"]  # collected
    receipt = harness.deliver(ref)
    assert receipt.evidence == "seen_after_rename"
    assert files(harness) == {"a.done": b""}


def test_refused_marker_is_put_later_without_sending_the_data_again(ledger_table: Any, data: bytes) -> None:
    rules = DeliveryRules(companions=[Companion.marker("{name}.done")])
    harness = RulesEnvironment(ledger_table, rules, {"a": data})

    def script(asked: Asked) -> bytes | None:
        refused = is_rename(asked) and asked.texts[-1] == "inbox/a.done"
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    harness.env.scripts[0] = script
    with pytest.raises(RequestRefused):
        harness.deliver(harness.ref("a"))
    harness.env.scripts.clear()
    written = harness.written
    harness.deliver(harness.ref("a"))
    assert harness.written == written
    assert files(harness) == {"a": data, "a.done": b""}
    with pytest.raises(AlreadyDelivered):
        harness.deliver(harness.ref("a"))


# --- sequence ---

NUMBERED = DeliveryRules(
    name="PAY_{sequence:04d}.csv", sequence=Sequence(), companions=[Companion.marker("{name}.done")]
)


def numbered(ledger_table: Any, *keys: str) -> RulesEnvironment:
    return RulesEnvironment(ledger_table, NUMBERED, {key: key.encode() for key in keys})


def test_each_object_gets_the_next_number(ledger_table: Any) -> None:
    harness = numbered(ledger_table, "x", "y", "z")
    for key in "xyz":
        harness.deliver(harness.ref(key))
    assert {name: data for name, data in files(harness).items() if data} == {
        "PAY_0001.csv": b"x",
        "PAY_0002.csv": b"y",
        "PAY_0003.csv": b"z",
    }
    assert harness.item(harness.ref("y"))["receipt"]["M"]["sequence"] == {"N": "2"}


def test_no_number_is_taken_while_the_last_one_is_not_delivered(ledger_table: Any) -> None:
    harness = numbered(ledger_table, "x", "y")
    harness.env.scripts[0] = cut_at(harness, "inbox/PAY_0001.csv", done=False)
    with pytest.raises(RenameUnanswered):
        harness.deliver(harness.ref("x"))
    harness.env.scripts.clear()
    with pytest.raises(SequenceHeld, match="s3://bucket/x has number 1"):
        harness.deliver(harness.ref("y"))
    written = harness.written
    harness.deliver(harness.ref("x"))
    harness.deliver(harness.ref("y"))
    assert harness.written == written  # both were at the partner already
    assert {name: data for name, data in files(harness).items() if data} == {
        "PAY_0001.csv": b"x",
        "PAY_0002.csv": b"y",
    }


def test_objects_behind_a_number_that_nobody_is_delivering_do_not_wait_for_it(ledger_table: Any) -> None:
    harness = numbered(ledger_table, "x", *"abc")
    harness.env.scripts[0] = cut_at(harness, "inbox/PAY_0001.csv", done=False)
    with pytest.raises(RenameUnanswered):
        harness.deliver(harness.ref("x"))
    harness.env.scripts.clear()
    refs = [harness.ref(key) for key in "abcx"]  # one invocation, the holder at its end
    outcomes = dict(deliver_all(harness.function(), refs, harness.invocation()))
    assert harness.slept == []
    assert [type(outcomes[ref]) for ref in refs] == [SequenceHeld, SequenceHeld, SequenceHeld, Receipt]


def test_number_that_is_being_delivered_is_waited_for_once(ledger_table: Any) -> None:
    harness = numbered(ledger_table, "x", *"ab")
    harness.env.scripts[0] = cut_at(harness, "inbox/PAY_0001.csv", done=False)
    with pytest.raises(RenameUnanswered):
        harness.deliver(harness.ref("x"))
    harness.env.scripts.clear()
    harness.ledger.lease(harness.ref("x"), harness.ledger.function("other"), plan="other rules")
    function = harness.function()
    waits = []
    for key in "ab":
        with pytest.raises(SequenceHeld):
            function.deliver(harness.ref(key))
        waits.append(len(harness.slept))
    assert waits[0] > 1
    assert waits[1] == waits[0]


def test_number_of_an_object_that_is_given_up_goes_to_the_next_one(ledger_table: Any) -> None:
    harness = numbered(ledger_table, "x", "y")

    def script(asked: Asked) -> bytes | None:
        return status(asked, Status.PERMISSION_DENIED) if is_rename(asked) else None

    harness.env.scripts[0] = script
    function = harness.function()
    with pytest.raises(RequestRefused) as refused:
        function.deliver(harness.ref("x"))
    function.give_up(harness.ref("x"), refused.value)
    harness.env.scripts.clear()
    harness.deliver(harness.ref("y"))
    harness.deliver(harness.ref("x"))
    assert {name: data for name, data in files(harness).items() if data} == {
        "PAY_0001.csv": b"y",
        "PAY_0002.csv": b"x",
    }
