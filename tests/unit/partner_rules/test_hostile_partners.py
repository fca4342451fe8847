"""Partners take files away, scan them, hang, refuse, and wake up later: rules hold all the same."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Callable

import pytest

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import LIMITS, Request, Status
from tests.support.killable_function import KillableEnvironment, Landed, Life, is_final
from tests.support.scripted_server import Asked, Hanging, Script, is_rename, renamed, status
from tests.unit.partner_rules.test_crashes_by_rules import (
    EVERY,
    NAMED,
    NUMBERED,
    RULES,
    assert_arrived_once,
    companions_of,
    environment,
    steps_of,
)
from tests.unit.partner_rules.test_sequences import refusing_name, silent_at_name

pytestmark = pytest.mark.usefixtures("_one_thread")

SEEN = [path.removeprefix("inbox/") for path in companions_of("a.csv", b"")]


# --- files that are taken away ---


def collecting(env: KillableEnvironment, is_due: Callable[[str], bool]) -> None:
    """Let the partner take files as soon as they have their names."""

    def collect(landed: Landed) -> None:
        if is_due(landed.path):
            del env.disk.files[landed.path]

    env.disk.on_landing = collect


@pytest.mark.parametrize("end", [".csv", ".done", ".xml", ""])
@pytest.mark.parametrize("rules", [NUMBERED, NAMED], ids=["numbered", "named"])
def test_file_that_is_taken_at_once_is_not_sent_again_after_a_kill(rules: DeliveryRules, end: str) -> None:
    for step in range(1, steps_of(rules, KillableEnvironment.refs) + 1, EVERY):
        env = environment(rules)
        refs = env.refs()
        collecting(env, lambda path: path.endswith(end))
        env.invoke(refs, dies_at=step)
        for _ in range(4):
            env.invoke(refs)
        names = env.disk.names_given
        assert len(names) == len(set(names)), step
        ends = {env.version_item(ref)["state"]["S"] for ref in refs if ref in env.outcomes}
        assert ends <= {"DELIVERED", "UNKNOWN", "STAGED"}, step


# --- scanners ---


def test_scanner_that_denies_each_rename_once_delays_the_object_only() -> None:
    env = environment(NUMBERED)
    refs = env.refs()
    denied: set[str] = set()

    def script(request: Asked) -> bytes | None:
        if not is_rename(request) or renamed(request)[1] in denied:
            return None
        denied.add(renamed(request)[1])
        return status(request, Status.PERMISSION_DENIED)

    env.env.scripts[0] = script
    env.settle(refs)
    assert len(denied) == 8
    assert_arrived_once(env, refs)


# --- refused OPENs ---


@pytest.mark.parametrize("keys", [("a",), ("a", "b", "c")])
def test_data_is_not_sent_again_when_a_file_beside_it_cannot_be_created(keys: tuple[str, ...]) -> None:
    rules = DeliveryRules(temporary="{name}.partial", companions=[Companion.marker("{name}.done")])
    env = environment(rules, keys)

    def script(request: Asked) -> bytes | None:
        assert len(env.disk.landed) <= len(keys), "it is sent again and again"
        is_refused = request.kind == Request.OPEN and request.texts[0].endswith(".done.partial")
        return status(request, Status.PERMISSION_DENIED) if is_refused else None

    env.env.scripts[0] = script
    env.invoke(env.refs())
    assert {type(outcome) for outcome in env.outcomes.values()} == {RequestRefused}
    env.env.scripts.clear()
    env.settle(env.refs())
    final = [*keys, *(f"{key}.done" for key in keys)]
    assert sorted(env.disk.names_given) == sorted(f"inbox/{name}" for name in final)


# --- processes that hang ---


def hanging_at(env: KillableEnvironment, name: str) -> Hanging:
    hanging = Hanging(lambda request: is_rename(request) and renamed(request)[1] == f"inbox/{name}", env.disk)
    env.env.scripts[0] = hanging
    return hanging


def whole_files_only(env: KillableEnvironment, *contents: bytes) -> None:
    """Refuse a file under a final name that is no whole one of a version with these contents."""
    allowed = {
        path: {companions_of("a.csv", data)[path] for data in contents}
        for path in companions_of("a.csv", b"")
    }

    def check(landed: Landed) -> None:
        assert landed.data in allowed[landed.path], landed

    env.disk.on_landing = check


OLD, NEW = b"the bytes of a\n", b"newer and longer bytes\n"


def newer_version(env: KillableEnvironment) -> ObjectRef:
    env.s3.objects["a"] = NEW
    return env.ref("a", "0B")


@pytest.mark.parametrize("delivered_first", [False, True], ids=["at once", "after the old one is delivered"])
@pytest.mark.parametrize("temporary", ["{name}.partial", None, "{name}.{token}.partial"])
@pytest.mark.parametrize("name", SEEN)
def test_delayed_rename_never_replaces_a_newer_version_or_publishes_half_a_file(
    name: str, temporary: str | None, *, delivered_first: bool
) -> None:
    rules = dataclasses.replace(NAMED, temporary=temporary)
    step, is_over = 0, False
    while not is_over:
        step += EVERY
        env = environment(rules, ("a",))
        whole_files_only(env, OLD, NEW)
        old = env.ref("a")
        hanging = hanging_at(env, name)
        env.invoke([old])
        env.env.scripts.clear()
        if delivered_first:
            env.settle([old])
        new = newer_version(env)
        env.ledger.clock.now += 1000
        life = Life(meanwhile={step: hanging.wakes_up})
        env.live(life, [new])
        is_over = bool(life.meanwhile)
        if is_over:
            hanging.wakes_up()
        env.settle([new])
        files = {path: bytes(data) for path, data in env.disk.files.items() if is_final(path)}
        assert files == companions_of("a.csv", NEW), (step, env.disk.landed)


@pytest.mark.parametrize("name", SEEN)
def test_delayed_rename_does_no_harm_to_the_attempt_that_completes_the_object(name: str) -> None:
    step, is_over = 0, False
    while not is_over:
        step += 1
        env = environment(NAMED, ("a",))
        whole_files_only(env, OLD)
        (ref,) = env.refs()
        hanging = hanging_at(env, name)
        env.invoke([ref])
        env.env.scripts.clear()
        env.ledger.clock.now += 1000
        life = Life(meanwhile={step: hanging.wakes_up})
        env.live(life, [ref])
        is_over = bool(life.meanwhile)
        env.settle([ref])
        files = {path: bytes(data) for path, data in env.disk.files.items() if is_final(path)}
        assert files == companions_of("a.csv", OLD)
        names = env.disk.names_given
        assert len(names) == len(set(names)) == len(SEEN)


def test_name_that_a_delayed_rename_may_publish_is_used_again_after_a_day() -> None:
    env = environment(NAMED, ("a",))
    (old,) = env.refs()
    env.env.scripts[0] = silent_at_name("inbox/a.csv")
    env.invoke([old])
    env.env.scripts.clear()
    env.settle([old])
    assert env.names_unused() == {f"inbox/a.csv{end}.partial" for end in ("", ".done", ".sha256")}
    env.ledger.clock.now += 90_000
    env.settle([newer_version(env)])
    assert env.names_known() == env.names_unused() == set()


# --- servers ---


def azure(env: KillableEnvironment) -> Script:
    """No RENAME across directories, and WRITEs at the end of a file only."""

    def script(request: Asked) -> bytes | None:
        if is_rename(request):
            old, new = renamed(request)
            if posixpath.dirname(old) != posixpath.dirname(new):
                return status(request, Status.OP_UNSUPPORTED)
        return None

    return script


def drop_box(request: Asked) -> bytes | None:
    is_look = request.kind in (Request.STAT, Request.LSTAT, Request.FSTAT)
    return status(request, Status.PERMISSION_DENIED) if is_look else None


def without_setstat(request: Asked) -> bytes | None:
    return status(request, Status.OP_UNSUPPORTED) if request.kind == Request.SETSTAT else None


def one_handle(env: KillableEnvironment) -> Script:
    def script(request: Asked) -> bytes | None:
        is_open = request.kind in (Request.OPEN, Request.OPENDIR)
        busy = is_open and env.env.connection(0).server.open_handles
        return status(request, Status.FAILURE) if busy else None

    return script


def replacing(env: KillableEnvironment) -> Script:
    """A plain RENAME replaces."""

    def script(request: Asked) -> bytes | None:
        if request.kind == Request.RENAME and renamed(request)[1] in env.disk.files:
            del env.disk.files[renamed(request)[1]]
        return None

    return script


SERVERS: dict[str, Callable[[KillableEnvironment], Script]] = {
    "azure": azure,
    "drop box": lambda _env: drop_box,
    "no SETSTAT": lambda _env: without_setstat,
    "one handle": one_handle,
    "replacing": replacing,
}


@pytest.mark.parametrize("extensions", [None, {LIMITS: b"1"}], ids=["posix-rename", "plain"])
@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize("rules", [RULES["mode and time"], NAMED], ids=["numbered", "named"])
def test_rules_hold_at_any_server(
    rules: DeliveryRules, server: Callable[[KillableEnvironment], Script], extensions: dict[str, bytes] | None
) -> None:
    for size in (None, 1):
        env = environment(rules)
        refs = [dataclasses.replace(ref, size=size and ref.size) for ref in env.refs()]
        env.env.extensions = extensions
        env.env.scripts[0] = server(env)
        env.settle(refs)
        assert_arrived_once(env, refs)


def test_old_files_are_replaced_by_name_after_a_kill_at_a_server_without_posix_rename() -> None:
    def old_files() -> KillableEnvironment:
        env = environment(NAMED, ("a",))
        env.env.extensions = {LIMITS: b"1"}
        env.disk.files |= {f"inbox/{name}": bytearray(b"old") for name in SEEN}
        return env

    env = old_files()
    for step in range(1, env.invoke(env.refs()).steps + 1):
        env = old_files()
        env.invoke(env.refs(), dies_at=step)
        env.settle(env.refs())
        files = {path: bytes(data) for path, data in env.disk.files.items()}
        blockers = {name: b"" for name in env.names_known() if name in files}  # stay for a day
        assert files == companions_of("a.csv", OLD) | blockers, step


def test_other_server_gets_all_files() -> None:
    env = environment(NAMED, ("a",))
    (ref,) = env.refs()
    env.env.scripts[0] = refusing_name("inbox/a.csv")
    env.invoke([ref])
    env.env.scripts.clear()
    env.disk.files.clear()
    env.ledger.clock.now += 1000
    env.live(Life(), [ref], partner=env.env.client(login=Credentials(username="other", password="p")))
    files = {path: bytes(data) for path, data in env.disk.files.items()}
    assert files == companions_of("a.csv", OLD)


CHANGED_RULES = {
    "other bytes": dataclasses.replace(NAMED, transforms=(Gzip(),)),
    "numbered, other bytes": dataclasses.replace(NUMBERED, transforms=(Gzip(),)),
    "another name": dataclasses.replace(NAMED, name="{stem}_2.csv"),
    "other bytes, under a name of another form": dataclasses.replace(
        NAMED, transforms=(Gzip(),), temporary=None
    ),
}


@pytest.mark.parametrize("changed", CHANGED_RULES.values(), ids=CHANGED_RULES)
def test_data_is_given_a_name_once_when_a_rename_is_delayed_and_rules_are_changed(
    changed: DeliveryRules,
) -> None:
    """The function that finds the file of the former rules may die; the RENAME happens at any step."""
    first = NUMBERED if changed.sequence else NAMED
    name = "PAY_0001.csv" if changed.sequence else "a.csv"

    def after_hanging() -> tuple[KillableEnvironment, ObjectRef, Hanging]:
        env = environment(first, ("a",))
        (ref,) = env.refs()
        hanging = hanging_at(env, name)
        env.invoke([ref])
        env.env.scripts.clear()
        env.rules = changed
        env.ledger.clock.now += 1000
        return env, ref, hanging

    env, ref, _ = after_hanging()
    for step in range(1, env.live(Life(), [ref]).steps + 1, EVERY):
        for dies in (True, False):
            env, ref, hanging = after_hanging()
            env.live(Life(step if dies else 0, meanwhile={} if dies else {step: hanging.wakes_up}), [ref])
            if dies:
                hanging.wakes_up()
            env.settle([ref])
            data = [path for path in env.disk.names_given if path.endswith(".csv")]
            assert len(data) == 1, (step, dies, data)
