"""What stands under a final name, with retries, crashes, second versions and operators."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import NameTaken, OutcomeUnknown, RemotePathRefused, RuleRefused
from s3_to_sftp.operator_request import Action
from s3_to_sftp.outcomes import AlreadyDelivered, Skipped
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import FINAL_NAME, DeliveryRules
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.sftp.protocol import Request
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.state.receipt import Receipt
from tests.support.killable_function import KillableEnvironment
from tests.support.rules_environment import RulesEnvironment
from tests.support.scripted_server import NOTHING, Asked, File, ScriptedServer
from tests.unit.partner_rules.test_crashes_by_rules import EVERY, NAMED, companions_of, environment
from tests.unit.partner_rules.test_sequences import asked, data_names, refusing_name, silent_at_name

pytestmark = pytest.mark.usefixtures("_one_thread")

OLD, NEW = b"the bytes of a\n", b"newer and longer bytes\n"
THEIRS = b"theirs"
NEW_NAME = dataclasses.replace(NAMED, if_exists=IfExists.NEW_NAME, temporary="{name}.{token}.partial")
EXISTING = {
    IfExists.REFUSE: dataclasses.replace(NAMED, if_exists=IfExists.REFUSE),
    IfExists.SKIP: dataclasses.replace(NAMED, if_exists=IfExists.SKIP),
    IfExists.NEW_NAME: NEW_NAME,
}
DIRECT = DeliveryRules(
    name="{stem}.csv",
    temporary=FINAL_NAME,
    companions=[
        Companion.document("{name}.begin", "{name} comes\n", before=True),
        Companion.checksum("sha256"),
        Companion.marker("{name}.done"),
    ],
)


def files(env: KillableEnvironment) -> dict[str, bytes]:
    return {path.removeprefix("inbox/"): bytes(data) for path, data in env.disk.files.items()}


# --- the partner's own files, and ours ---


@pytest.mark.parametrize("name", companions_of("a.csv", b""))
@pytest.mark.parametrize("rules", EXISTING.values(), ids=EXISTING)
def test_file_of_the_partner_stays_as_it_is_after_a_kill_at_any_step(rules: DeliveryRules, name: str) -> None:
    def with_theirs() -> KillableEnvironment:
        env = environment(rules, ("a",))
        env.disk.files[name] = File(THEIRS, modified=5)
        return env

    env = with_theirs()
    for step in range(1, env.invoke(env.refs()).steps + 1, EVERY):
        env = with_theirs()
        (ref,) = env.refs()
        env.invoke([ref], dies_at=step)
        env.settle([ref])
        assert env.disk.files.pop(name) == THEIRS
        there = {f"inbox/{path}": data for path, data in files(env).items()}
        if rules.if_exists is IfExists.NEW_NAME:
            assert there == companions_of("a-2.csv", OLD), step
        else:
            assert there == {}, step
            assert isinstance(env.outcomes[ref], RuleRefused | Skipped)


@pytest.mark.parametrize("end", [".xml", ".csv", ".csv.sha256", ".csv.done"])
@pytest.mark.parametrize("rules", EXISTING.values(), ids=EXISTING)
def test_own_file_of_an_unanswered_rename_does_not_count_as_existing(rules: DeliveryRules, end: str) -> None:
    for done in (True, False):
        env = environment(rules, ("a",))
        (ref,) = env.refs()
        silent = silent_at_name(f"inbox/a{end}")

        def script(request: Asked) -> bytes | None:
            if silent(request) == NOTHING and done:  # noqa: B023 - called in this turn
                env.env.connection(0).server.healthy(request)  # noqa: B023
            return silent(request)  # noqa: B023

        env.env.scripts[0] = script
        env.invoke([ref])
        env.env.scripts.clear()
        env.settle([ref])
        assert {f"inbox/{path}": data for path, data in files(env).items()} == companions_of("a.csv", OLD)


def test_object_that_is_unknown_and_sent_again_does_not_stumble_over_its_own_descriptor() -> None:
    env = environment(EXISTING[IfExists.REFUSE], ("a",))
    (ref,) = env.refs()
    env.env.scripts[0] = silent_at_name("inbox/a.csv")
    env.invoke([ref])
    env.env.scripts.clear()
    del env.disk.files["inbox/a.csv.partial"]
    env.invoke([ref])
    assert isinstance(env.outcomes[ref], OutcomeUnknown)
    env.settle([dataclasses.replace(ref, resend=True)])
    assert {f"inbox/{path}": data for path, data in files(env).items()} == companions_of("a.csv", OLD)


def test_refused_object_is_completed_once_the_partner_has_removed_the_file() -> None:
    env = environment(EXISTING[IfExists.REFUSE], ("a",))
    (ref,) = env.refs()
    env.env.scripts[0] = silent_at_name("inbox/a.csv")
    env.invoke([ref])  # the file may have its name
    env.env.scripts.clear()
    env.disk.files["inbox/a.csv"] = File(THEIRS, modified=5)
    env.invoke([ref])
    assert isinstance(env.outcomes[ref], RuleRefused)
    del env.disk.files["inbox/a.csv"]
    env.settle([ref])
    assert {f"inbox/{path}": data for path, data in files(env).items()} == companions_of("a.csv", OLD)


# --- second versions and operators ---


@pytest.mark.parametrize("rules", EXISTING.values(), ids=EXISTING)
def test_second_version_meets_the_first_one(rules: DeliveryRules) -> None:
    env = environment(rules, ("a",))
    env.settle(env.refs())
    env.s3.objects["a"] = NEW
    new = env.ref("a", "0B")
    env.settle([new])
    there = {f"inbox/{path}": data for path, data in files(env).items()}
    more = companions_of("a-2.csv", NEW) if rules.if_exists is IfExists.NEW_NAME else {}
    assert there == companions_of("a.csv", OLD) | more
    is_skip = rules.if_exists is IfExists.SKIP
    wanted = Receipt if more else Skipped if is_skip else RuleRefused
    assert isinstance(env.outcomes[new], wanted)


def test_skipped_object_is_delivered_when_an_operator_asks_for_it_again() -> None:
    env = environment(EXISTING[IfExists.SKIP], ("a",))
    (ref,) = env.refs()
    env.disk.files["inbox/a.csv"] = File(THEIRS, modified=5)
    env.settle([ref])
    del env.disk.files["inbox/a.csv"]
    env.settle([asked(ref, Action.RESEND)])
    assert {f"inbox/{path}": data for path, data in files(env).items()} == companions_of("a.csv", OLD)


@pytest.mark.parametrize("if_exists", [IfExists.REFUSE, IfExists.SKIP])
@pytest.mark.parametrize("rules", [NAMED, DIRECT], ids=["renamed", "direct"])
def test_delivered_object_that_still_stands_is_sent_again_on_demand_after_a_kill_at_any_step(
    rules: DeliveryRules, if_exists: IfExists
) -> None:
    rules = dataclasses.replace(rules, if_exists=if_exists)
    env = environment(rules, ("a",))
    (ref,) = env.refs()
    env.settle([ref])
    there = files(env)
    again = asked(ref, Action.RESEND)
    for step in range(1, env.invoke([again]).steps + 1, EVERY):
        env = environment(rules, ("a",))
        env.settle([ref])
        given = len(env.disk.landed)
        env.invoke([again], dies_at=step)
        env.settle([again])
        assert isinstance(env.outcomes[again], Receipt | AlreadyDelivered), step
        assert env.version_item(ref)["state"] == {"S": "DELIVERED"}, step
        assert len(env.version_item(ref)["earlier_receipts"]["L"]) == 1, step
        assert files(env) == there, step
        assert rules.is_direct or len(env.disk.landed) > given, step


@pytest.mark.parametrize("name", ["inbox/a.csv", "inbox/a.csv.done"])
def test_file_of_another_size_is_not_taken_for_our_own_when_an_object_is_sent_again(name: str) -> None:
    env = environment(EXISTING[IfExists.REFUSE], ("a",))
    (ref,) = env.refs()
    env.settle([ref])
    env.disk.files[name] = File(THEIRS + OLD, modified=5)
    env.settle([asked(ref, Action.RESEND)])
    assert isinstance(env.outcomes[asked(ref, Action.RESEND)], RuleRefused)
    assert env.disk.files[name] == THEIRS + OLD


# --- files that are written under their final names ---


@pytest.mark.parametrize("if_exists", [IfExists.REPLACE, IfExists.REFUSE, IfExists.SKIP])
def test_file_under_its_final_name_is_complete_after_a_kill_at_any_step(if_exists: IfExists) -> None:
    rules = dataclasses.replace(DIRECT, if_exists=if_exists)
    env = environment(rules, ("a",))
    for step in range(1, env.invoke(env.refs()).steps + 1):
        env = environment(rules, ("a",))
        (ref,) = env.refs()
        env.invoke([ref], dies_at=step)
        if env.version_item(ref).get("state") == {"S": "DELIVERED"}:
            assert files(env)["a.csv"] == OLD, step
        env.settle([ref])
        there = companions_of("a.csv", OLD)
        there["inbox/a.csv.begin"] = b"a.csv comes\n"
        del there["inbox/a.xml"]
        assert {f"inbox/{path}": data for path, data in files(env).items()} == there, step
        assert env.names_known() == set(), step


@pytest.mark.parametrize("if_exists", [IfExists.REFUSE, IfExists.SKIP])
def test_file_of_the_partner_is_never_written_to_after_a_kill_at_any_step(if_exists: IfExists) -> None:
    rules = dataclasses.replace(DIRECT, if_exists=if_exists)

    def with_theirs() -> KillableEnvironment:
        env = environment(rules, ("a",))
        env.disk.files["inbox/a.csv"] = File(THEIRS, modified=5)
        return env

    env = with_theirs()
    for step in range(1, env.invoke(env.refs()).steps + 1):
        env = with_theirs()
        (ref,) = env.refs()
        env.invoke([ref], dies_at=step)
        env.settle([ref])
        assert files(env) == {"a.csv": THEIRS}, step
        assert isinstance(env.outcomes[ref], RuleRefused | Skipped)


def test_delivery_is_not_claimed_before_the_close_of_a_file_under_its_final_name_is_answered() -> None:
    env = environment(dataclasses.replace(DIRECT, companions=()), ("a",))
    (ref,) = env.refs()
    env.env.scripts[0] = lambda request: NOTHING if request.kind == Request.CLOSE else None
    env.invoke([ref])
    assert not isinstance(env.outcomes[ref], Receipt)
    assert env.version_item(ref)["state"] != {"S": "DELIVERED"}
    env.env.scripts.clear()
    env.settle([ref])
    assert files(env) == {"a.csv": OLD}


# --- names that are claimed ---


def test_number_that_is_given_up_takes_its_names_along() -> None:
    rules = DeliveryRules(
        name="PAY_{sequence:04d}.csv", sequence=Sequence(), companions=[Companion.marker("{stem}.done")]
    )
    env = environment(rules, ("x", "y"))
    x, y = env.refs()
    env.env.scripts[0] = refusing_name("inbox/PAY_0001.csv")
    env.invoke([x])
    env.living_function().give_up(x, RuleRefused("name", "r", value="v", hint="h"))
    env.env.scripts.clear()
    env.settle([y])
    assert not isinstance(env.outcomes[y], NameTaken)
    env.settle([x])
    assert data_names(env) == {"PAY_0001.csv": env.s3.objects["y"], "PAY_0002.csv": env.s3.objects["x"]}


class Windows(ScriptedServer):
    """Says that it runs on Windows."""

    def session(self, expected: tuple[str, ...] | None = None) -> SftpSession:
        session = super().session(expected)
        session.is_windows = True
        return session


def test_companion_that_the_server_could_not_keep_is_refused_before_the_data_is_published(
    ledger_table: Any,
) -> None:
    rules = DeliveryRules(companions=[Companion.marker("{name}.")])
    env = RulesEnvironment(ledger_table, rules, {"a": OLD})
    env.env.kind = Windows
    with pytest.raises(RemotePathRefused, match="Windows"):
        env.deliver(env.ref())
    assert env.env.files == {}
