"""A deployment changes the rules while objects are under way: what stands is completed as it was begun."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import ConnectionLost, NameTaken, RenameUnanswered, RequestRefused, RuleRefused
from s3_to_sftp.outcomes import AlreadyGone
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.rules.after_delivery import AfterDelivery
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import FINAL_NAME, DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.recorded_plan import plan_as_text, plan_from_text
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.state.receipt import Evidence
from tests.support import rules_environment
from tests.support.delivery_environment import is_rename, silent_after
from tests.support.rules_environment import RulesEnvironment
from tests.support.scripted_server import NOTHING, Asked, File, Hanging, Script, status
from tests.unit.rules.objects import planned

DATA = {"x": b"one", "y": b"two"}
LARGE = bytes(range(256)) * 4096
MARKED = DeliveryRules(name="{name}", companions=[Companion.marker("{name}.done")])
NUMBERED = DeliveryRules(
    name="PAY_{sequence:04d}.csv", sequence=Sequence(), companions=[Companion.marker("{name}.done")]
)


def half_delivered(ledger_table: Any, rules: DeliveryRules, refused: str) -> RulesEnvironment:
    """The object x, when the partner has refused this name once."""
    env = RulesEnvironment(ledger_table, rules, DATA)
    env.env.scripts[0] = refusing_final_name(refused)
    with pytest.raises(RequestRefused):
        env.deliver(env.ref("x"), name="one")
    env.env.scripts.clear()
    return env


def refusing_final_name(name: str) -> Script:
    """A partner that refuses this name."""

    def script(asked: Asked) -> bytes | None:
        is_it = (is_rename(asked) or asked.kind == Request.RENAME) and asked.texts[-1] == f"inbox/{name}"
        return status(asked, Status.PERMISSION_DENIED) if is_it else None

    return script


def names(env: RulesEnvironment) -> dict[str, bytes]:
    return {path.removeprefix("inbox/"): bytes(data) for path, data in env.env.files.items()}


CHANGES = {
    "name": DeliveryRules(name="{name}_v2", companions=MARKED.companions),
    "directory": DeliveryRules(name="sub/{name}", companions=MARKED.companions),
    "no companions": DeliveryRules(name="{name}"),
    "companion before": DeliveryRules(
        name="{name}", companions=[Companion.marker("{name}.first", before=True), *MARKED.companions]
    ),
    "refused": DeliveryRules(name="{name}_{tag[c]}", companions=MARKED.companions),
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_marker_belongs_to_the_data_that_stands(ledger_table: Any, changed: DeliveryRules) -> None:
    env = half_delivered(ledger_table, MARKED, "x.done")
    env.rules = changed
    receipt = env.deliver(env.ref("x"), name="two")
    assert names(env) == {"x": b"one", "x.done": b""}
    assert receipt.remote_path == "inbox/x"
    assert receipt.details["companions"] == ["inbox/x.done"]


def test_what_happens_to_the_object_is_what_the_rules_say_now(ledger_table: Any) -> None:
    env = half_delivered(ledger_table, MARKED, "x.done")
    env.rules = dataclasses.replace(CHANGES["name"], after_delivery=AfterDelivery.tag({"delivered": "yes"}))
    env.deliver(env.ref("x"), name="two")
    assert names(env) == {"x": b"one", "x.done": b""}
    assert env.s3.tags["x"] == {"delivered": "yes"}


@pytest.mark.parametrize("if_exists", [IfExists.REPLACE, IfExists.REFUSE])
def test_companion_that_stands_is_not_put_again_when_another_one_is_added(
    ledger_table: Any, if_exists: IfExists
) -> None:
    marks = [Companion.marker("{name}.a"), Companion.marker("{name}.b")]
    rules = DeliveryRules(name="{name}", if_exists=if_exists, companions=marks)
    env = half_delivered(ledger_table, rules, "x.b")
    env.rules = dataclasses.replace(rules, companions=[Companion.marker("{name}.n"), *marks])
    env.deliver(env.ref("x"), name="two")
    assert env.names_given.count("inbox/x.a") == 1
    assert {"x.a", "x.b"} <= set(names(env))


@pytest.mark.parametrize("sequence", [None, Sequence(name="new", start=100)], ids=["removed", "renamed"])
def test_receipt_has_the_number_that_the_partner_has_seen(
    ledger_table: Any, sequence: Sequence | None
) -> None:
    env = half_delivered(ledger_table, NUMBERED, "PAY_0001.csv.done")
    name = "{name}" if sequence is None else NUMBERED.name
    env.rules = dataclasses.replace(NUMBERED, name=name, sequence=sequence)
    receipt = env.deliver(env.ref("x"), name="two")
    assert receipt.details["sequence"] == 1
    assert set(names(env)) == {"PAY_0001.csv", "PAY_0001.csv.done"}


def test_object_that_has_no_name_yet_is_refused_by_the_new_rules(ledger_table: Any) -> None:
    env = half_delivered(ledger_table, MARKED, "x")
    env.rules = CHANGES["refused"]
    with pytest.raises(RuleRefused):
        env.deliver(env.ref("x"), name="two")
    assert not {"x", "x.done"} & set(names(env))


def test_name_with_a_number_of_another_sequence_is_not_given_again(ledger_table: Any) -> None:
    env = RulesEnvironment(ledger_table, NUMBERED, DATA)
    env.deliver(env.ref("x"), name="one")
    env.rules = dataclasses.replace(NUMBERED, sequence=Sequence(name="other"))
    with pytest.raises(NameTaken):
        env.deliver(env.ref("y"), name="two")
    assert names(env)["PAY_0001.csv"] == b"one"


def test_two_sequences_do_not_share_a_name(ledger_table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    each = {name: dataclasses.replace(NUMBERED, sequence=Sequence(name=name)) for name in ("one", "two")}
    monkeypatch.setattr(
        rules_environment, "RulesDocument", lambda **_: RulesDocument(partner=None, sources=each)
    )
    sources = [
        SourceDirectory(bucket="bucket", prefix=key, rules=name) for key, name in zip(DATA, each, strict=True)
    ]
    env = RulesEnvironment(ledger_table, NUMBERED, DATA, sources=sources)
    env.deliver(env.ref("x"), name="one")
    with pytest.raises(NameTaken):
        env.deliver(env.ref("y"), name="two")
    assert names(env)["PAY_0001.csv"] == b"one"


def test_older_version_whose_data_has_its_own_name_is_completed_after_a_newer_one(ledger_table: Any) -> None:
    rules = DeliveryRules(name="{name}_{event_time:%H%M%S}", companions=MARKED.companions)
    env = half_delivered(ledger_table, rules, "x_093000.done")
    older = env.ref("x")
    newer = dataclasses.replace(env.ref("x", "0B"), event_time=(older.event_time or 0) + 60)
    env.deliver(newer, name="two")
    assert env.deliver(older, name="three").remote_path == "inbox/x_093000"
    assert set(names(env)) == {f"x_093{minute}00{end}" for minute in "01" for end in ("", ".done")}
    assert (env.state(older), env.state(newer)) == ("DELIVERED", "DELIVERED")


def test_data_is_not_skipped_because_of_a_marker(ledger_table: Any) -> None:
    env = RulesEnvironment(ledger_table, dataclasses.replace(MARKED, if_exists=IfExists.SKIP), DATA)
    env.env.files["inbox/x.done"] = bytearray()
    with pytest.raises(RuleRefused, match=r"'inbox/x\.done' is a file of 0 bytes"):
        env.deliver(env.ref("x"))


def test_number_that_was_returned_is_free_at_a_server_without_case(
    ledger_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3_to_sftp.sftp.client.SftpClient.same_file", lambda _self, path: path.casefold())
    env = half_delivered(ledger_table, NUMBERED, "PAY_0001.csv")
    env.ledger.clock.now += 1000
    env.ledger.function().record_outcome(env.ref("x"), state="FAILED", reason="r", hint="h")
    env.deliver(env.ref("y"), name="two")
    assert names(env)["PAY_0001.csv"] == b"two"


def test_marker_does_not_replace_data_that_differs_in_case_only(
    ledger_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3_to_sftp.sftp.client.SftpClient.same_file", lambda _self, path: path.casefold())
    env = RulesEnvironment(ledger_table, MARKED, {"A.DONE": b"data", "a": b"other"})
    env.deliver(env.ref("A.DONE"), name="one")
    with pytest.raises(NameTaken):
        env.deliver(env.ref("a"), name="two")
    assert names(env)["A.DONE"] == b"data"


def test_filter_that_leaves_out_what_has_begun_does_not_keep_it_from_its_end(ledger_table: Any) -> None:
    env = half_delivered(ledger_table, NUMBERED, "PAY_0001.csv.done")
    env.rules = dataclasses.replace(NUMBERED, only=Filter(min_bytes=1000))
    function = env.function("two")
    assert set(function.not_wanted([env.ref("x"), env.ref("y")])) == {env.ref("y")}
    env.deliver(env.ref("x"), name="two")
    assert set(names(env)) == {"PAY_0001.csv", "PAY_0001.csv.done"}


def test_file_under_a_temporary_name_does_not_stay_when_files_are_written_directly(ledger_table: Any) -> None:
    """It may hold plain bytes, and the new rules may encrypt."""
    env = half_delivered(ledger_table, DeliveryRules(name="{name}"), "x")
    assert env.partial != []
    env.rules = DeliveryRules(name="{name}.gz", temporary=FINAL_NAME, transforms=[Gzip()])
    env.deliver(env.ref("x"), name="two")
    assert set(names(env)) == {"x.gz"}


@pytest.mark.parametrize("replaces", [True, False], ids=["posix-rename", "the old file is moved aside first"])
def test_delayed_rename_does_not_touch_what_a_newer_version_writes_under_its_final_name(
    ledger_table: Any, *, replaces: bool
) -> None:
    env = RulesEnvironment(ledger_table, DeliveryRules(name="{name}"), DATA)
    if not replaces:
        env.env.extensions = {}
        env.env.files["inbox/x"] = File(b"theirs")

    def is_due(asked: Asked) -> bool:
        return is_rename(asked) if replaces else asked.kind == Request.RENAME and asked.texts[0] == "inbox/x"

    env.env.scripts[0] = hanging = Hanging(is_due, env.env.disk)
    with pytest.raises(ConnectionLost if replaces else RequestRefused):
        env.deliver(env.ref("x"), name="one")

    def wakes_up(asked: Asked) -> None:
        if asked.kind == Request.WRITE:
            hanging.wakes_up()

    env.env.scripts[0] = wakes_up
    env.rules = DeliveryRules(name="{name}", temporary=FINAL_NAME)
    env.s3.objects["x"] = b"newer"
    env.deliver(env.ref("x", "0B"), name="two")
    assert env.env.files["inbox/x"] == b"newer"


def test_delayed_rename_of_a_companion_does_not_replace_one_that_is_written_under_its_final_name(
    ledger_table: Any,
) -> None:
    descriptor = Companion.document("{stem}.xml", "{event_time:%H:%M}", before=True)
    rules = DeliveryRules(name="{stem}.csv", companions=[descriptor])
    env = RulesEnvironment(ledger_table, rules, DATA)
    older = env.ref("x")
    env.env.scripts[0] = refusing_final_name("x.xml")
    with pytest.raises(RequestRefused):
        env.deliver(older, name="one")
    env.rules = dataclasses.replace(rules, temporary=FINAL_NAME)
    env.env.scripts[0] = hanging = Hanging(is_rename, env.env.disk)
    with pytest.raises(RenameUnanswered):
        env.deliver(older, name="two")
    newer = dataclasses.replace(env.ref("x", "0B"), event_time=rules_environment.EVENT_TIME + 3600)

    def wakes_up(asked: Asked) -> None:
        if asked.kind != Request.WRITE and env.env.files.get("inbox/x.xml") == b"10:30" and hanging.hung:
            hanging.wakes_up()
            hanging.hung.clear()

    env.env.scripts[0] = wakes_up
    env.deliver(newer, name="three")
    assert hanging.hung == []
    assert env.env.files["inbox/x.xml"] == b"10:30"


# --- a file of the partner's that was moved aside, and whose place is not taken then ---


def moved_aside(ledger_table: Any) -> RulesEnvironment:
    """The object x: the partner's file of its name was moved aside, and the next RENAME was not answered."""
    env = RulesEnvironment(ledger_table, DeliveryRules(name="{name}"), DATA)
    env.env.extensions = {}
    env.env.files["inbox/x"] = File(b"theirs")

    def script(asked: Asked) -> bytes | None:
        is_free = asked.kind == Request.RENAME and "inbox/x" not in env.env.files
        return NOTHING if is_free and asked.texts[1] == "inbox/x" else None

    env.env.scripts[0] = script
    with pytest.raises(ConnectionLost):
        env.deliver(env.ref("x"), name="one")
    env.env.scripts.clear()
    assert "x" not in names(env)
    env.rules = DeliveryRules(name="{name}_v2")
    return env


