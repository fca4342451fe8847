"""From the event to what becomes of the object: functions die, partners misbehave, and rules are changed.

Hypothesis puts versions, lets functions deliver them at a partner with faults, and deploys other transforms,
companions, temporary names, filters, windows and after-actions in between. What happens is compared with what
is promised, at the moment when it happens.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from s3_to_sftp.rules.after_delivery import AfterAction, AfterDelivery
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.rules.window import Window
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.delivery_environment import crc_of
from tests.support.killable_function import Landed, Life
from tests.support.ledger_environment import LEASE_SECONDS
from tests.support.rename_faults import FAULTS, script_with
from tests.support.rules_lifecycle import (
    FIRST_KEY,
    SECOND_KEY,
    LifecycleEnvironment,
    Put,
    opened,
    seal_in_this_process,
    sealed,
)
from tests.support.scripted_server import Hanging

pytestmark = pytest.mark.usefixtures("_one_thread")

EXAMPLES = int(os.environ.get("LIFECYCLE_EXAMPLES", "100"))
"""A soak test sets a higher number, which also makes the examples random."""

KEYS = ("x", "y")
ENDS = (".xml", ".csv", ".csv.sha256", ".csv.done")
OPENS, CLOSES = 6, 18
NUMBERED = DeliveryRules(name="PAY_{sequence:04d}.csv", temporary="{name}.partial", sequence=Sequence())
NAMED = DeliveryRules(name="{stem}.csv", temporary="{name}.partial")
_DESCRIPTOR = Companion.document("{stem}.xml", "{sha256};{bytes}", before=True)
_SHA256, _DONE = Companion.checksum("sha256"), Companion.marker("{name}.done")
COMPANIONS = {
    "all": (_DESCRIPTOR, _SHA256, _DONE),
    "after": (_SHA256, _DONE),
    "before": (_DESCRIPTOR,),
    "none": (),
}
TRANSFORMS = {
    "none": (),
    "gzip": (Gzip(),),
    "sealed": sealed(to=FIRST_KEY),
    "sealed to another key": sealed(to=SECOND_KEY),
}
TEMPORARY = {"suffix": "{name}.partial", "default": None, "directory": "staging/{token}_{name}.partial"}
AFTER = {
    "keep": AfterDelivery.keep(),
    "tag": AfterDelivery.tag({"delivered": "yes"}),
    "move": AfterDelivery.move(prefix="delivered/"),
    "move elsewhere": AfterDelivery.move(prefix="archive/"),
    "delete": AfterDelivery.delete(),
}
ONLY = {"all": None, "not y": Filter(exclude=["y"]), "not small ones": Filter(min_bytes=12)}
WINDOWS = {"none": (), "by day": (Window(f"{OPENS:02}:00-{CLOSES}:00"),)}
_NAME = re.compile(r"inbox/(?:PAY_(\d{4})|[xy])(\.xml|\.csv|\.csv\.sha256|\.csv\.done)")
_ROUNDS = 12


class LifecycleModel(RuleBasedStateMachine):
    """Versions, functions, a ledger, a bucket, and a partner."""

    def __init__(self) -> None:
        super().__init__()
        self.hanging: list[Hanging] = []
        self.violations: list[str] = []
        self.collects = ""
        self.given: dict[str, list[tuple[Put, bytes]]] = {}
        """Final name of data -> what got it."""

    @initialize(
        is_numbered=st.booleans(),
        is_versioned=st.booleans(),
        companions=st.sampled_from(list(COMPANIONS)),
        transforms=st.sampled_from(list(TRANSFORMS)),
        after=st.sampled_from(list(AFTER)),
        windows=st.sampled_from(list(WINDOWS)),
    )
    def is_deployed_first(
        self,
        companions: str,
        transforms: str,
        after: str,
        windows: str,
        *,
        is_numbered: bool,
        is_versioned: bool,
    ) -> None:
        rules = replace(
            NUMBERED if is_numbered else NAMED,
            companions=COMPANIONS[companions],
            transforms=TRANSFORMS[transforms],
            after_delivery=AFTER[after],
            windows=WINDOWS[windows],
        )
        self.env = LifecycleEnvironment(rules, is_versioned=is_versioned)
        self.env.ledger.clock.now += OPENS * 3600
        self.env.disk.on_landing = self.recorded(self.check_landing)
        self.env.bucket.on_removal = self.recorded(self.check_removal)
        self.env.put("x", 20)
        self.env.put("y", 20, tells_size=False)
        self.env.put("x", 0)

    # What happens.

    @rule(key=st.sampled_from(KEYS), size=st.sampled_from((0, 20)), tells_size=st.booleans())
    def object_is_put(self, key: str, size: int, *, tells_size: bool) -> None:
        if len(self.env.versions) < 6:
            self.env.put(key, size, tells_size=tells_size)

    @rule(
        picked=st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True),
        dies_at=st.one_of(st.just(0), st.just(0), st.integers(1, 150)),
        fault=st.sampled_from(("", "", "full", *FAULTS)),
        end=st.sampled_from(ENDS),
        hours=st.sampled_from((0, 0, 5, 14)),
        is_duplicate=st.sampled_from((False, False, True)),
        is_s3_refusing=st.sampled_from((False, False, True)),
    )
    def messages_arrive(
        self,
        picked: list[int],
        dies_at: int,
        fault: str,
        end: str,
        hours: int,
        *,
        is_duplicate: bool,
        is_s3_refusing: bool,
    ) -> None:
        self.env.ledger.clock.now += hours * 3600
        there = [put.ref for put in self.env.versions] if is_duplicate else self.env.messages
        refs = [there[number] for number in picked if number < len(there)]
        if refs:
            self.env.env.scripts[0] = script_with(fault, end, self.env, self.hanging)
            self.env.bucket.refuses = is_s3_refusing
            self.let_function_take(refs, dies_at=dies_at)
            self.env.bucket.refuses = False
            self.env.env.scripts.clear()

    @rule(number=st.integers(0, 2))
    def message_arrives_while_all_is_well(self, number: int) -> None:
        if number < len(self.env.messages):
            self.let_function_take([self.env.messages[number]])

    def let_function_take(self, refs: list[ObjectRef], *, dies_at: int = 0) -> None:
        """Check that nothing begins while windows are closed."""
        self.env.ledger.clock.now += LEASE_SECONDS + 2
        new = [ref for ref in refs if not self.env.state_of(ref)]
        is_closed = self.is_closed()
        self.env.live(Life(dies_at), refs)
        assert not self.violations
        begun = {self.env.state_of(ref) for ref in new} - {"", "SKIPPED"}
        assert not is_closed or not begun, "it begins while windows are closed"

    def is_closed(self) -> bool:
        now, held = self.env.ledger.clock.now, self.env.held
        is_day = OPENS <= now % 86_400 // 3600 < CLOSES
        return held.is_in_force(now) or bool(
            self.env.rules.windows and not is_day and not held.opens_windows(now)
        )

    @rule(
        companions=st.sampled_from(list(COMPANIONS)),
        transforms=st.sampled_from(list(TRANSFORMS)),
        temporary=st.sampled_from(list(TEMPORARY)),
        after=st.sampled_from(list(AFTER)),
        only=st.sampled_from(list(ONLY)),
        windows=st.sampled_from(list(WINDOWS)),
    )
    def other_rules_are_deployed(
        self, companions: str, transforms: str, temporary: str, after: str, only: str, windows: str
    ) -> None:
        self.env.rules = replace(
            self.env.rules,
            companions=COMPANIONS[companions],
            transforms=TRANSFORMS[transforms],
            temporary=TEMPORARY[temporary],
            after_delivery=AFTER[after],
            only=ONLY[only],
            windows=WINDOWS[windows],
        )

    @rule(hours=st.integers(1, 8), is_pause=st.booleans())
    def operator_pauses_or_opens_windows(self, hours: int, *, is_pause: bool) -> None:
        now = self.env.ledger.clock.now
        until = now + hours * 3600
        if is_pause:
            self.env.hold(until=until)
        else:
            self.env.hold(until=now, open_until=until)

    @rule(end=st.sampled_from(("", *ENDS)), redrives=st.booleans())
    def partner_wakes_up_and_collects_from_now_on(self, end: str, *, redrives: bool) -> None:
        if self.hanging and self.hanging[0].hung:
            self.hanging.pop(0).wakes_up()
        self.collects = end
        if redrives:
            self.env.redrive()

    # What must hold when it happens.

    def recorded(self, check: Callable[..., None]) -> Callable[..., None]:
        """Keep what is wrong: a function may take what a check raises for an error of S3."""

        def checked(*about: object) -> None:
            try:
                check(*about)
            except AssertionError as wrong:
                self.violations.append(str(wrong))
                raise

        return checked

    def check_landing(self, landed: Landed) -> None:
        """Check that this file may have this name now."""
        match = _NAME.fullmatch(landed.path)
        assert match, landed.path
        number, end = match[1], match[2]
        if end == ".csv":
            put = self.env.put_with(opened(landed.data))
            if number:
                self.check_number(int(number), put)
            self.check_order(landed.path, put)
            self.given.setdefault(landed.path, []).append((put, landed.data))
        if end == ".csv.sha256" and landed.path.removesuffix(".sha256") in self.given:
            _, data = self.given[landed.path.removesuffix(".sha256")][-1]
            name = landed.path.removesuffix(".sha256").removeprefix("inbox/")
            assert landed.data == f"{_digest(data)}  {name}\n".encode(), f"{landed.path} is of other bytes"
        if end == self.collects:
            del self.env.disk.files[landed.path]

    def check_number(self, number: int, put: Put) -> None:
        path = f"inbox/PAY_{number:04}.csv"
        assert path not in self.given, f"{path} is given twice"
        owners = [owner for given in self.given.values() for owner, _ in given]
        assert put not in owners, f"{put.ref} has two numbers"
        if number > 1:
            before = self.given[f"inbox/PAY_{number - 1:04}.csv"][-1][0]
            assert self.env.state_of(before.ref) == "DELIVERED", f"{number} comes too early"

    def check_order(self, path: str, put: Put) -> None:
        for earlier, _ in self.given.get(path, []):
            place = self.env.versions.index
            assert place(earlier) < place(put), f"the past wins at {path}"

    def check_removal(self, key: str, data: bytes) -> None:
        """Check that this version may be deleted now."""
        put = self.env.put_with(data)
        assert key == put.ref.key, "a copy is deleted"
        assert self.env.state_of(put.ref) == "DELIVERED", "an object that is not delivered is deleted"
        after = self.env.version_item(put.ref)["after"]["M"]
        is_move = after["action"] == {"S": "move"}
        is_copied = is_move and data in self.bodies(after["key"]["S"])
        if not is_copied:  # a move is finished as it is recorded, whatever the rules say meanwhile
            assert self.env.rules.after_delivery.action is AfterAction.DELETE, (
                "an object is deleted against the rules, or is not copied"
            )

    def bodies(self, key: str) -> list[bytes]:
        return [version.data for version in self.env.bucket.stored.get(key, {}).values()]

    # What must hold in the end.

    def teardown(self) -> None:
        """Let healthy functions do what is left, and check what remains."""
        if not hasattr(self, "env"):
            return
        env = self.env
        self.collects = ""
        for hanging in self.hanging:
            if hanging.hung:
                hanging.wakes_up()
        env.rules = replace(env.rules, windows=(), only=None)
        env.ledger.clock.now += 24 * 3600
        for _ in range(_ROUNDS):
            env.redrive()
            if env.messages:
                env.invoke(list(env.messages))
        assert not self.violations
        states = [env.state_of(put.ref) for put in env.versions]
        if "UNKNOWN" in states or env.number_waits_for_a_person:
            return
        assert not env.messages, env.outcomes
        assert not env.dead, env.outcomes
        assert set(states) <= {"DELIVERED", "SUPERSEDED", "SKIPPED", ""}, states
        for put, state in zip(env.versions, states, strict=True):
            if state == "DELIVERED":
                self.check_receipt(put)
        self.check_what_stands()

    def check_receipt(self, put: Put) -> None:
        env, receipt = self.env, self.env.receipt_of(put.ref)
        sent = [data for owner, data in self.given[receipt["remote_path"]] if owner == put]
        assert len(sent) == 1, put.ref
        assert receipt["checksum"] == crc_of(put.data)
        assert receipt["bytes"] == str(len(sent[0]))
        if sent[0] != put.data:
            assert receipt["sent_sha256"] == _digest(sent[0])
            assert receipt["source_bytes"] == str(len(put.data))
        assert not env.has_action_left(put.ref), env.action_of(put.ref)
        self.check_copies(put)

    def check_copies(self, put: Put) -> None:
        """Check that an object is in one place, or that its record names the other one."""
        places = [key for key in self.env.bucket.stored if put.data in self.bodies(key)]
        after = self.env.version_item(put.ref).get("after", {"M": {}})["M"]
        is_told = "other_copy" in after or (after.get("state") == {"S": "kept"} and "etag" in after)
        assert len(places) <= 1 or is_told, (put.ref, places, after)

    def check_what_stands(self) -> None:
        env = self.env
        standing = {path: bytes(data) for path, data in env.disk.files.items()}
        assert env.names_known() == set()
        assert {path for path in standing if not _NAME.fullmatch(path)} <= env.names_unused()
        for path, data in standing.items():
            match = _NAME.fullmatch(path)
            if match and match[2] in (".xml", ".csv.sha256"):
                of = f"{path.removesuffix(match[2])}.csv"
                assert of in self.given, f"{path} stands alone"
                # With the name of the key, those of an older version stay when the rules no longer have any.
                if of in standing and (match[1] or path in self.companions_of(of)):
                    assert _digest(standing[of]).encode() in data, f"{path} is of other bytes than {of}"
        numbers = sorted(
            int(match[1]) for path in self.given if (match := _NAME.fullmatch(path)) and match[1]
        )
        assert numbers == list(range(1, len(numbers) + 1))
        assert "holder_pk" not in env.counter()

    def companions_of(self, path: str) -> list[str]:
        """What the receipt of the version that has a name says of the files beside it."""
        receipt = self.env.version_item(self.given[path][-1][0].ref)["receipt"]["M"]
        return [each["S"] for each in receipt.get("companions", {"L": []})["L"]]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_is_promised_holds_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    seal_in_this_process(monkeypatch)
    run_state_machine_as_test(
        LifecycleModel,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            derandomize=EXAMPLES == 100,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
