"""Numbers of a sequence have no gap and no repeat, whatever becomes of the objects that take them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable

import pytest

from s3_to_sftp.errors import LedgerError, OutcomeUnknown
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.outcomes import AlreadyGone, SequenceHeld, Superseded
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.rules.sequence import Reset, Sequence
from s3_to_sftp.rules.sequence_counter import COUNTER, sequence_key
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.support.killable_function import KillableEnvironment, Life
from tests.support.ledger_environment import START
from tests.support.scripted_server import NOTHING, Asked, File, Script, is_rename, renamed, status
from tests.unit.partner_rules.test_crashes_by_rules import NUMBERED, assert_arrived_once, environment

pytestmark = pytest.mark.usefixtures("_one_thread")

FILES = 500
X, Y = ("x",), ("x", "y")


def refusing_name(path: str, code: int = Status.PERMISSION_DENIED) -> Script:
    """A partner that refuses to give this name."""

    def script(asked: Asked) -> bytes | None:
        return status(asked, code) if is_rename(asked) and renamed(asked)[1] == path else None

    return script


def invoke_with_refused_name(env: KillableEnvironment, ref: ObjectRef) -> None:
    """Let a function send the object, whose RENAME to the first numbered name is refused."""
    env.env.scripts[0] = refusing_name("inbox/PAY_0001.csv")
    env.invoke([ref])
    env.env.scripts.clear()


def silent_at_name(path: str) -> Script:
    """A partner that does not answer when this name is to be given, and does not give it."""

    def script(asked: Asked) -> bytes | None:
        return NOTHING if is_rename(asked) and renamed(asked)[1] == path else None

    return script


def data_names(env: KillableEnvironment) -> dict[str, bytes]:
    return {
        path.removeprefix("inbox/"): bytes(data)
        for path, data in env.disk.files.items()
        if path.endswith(".csv")
    }


def test_500_objects_killed_at_every_step_in_turn_have_the_numbers_from_1_to_500() -> None:
    env = environment(NUMBERED, tuple(f"{number:03d}" for number in range(FILES)))
    refs = env.refs()
    last = environment(NUMBERED, X).invoke(environment(NUMBERED, X).refs()).steps
    for number, ref in enumerate(refs):
        env.invoke([ref], dies_at=1 + number % last)
        env.settle([ref])
    assert_arrived_once(env, refs)


def another_function(env: KillableEnvironment, ref: ObjectRef, life: Life) -> None:
    """Let a second function deliver while the first one stands still."""
    env.live(Life(), [ref])
    env.life = life


def test_two_functions_at_a_time_never_use_a_number_twice() -> None:
    last = environment(NUMBERED, X).invoke(environment(NUMBERED, X).refs()).steps
    for step in range(1, last + 1):
        env = environment(NUMBERED, Y)
        x, y = env.refs()
        life = Life()

        life.meanwhile[step] = functools.partial(another_function, env, y, life)
        env.live(life, [x])
        assert isinstance(env.outcomes[y], SequenceHeld | Receipt)
        env.settle([x, y])
        assert_arrived_once(env, [x, y])


# --- an object that holds a number ends otherwise ---


def test_number_of_a_failed_object_waits_for_it_once_a_file_with_the_number_was_seen() -> None:
    env = environment(NUMBERED, Y)
    x, y = env.refs()
    env.env.scripts[0] = refusing_name("inbox/PAY_0001.csv")
    env.invoke([x])
    env.living_function().give_up(x, LedgerError("r", hint="h"))
    env.env.scripts.clear()
    env.invoke([y])
    assert isinstance(env.outcomes[y], SequenceHeld)
    env.settle([x, y])
    assert_arrived_once(env, [x, y])


def deleted_after(env: KillableEnvironment, x: ObjectRef, script: Script) -> None:
    """Let the partner remove the temporary file of an attempt that has failed, and somebody the object."""
    env.env.scripts[0] = script
    env.invoke([x])
    env.env.scripts.clear()
    for path in [path for path in env.disk.files if "partial" in path]:
        del env.disk.files[path]
    del env.s3.objects["x"]
    env.invoke([x])
    assert isinstance(env.outcomes[x], AlreadyGone), env.outcomes[x]


def test_number_of_an_object_that_is_gone_goes_to_the_next_one() -> None:
    env = environment(dataclasses.replace(NUMBERED, companions=()), Y)
    x, y = env.refs()
    deleted_after(env, x, refusing_name("inbox/PAY_0001.csv"))
    env.settle([y])
    assert data_names(env) == {"PAY_0001.csv": env.s3.objects["y"]}


def test_announcement_of_an_object_that_is_gone_is_withdrawn_and_its_number_goes_to_the_next_one() -> None:
    env = environment(NUMBERED, Y)
    x, y = env.refs()
    deleted_after(env, x, refusing_name("inbox/PAY_0001.csv"))
    assert env.disk.files == {}
    env.disk.landed.clear()
    env.settle([y])
    assert_arrived_once(env, [y])


def test_announcement_of_a_superseded_object_is_withdrawn() -> None:
    env = environment(NUMBERED, X)
    (old,) = env.refs()
    env.env.scripts[0] = refusing_name("inbox/PAY_0001.csv")
    env.invoke([old])
    env.env.scripts.clear()
    for path in [path for path in env.disk.files if "partial" in path]:
        del env.disk.files[path]
    env.s3.objects["x"] = b"newer bytes"
    env.invoke([old])
    assert isinstance(env.outcomes[old], Superseded), env.outcomes[old]
    assert env.disk.files == {}
    new = env.ref("x", "0B")
    env.settle([new])
    assert data_names(env) == {"PAY_0001.csv": b"newer bytes"}


def taken(env: KillableEnvironment) -> None:
    """The partner takes the announcement away."""
    del env.disk.files["inbox/PAY_0001.xml"]


def replaced(env: KillableEnvironment) -> None:
    """The partner has another file in its place."""
    env.disk.files["inbox/PAY_0001.xml"] = File(b"theirs", modified=5)


def kept(env: KillableEnvironment) -> None:
    """The partner lets nothing be removed."""
    env.env.scripts[0] = lambda asked: (
        status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.REMOVE else None
    )


@pytest.mark.parametrize("by_partner", [taken, replaced, kept])
def test_number_of_an_object_that_is_gone_is_not_used_again_once_its_announcement_may_be_read(
    by_partner: Callable[[KillableEnvironment], None],
) -> None:
    env = environment(NUMBERED, Y)
    x, y = env.refs()
    invoke_with_refused_name(env, x)
    for path in [path for path in env.disk.files if "partial" in path]:
        del env.disk.files[path]
    del env.s3.objects["x"]
    by_partner(env)
    before = dict(env.disk.files)
    env.invoke([x])
    assert isinstance(env.outcomes[x], AlreadyGone)
    assert env.disk.files == before
    env.env.scripts.clear()
    env.invoke([y])
    held = env.outcomes[y]
    assert isinstance(held, SequenceHeld)
    assert "is GONE" in held.reason
    assert "inbox/PAY_0001.xml" in held.reason
    assert "sequence default --set 2 --reason TEXT" in held.hint


@pytest.mark.parametrize("is_there_again", [False, True])
def test_withdrawal_that_is_killed_at_any_step_is_finished(*, is_there_again: bool) -> None:
    for step in itertools.count(1):
        env = environment(NUMBERED, Y)
        x, y = env.refs()
        env.env.scripts[0] = refusing_name("inbox/PAY_0001.csv")
        env.invoke([x])
        env.env.scripts.clear()
        for path in [path for path in env.disk.files if "partial" in path]:
            del env.disk.files[path]
        data = env.s3.objects.pop("x")
        if not env.invoke([x], dies_at=step).is_dead:
            break
        if is_there_again:
            env.s3.objects["x"] = data
        env.settle([x, y])
        delivered = [ref for ref in (x, y) if isinstance(env.outcomes[ref], Receipt)]
        assert y in delivered
        # An announcement that was withdrawn was there before. All else was put once.
        again = [landed for landed in env.disk.landed if landed.path == "inbox/PAY_0001.xml"][:-1]
        assert len(again) <= 1
        for landed in again:
            env.disk.landed.remove(landed)
        assert_arrived_once(env, delivered)


def test_number_is_not_used_again_where_the_file_that_may_have_it_was_started_over() -> None:
    env = environment(dataclasses.replace(NUMBERED, companions=()), Y)
    env.options["unknown_outcome"] = UnknownOutcome.RESEND
    x, y = env.refs()
    deleted_after(env, x, silent_at_name("inbox/PAY_0001.csv"))
    env.invoke([y])
    assert isinstance(env.outcomes[y], SequenceHeld)


def test_number_is_not_used_again_while_a_hanging_rename_may_give_it() -> None:
    env = environment(dataclasses.replace(NUMBERED, companions=()), Y)
    x, y = env.refs()
    env.env.scripts[0] = silent_at_name("inbox/PAY_0001.csv")
    env.invoke([x])

    def lost_before_the_commit(asked: Asked) -> bytes | None:
        return status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.SETSTAT else None

    env.rules = dataclasses.replace(env.rules, mode=0o640, require_attributes=True)
    env.env.scripts[0] = lost_before_the_commit
    env.invoke([x])
    env.living_function().give_up(x, LedgerError("r", hint="h"))
    env.env.scripts.clear()
    env.invoke([y])
    assert isinstance(env.outcomes[y], SequenceHeld)


def test_unknown_object_that_is_sent_again_keeps_its_number() -> None:
    env = environment(NUMBERED, Y)
    x, y = env.refs()
    env.env.scripts[0] = silent_at_name("inbox/PAY_0001.csv")
    env.invoke([x])
    env.env.scripts.clear()
    (temporary,) = (path for path in env.disk.files if "partial" in path)
    del env.disk.files[temporary]
    env.invoke([x, y])
    assert isinstance(env.outcomes[x], OutcomeUnknown)
    assert isinstance(env.outcomes[y], SequenceHeld)
    env.settle([dataclasses.replace(x, resend=True), y])
    assert data_names(env) == {"PAY_0001.csv": env.s3.objects["x"], "PAY_0002.csv": env.s3.objects["y"]}


def test_filter_that_leaves_the_holder_out_does_not_hold_its_number_after_a_kill_at_any_step() -> None:
    last = environment(NUMBERED, X).invoke(environment(NUMBERED, X).refs()).steps
    for step in range(1, last + 1):
        env = environment(NUMBERED, Y)
        x, y = env.refs()
        env.invoke([x], dies_at=step)
        env.rules = dataclasses.replace(NUMBERED, only=Filter(suffixes=["y"]))
        env.life = Life()
        unwanted = env.living_function().not_wanted([x, y])
        env.settle([ref for ref in (x, y) if ref not in unwanted])
        assert isinstance(env.outcomes[y], Receipt), step


def asked(ref: ObjectRef, action: Action) -> ObjectRef:
    return dataclasses.replace(ref, operator=OperatorRequest(action=action, id="r1"))


def test_delivered_object_that_is_sent_again_gets_a_new_number() -> None:
    env = environment(NUMBERED, Y)
    x, y = env.refs()
    env.settle([x, y])
    env.settle([asked(x, Action.RESEND)])
    x_data, y_data = env.s3.objects["x"], env.s3.objects["y"]
    assert data_names(env) == {"PAY_0001.csv": x_data, "PAY_0002.csv": y_data, "PAY_0003.csv": x_data}


# --- rules, directory, clock and counter change meanwhile ---

FAULTS: dict[str, Script] = {
    "descriptor refused": refusing_name("inbox/PAY_0001.xml"),
    "data refused": refusing_name("inbox/PAY_0001.csv"),
    "data unanswered": silent_at_name("inbox/PAY_0001.csv"),
    "marker refused": refusing_name("inbox/PAY_0001.csv.done"),
    "marker unanswered": silent_at_name("inbox/PAY_0001.csv.done"),
}


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_number_is_kept_when_a_deployment_changes_the_rules(fault: Script, size: int | None) -> None:
    env = environment(NUMBERED, Y)
    x, y = env.refs()
    x = dataclasses.replace(x, size=size and x.size)
    env.env.scripts[0] = fault
    env.invoke([x])
    env.env.scripts.clear()
    env.rules = dataclasses.replace(NUMBERED, companions=(*NUMBERED.companions, Companion.checksum("md5")))
    env.settle([x, y])
    assert data_names(env) == {"PAY_0001.csv": env.s3.objects["x"], "PAY_0002.csv": env.s3.objects["y"]}
    given = [path for path in env.disk.names_given if path.endswith(".csv")]
    assert given == ["inbox/PAY_0001.csv", "inbox/PAY_0002.csv"]
    assert "inbox/PAY_0002.csv.md5" in env.disk.files
    # What was there before the deployment is completed as it was begun.
    is_published = fault in (FAULTS["marker refused"], FAULTS["marker unanswered"])
    assert ("inbox/PAY_0001.csv.md5" in env.disk.files) is not is_published


def test_published_object_is_completed_by_the_rules_that_it_was_published_with() -> None:
    env = environment(NUMBERED, Y)
    x, y = env.refs()
    env.env.scripts[0] = refusing_name("inbox/PAY_0001.csv.done")
    env.invoke([x])
    env.env.scripts.clear()
    env.rules = dataclasses.replace(
        NUMBERED, name="NEW_{sequence}.csv", companions=(*NUMBERED.companions, Companion.checksum("md5"))
    )
    del env.s3.objects["x"]  # nothing of it has to be read again
    env.settle([x, y])
    assert_has(env, x, 1, "PAY_0001.csv", ".done")
    assert_has(env, y, 2, "NEW_2.csv", ".done", ".csv.md5")


def assert_has(env: KillableEnvironment, ref: ObjectRef, number: int, name: str, *ends: str) -> None:
    """Assert that the receipt says so, and that files of these ends stand beside the data."""
    receipt = env.version_item(ref)["receipt"]["M"]
    assert receipt["sequence"] == {"N": str(number)}
    assert receipt["remote_path"] == {"S": f"inbox/{name}"}
    assert {each["S"] for each in receipt["companions"]["L"]} <= set(env.disk.files)
    stem = name.removesuffix(".csv")
    for end in ends:
        assert f"inbox/{stem}{end}" in env.disk.files or f"inbox/{name}{end}" in env.disk.files


def test_object_whose_rules_name_another_sequence_does_not_block_the_first_one() -> None:
    env = environment(dataclasses.replace(NUMBERED, sequence=Sequence(name="a")), Y)
    x, y = env.refs()
    env.env.scripts[0] = refusing_name("inbox/PAY_0001.xml")
    env.invoke([x])
    env.env.scripts.clear()
    env.rules = dataclasses.replace(NUMBERED, sequence=Sequence(name="b"))
    env.settle([x])
    env.rules = dataclasses.replace(NUMBERED, sequence=Sequence(name="a"))
    env.settle([y])


OTHER_RULES = {
    "no sequence": DeliveryRules(name="NEW_{name}.csv"),
    "another sequence": DeliveryRules(name="NEW_{sequence}.csv", sequence=Sequence(name="new")),
}


@pytest.mark.parametrize("rules", OTHER_RULES.values(), ids=OTHER_RULES)
def test_number_of_an_object_that_other_rules_deliver_goes_to_the_next_one(rules: DeliveryRules) -> None:
    plain = dataclasses.replace(NUMBERED, companions=())
    env = environment(plain, Y)
    x, y = env.refs()
    invoke_with_refused_name(env, x)
    env.rules = rules
    env.settle([x])
    env.rules = plain
    env.settle([y])
    assert data_names(env)["PAY_0001.csv"] == env.s3.objects["y"]


def test_number_that_was_seen_is_not_used_again_when_other_rules_deliver_its_object() -> None:
    env = environment(NUMBERED, Y)
    x, y = env.refs()
    env.env.scripts[0] = refusing_name("inbox/PAY_0001.csv")
    env.invoke([x])
    assert "inbox/PAY_0001.xml" in env.disk.files
    env.env.scripts.clear()
    env.rules = DeliveryRules(name="NEW_{name}.csv")
    env.settle([x])
    env.rules = NUMBERED
    env.settle([y])
    assert data_names(env).keys() == {"NEW_x.csv", "PAY_0002.csv"}


@pytest.mark.parametrize("edit", ["deleted", "released", "raised"])
@pytest.mark.parametrize("fault", ["data unanswered", "marker refused"])
def test_object_gets_no_receipt_for_a_number_that_it_has_lost(edit: str, fault: str) -> None:
    env = environment(NUMBERED, X)
    (x,) = env.refs()
    env.env.scripts[0] = FAULTS[fault]
    env.invoke([x])
    env.env.scripts.clear()
    EDITS[edit](env)
    env.invoke([x])
    lost = env.outcomes[x]
    assert isinstance(lost, LedgerError), lost
    assert "number 1" in str(lost)
    assert env.version_item(x)["state"] != {"S": "DELIVERED"}


DAILY = dataclasses.replace(
    NUMBERED, name="PAY_{delivery_time:%Y%m%d}_{sequence:04d}.csv", sequence=Sequence(reset=Reset.DAY)
)


def test_clock_that_is_behind_another_one_at_midnight_uses_no_number_again() -> None:
    env = environment(DAILY, ("x", "y", "z"))
    x, y, z = env.refs()
    env.ledger.clock.now = START + 86_400 + 5
    env.live(Life(), [x])
    env.ledger.clock.now = START + 86_400 - 5
    env.live(Life(), [y])
    assert isinstance(env.outcomes[y], SequenceHeld)
    env.ledger.clock.now = START + 86_400 + 1
    env.live(Life(), [y])
    env.ledger.clock.now += 86_400
    env.live(Life(), [z])
    assert sorted(data_names(env)) == [
        "PAY_20261124_0001.csv",
        "PAY_20261124_0002.csv",
        "PAY_20261125_0001.csv",
    ]


def test_number_of_the_day_before_is_kept_after_midnight() -> None:
    env = environment(DAILY, Y)
    x, y = env.refs()
    env.ledger.clock.now = START + 86_400 - 5
    env.env.scripts[0] = refusing_name("inbox/PAY_20261123_0001.csv")
    env.live(Life(), [x])
    env.env.scripts.clear()
    env.settle([x, y])
    assert sorted(data_names(env)) == ["PAY_20261123_0001.csv", "PAY_20261124_0001.csv"]


@pytest.mark.parametrize("after", [Reset.NEVER, Reset.YEAR])
def test_sequence_that_is_reset_less_often_from_now_on_goes_on(after: Reset) -> None:
    env = environment(DAILY, Y)
    x, y = env.refs()
    env.settle([x])
    env.rules = dataclasses.replace(DAILY, sequence=Sequence(reset=after))
    env.settle([y])
    assert sorted(data_names(env)) == ["PAY_20261123_0001.csv", "PAY_20261123_0002.csv"]


def corrupt(env: KillableEnvironment, **values: dict[str, str] | None) -> None:
    """Edit the counter by hand; without values delete it."""
    at = (sequence_key("default"), COUNTER)
    if not values:
        del env.ledger.memory.items[at]
    for name, value in values.items():
        env.ledger.memory.items[at].pop(name, None)
        env.ledger.memory.items[at] |= {name: value} if value else {}


EDITS: dict[str, Callable[[KillableEnvironment], None]] = {
    "deleted": corrupt,
    "released": lambda env: corrupt(env, holder_pk=None, holder_sk=None),
    "lowered": lambda env: corrupt(env, number={"N": "0"}),
    "raised": lambda env: corrupt(env, number={"N": "7"}),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_object_that_the_partner_may_know_by_its_number_takes_no_other_one(
    edit: Callable[[KillableEnvironment], None],
) -> None:
    env = environment(NUMBERED, Y)
    x, _ = env.refs()
    invoke_with_refused_name(env, x)
    edit(env)
    env.invoke([x])
    assert isinstance(env.outcomes[x], LedgerError), env.outcomes[x]
    assert "number 1" in str(env.outcomes[x])
    assert "sequence" in str(env.outcomes[x])
    assert data_names(env) == {}


def test_deleted_counter_does_not_begin_again_in_silence() -> None:
    env = environment(NUMBERED, Y)
    x, y = env.refs()
    env.settle([x])
    corrupt(env)
    env.invoke([y])
    assert isinstance(env.outcomes[y], LedgerError)
    assert "deleted" in str(env.outcomes[y])
    assert data_names(env) == {"PAY_0001.csv": env.s3.objects["x"]}