def test_old_file_gets_its_name_back_when_other_rules_give_the_object_another_one(ledger_table: Any) -> None:
    env = moved_aside(ledger_table)
    env.deliver(env.ref("x"), name="two")
    assert names(env) == {"x": b"theirs", "x_v2": b"one"}
    assert env.temporaries(env.ref("x")) == set()


def test_old_file_does_not_get_the_name_that_other_rules_give_the_object(ledger_table: Any) -> None:
    env = moved_aside(ledger_table)
    env.env.scripts[0] = refusing_final_name("x_v2")
    with pytest.raises(RequestRefused):
        env.deliver(env.ref("x"), name="two")
    assert names(env)["x"] == b"theirs"
    assert "x_v2" not in names(env)


def test_old_file_is_not_removed_for_a_newer_version_of_another_name(ledger_table: Any) -> None:
    env = moved_aside(ledger_table)
    newer = env.ref("x", "0B")
    env.deliver(newer, name="two")
    (aside,) = (path for path, data in env.env.files.items() if data == b"theirs")
    assert env.temporaries(newer) == {aside}


def test_old_file_gets_its_name_back_when_the_object_is_gone_and_its_name_has_changed(
    ledger_table: Any,
) -> None:
    env = moved_aside(ledger_table)
    ref = env.ref("x")
    del env.s3.objects["x"]
    with pytest.raises(AlreadyGone):
        env.deliver(ref, name="two")
    assert names(env) == {"x": b"theirs"}


