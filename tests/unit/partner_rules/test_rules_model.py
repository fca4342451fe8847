"""Functions with rules die, partners refuse, hang, wake up and collect: numbers, order and bytes stay right.

Hypothesis lets functions deliver numbered objects with companions at a partner with faults. Each file that
gets a final name is compared with what the rules allow at that moment.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.rules.window import Rate
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.killable_function import KillableEnvironment, Landed
from tests.support.rename_faults import FAULTS, script_with
from tests.support.scripted_server import Hanging
from tests.unit.partner_rules.test_crashes_by_rules import NUMBERED, environment

EXAMPLES = int(os.environ.get("RULES_MODEL_EXAMPLES", "100"))
"""A soak test sets a higher number, which also makes the examples random."""

KEYS = ("x", "y", "z")
ENDS = (".xml", ".csv", ".csv.sha256", ".csv.done")
_NAME = re.compile(r"inbox/PAY_(\d{4})(\.xml|\.csv|\.csv\.sha256|\.csv\.done)")


class RulesModel(RuleBasedStateMachine):
    """Objects, functions, a ledger, and a partner.

    Attributes:
        partner: Its rules.
        rounds: So many healthy functions deliver everything.
    """

    partner = NUMBERED
    rounds = 4

    def __init__(self) -> None:
        super().__init__()
        self.env: KillableEnvironment = environment(self.partner, KEYS)
        self.env.disk.on_landing = self.check
        self.refs = {key: self.env.ref(key) for key in KEYS}
        self.landed: dict[int, set[str]] = {}
        self.owners: dict[int, str] = {}
        self.hanging: list[Hanging] = []
        self.collects = ""

    def check(self, landed: Landed) -> None:
        """Check that this file may have this name now."""
        match = _NAME.fullmatch(landed.path)
        assert match, landed.path
        number, end = int(match[1]), match[2]
        there = self.landed.setdefault(number, set())
        assert end not in there, f"{landed.path} is given twice"
        assert there == set(ENDS[: ENDS.index(end)]), f"{landed.path} comes out of order"
        assert number == 1 or len(self.landed.get(number - 1, ())) == len(ENDS), f"{number} comes too early"
        there.add(end)
        if end == ".xml":
            self.owners[number] = next(
                key for key, data in self.env.s3.objects.items() if _digest(data).encode() in landed.data
            )
        data = self.env.s3.objects[self.owners[number]]
        checksum = f"{_digest(data)}  PAY_{match[1]}.csv\n".encode()
        wanted = {".csv": data, ".csv.done": b"", ".csv.sha256": checksum}
        assert landed.data == wanted.get(end, landed.data), f"{landed.path} has other bytes"
        assert len(set(self.owners.values())) == len(self.owners), "an object has two numbers"
        if end == self.collects:
            del self.env.disk.files[landed.path]

    @rule(
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True),
        dies_at=st.one_of(st.just(0), st.just(0), st.integers(1, 120)),
        fault=st.sampled_from(("", *FAULTS)),
        end=st.sampled_from(ENDS),
    )
    def events_arrive(self, keys: list[str], dies_at: int, fault: str, end: str) -> None:
        self.env.env.scripts[0] = script_with(fault, end, self.env, self.hanging)
        self.env.invoke([self.refs[key] for key in keys], dies_at=dies_at)
        self.env.env.scripts.clear()

    @rule()
    def a_process_at_the_partner_wakes_up(self) -> None:
        if self.hanging and self.hanging[0].hung:
            self.hanging.pop(0).wakes_up()

    @rule(end=st.sampled_from(("", *ENDS)))
    def partner_collects_from_now_on(self, end: str) -> None:
        self.collects = end

    @rule(key=st.sampled_from(KEYS))
    def is_dead_lettered(self, key: str) -> None:
        if self.state_of(self.refs[key]) in ("SENDING", "STAGED", "COMMITTING"):
            self.env.ledger.clock.now += 1000
            self.env.ledger.function().record_outcome(
                self.refs[key], state="FAILED", reason="r", hint="h", error=LedgerError("r", hint="h")
            )

    def state_of(self, ref: ObjectRef) -> str:
        return str(self.env.version_item(ref).get("state", {}).get("S", ""))

    def teardown(self) -> None:
        """Check that healthy functions deliver what nobody has to ask the partner about."""
        for _ in range(self.rounds):
            self.env.invoke(list(self.refs.values()))
        states = [self.state_of(ref) for ref in self.refs.values()]
        if "UNKNOWN" not in states:
            assert states == ["DELIVERED"] * len(KEYS), self.env.outcomes
            assert sorted(self.owners) == [1, 2, 3]
        else:  # the others wait for it
            assert states.count("UNKNOWN") == 1, states


class RatedModel(RulesModel):
    """The same with a rate of drops."""

    partner = replace(NUMBERED, max_drops=Rate(1, minutes=20))
    rounds = 12

    def __init__(self) -> None:
        super().__init__()
        self.drops: list[float] = []

    def check(self, landed: Landed) -> None:
        super().check(landed)
        if not landed.path.endswith(".csv"):
            return
        self.drops.append(self.env.ledger.clock.now)
        # A RENAME that hangs at the partner happens when it likes.
        if len(self.drops) > 1 and not self.hanging:
            assert self.drops[-1] - self.drops[-2] >= 1200, "the partner gets a file too early"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("model", [RulesModel, RatedModel])
def test_numbers_order_and_bytes_are_right_whatever_happens(model: type[RulesModel]) -> None:
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=12,
            deadline=None,
            derandomize=EXAMPLES == 100,
            suppress_health_check=list(HealthCheck),
        ),
    )