ANNOUNCED = DeliveryRules(
    name="{name}.csv", companions=[Companion.document("{stem}.xml", "{sha256}", before=True)]
)
OTHER_ANNOUNCEMENTS = {
    "none": (dataclasses.replace(ANNOUNCED, companions=(), transforms=[Gzip()]), {"x.csv"}),
    "another name": (
        dataclasses.replace(ANNOUNCED, companions=[Companion.document("{stem}.ctl", "{bytes}", before=True)]),
        {"x.csv", "x.ctl"},
    ),
    "another name of the data": (dataclasses.replace(ANNOUNCED, name="{name}_2.csv"), {"x_2.csv", "x_2.xml"}),
}


@pytest.mark.parametrize("if_exists", [IfExists.REPLACE, IfExists.REFUSE])
@pytest.mark.parametrize(("changed", "left"), OTHER_ANNOUNCEMENTS.values(), ids=OTHER_ANNOUNCEMENTS)
def test_file_that_announces_the_data_goes_when_other_rules_put_other_data(
    ledger_table: Any, changed: DeliveryRules, left: set[str], if_exists: IfExists
) -> None:
    env = half_delivered(ledger_table, dataclasses.replace(ANNOUNCED, if_exists=if_exists), "x.csv")
    assert set(names(env)) >= {"x.xml"}
    env.rules = dataclasses.replace(changed, if_exists=if_exists)
    env.deliver(env.ref("x"), name="two")
    assert set(names(env)) == left


def test_file_of_the_partners_in_its_place_stays(ledger_table: Any) -> None:
    env = half_delivered(ledger_table, ANNOUNCED, "x.csv")
    env.env.files["inbox/x.xml"] = File(b"of the partner", modified=1)
    env.rules = OTHER_ANNOUNCEMENTS["none"][0]
    env.deliver(env.ref("x"), name="two")
    assert names(env)["x.xml"] == b"of the partner"


def test_announcement_is_put_again_when_the_former_rules_come_back(ledger_table: Any) -> None:
    env = half_delivered(ledger_table, ANNOUNCED, "x.csv")
    env.rules = OTHER_ANNOUNCEMENTS["none"][0]
    env.env.scripts[0] = refusing_final_name("x.csv")
    with pytest.raises(RequestRefused):
        env.deliver(env.ref("x"), name="two")
    env.env.scripts.clear()
    assert "x.xml" not in names(env)
    env.rules = ANNOUNCED
    env.deliver(env.ref("x"), name="three")
    assert names(env) == {"x.csv": b"one", "x.xml": hashlib.sha256(b"one").hexdigest().encode()}


def test_own_file_is_recognised_by_the_time_of_its_object_after_a_refused_rename(ledger_table: Any) -> None:
    env = half_delivered(ledger_table, DeliveryRules(name="{name}", preserve_time=True), "x")
    env.env.scripts[0] = env.cut_at_rename(done=True)
    with pytest.raises(RenameUnanswered):
        env.deliver(env.ref("x"), name="two")
    env.env.scripts.clear()
    env.deliver(env.ref("x"), name="three")
    assert env.item(env.ref("x"))["receipt"]["M"]["evidence"] == {"S": Evidence.SEEN_AFTER_RENAME}


def test_confirmed_object_stays_in_s3_as_it_is(ledger_table: Any) -> None:
    rules = dataclasses.replace(MARKED, after_delivery=AfterDelivery.tag({"delivered": "yes"}))
    env = half_delivered(ledger_table, rules, "x.done")
    item = env.ledger.item(env.ref("x"))
    env.ledger.dynamodb.update_item(
        TableName=env.ledger.table,
        Key={"pk": item["pk"], "sk": item["sk"]},
        UpdateExpression="SET #commit.evidence = :confirmed",
        ExpressionAttributeNames={"#commit": "commit"},
        ExpressionAttributeValues={":confirmed": {"S": "confirmed"}},
    )
    assert env.deliver(env.ref("x"), name="two").evidence is Evidence.CONFIRMED
    assert env.s3.tags.get("x", {}) == {}


@pytest.mark.parametrize("if_exists", [IfExists.REFUSE, IfExists.SKIP, IfExists.NEW_NAME])
def test_half_a_file_of_ours_under_the_final_name_does_not_count_as_existing(
    ledger_table: Any, if_exists: IfExists
) -> None:
    env = RulesEnvironment(ledger_table, DeliveryRules(name="{name}", temporary=FINAL_NAME), {"x": LARGE})
    env.env.scripts[0] = silent_after(1)
    with pytest.raises(ConnectionLost):
        env.deliver(env.ref("x"), name="one")
    env.env.scripts.clear()
    env.rules = DeliveryRules(name="{name}", if_exists=if_exists)
    env.deliver(env.ref("x"), name="two")
    assert names(env) == {"x": LARGE}


def test_plan_is_read_as_it_was_written() -> None:
    plan = dataclasses.replace(planned(MARKED, "in/a.csv"), mode=0o640, sequence="s", number=7)
    assert plan_from_text(plan_as_text(plan)) == plan
