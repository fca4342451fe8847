"""Objects wait for the partner's windows and rate; what is begun is finished; no crash exceeds the rate."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_to_sftp.errors import Disposition
from s3_to_sftp.outcomes import CheckpointSaved, DeliveriesPaused, DropRateReached, OnHold, WindowClosed
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.drops import DROPS_PK, DROPS_SK, Drops
from s3_to_sftp.rules.sequence import Sequence as Numbers
from s3_to_sftp.rules.window import Rate, Window
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, Hold, hold_attributes
from s3_to_sftp.state.receipt import Receipt
from tests.support.killable_function import KillableEnvironment, Landed, Life
from tests.support.ledger_environment import LEASE_SECONDS, START
from tests.support.memory_table import MemoryTable
from tests.unit.partner_rules.test_sequences import refusing_name

pytestmark = pytest.mark.usefixtures("_one_thread")

HOUR = 3600.0
OFFICE = DeliveryRules(name="{stem}.csv", windows=[Window("Mon-Fri 06:00-18:00")], holidays=["2026-11-27"])
PERIOD = 1800
RARE = DeliveryRules(
    name="{stem}.csv",
    temporary="{name}.partial",
    max_drops=Rate(1, seconds=PERIOD),
    companions=[Companion.marker("{name}.start", before=True), Companion.checksum("sha256")],
)
PAIRS = DeliveryRules(name="{stem}_{sequence}.csv", sequence=Numbers(), max_drops=Rate(2, seconds=PERIOD))

NUMBERED_OFFICE = dataclasses.replace(OFFICE, name="{stem}_{sequence}.csv", sequence=Numbers())


def environment(rules: DeliveryRules, keys: str = "x") -> KillableEnvironment:
    return KillableEnvironment(rules, {key: f"the bytes of {key}\n".encode() for key in keys})


def held(env: KillableEnvironment, refs: Sequence[ObjectRef]) -> dict[str, OnHold]:
    return {ref.key: error for ref, error in env.pause(env.ledger.memory).held(refs).items()}


def hold(env: KillableEnvironment, **about: float) -> None:
    keys = {"pk": {"S": HOLD_PK}, "sk": {"S": HOLD_SK}}
    env.ledger.memory.items[HOLD_PK, HOLD_SK] = {**keys, **hold_attributes(Hold(since=START, **about))}


# --- windows ---


def test_object_waits_for_the_window_without_a_try_a_lease_or_a_connection() -> None:
    env = environment(OFFICE)
    refs = env.refs()
    env.ledger.clock.now = START + 3 * 24 * HOUR + 18 * HOUR  # Thursday evening, before a holiday
    error = held(env, refs)["x"]
    assert isinstance(error, WindowClosed)
    assert error.disposition is Disposition.WAIT
    assert error.retry_after == 84 * HOUR  # Monday, 06:00
    assert "which opens at 2026-11-30 06:00 UTC" in error.reason
    env.live(Life(), refs)
    assert isinstance(env.outcomes[refs[0]], WindowClosed)
    assert env.env.made == []
    assert env.version_item(refs[0]) == {}


def test_object_is_delivered_when_the_window_opens() -> None:
    env = environment(OFFICE)
    refs = env.refs()
    env.ledger.clock.now = START + 6 * HOUR
    assert held(env, refs) == {}
    env.live(Life(), refs)
    assert isinstance(env.outcomes[refs[0]], Receipt)


def test_window_that_closes_during_an_invocation_keeps_the_next_object_back() -> None:
    env = environment(OFFICE, "xy")
    x, y = env.refs()
    env.ledger.clock.now = START + 18 * HOUR - 1
    assert held(env, [x, y]) == {}

    def closes(_landed: Landed) -> None:
        env.ledger.clock.now += 2

    env.disk.on_landing = closes
    env.live(Life(), [x])
    env.live(Life(), [y])
    assert isinstance(env.outcomes[x], Receipt)
    assert isinstance(env.outcomes[y], WindowClosed)


def test_what_was_begun_in_the_window_is_finished_outside() -> None:
    env = KillableEnvironment(OFFICE, {"large": bytes(3_000_000)})
    ref = env.ref("large")
    env.ledger.clock.now = START + 12 * HOUR
    function = env.living_function()
    with pytest.raises(CheckpointSaved):
        function.deliver(ref, env.invocation("first", budget=1_500_000))
    env.ledger.clock.now = START + 20 * HOUR
    assert held(env, [ref]) == {}
    env.settle([ref])
    assert env.disk.files["inbox/large.csv"] == bytes(3_000_000)


def two_sources(of_x: DeliveryRules) -> tuple[KillableEnvironment, ObjectRef, ObjectRef]:
    """Return x of a source with these rules, and y of one that may send at any time: they share numbers."""
    env = environment(dataclasses.replace(of_x, windows=(), holidays=()), "xy")
    env.source_rules = {"x": of_x}
    env.sources = [SourceDirectory(bucket="bucket", prefix="x", rules="x"), SourceDirectory(bucket="bucket")]
    env.ledger.clock.now = START + 12 * HOUR
    return env, *env.refs()


def test_number_is_not_held_for_the_length_of_a_closed_window_after_a_kill_at_any_step() -> None:
    """What has a number is under way, although the ledger has no commit of it yet."""
    env, x, _ = two_sources(NUMBERED_OFFICE)
    for step in range(1, env.invoke([x]).steps + 1):
        env, x, y = two_sources(NUMBERED_OFFICE)
        env.invoke([x], dies_at=step)
        env.ledger.clock.now = START + 20 * HOUR
        has_number = "holder_pk" in env.counter()
        assert not (has_number and held(env, [x])), step
        env.settle([x, y] if has_number else [y])
        assert isinstance(env.outcomes[y], Receipt), step


def test_object_without_a_number_waits_for_its_window_however_it_died() -> None:
    env, x, y = two_sources(NUMBERED_OFFICE)
    env.invoke([x], dies_at=3)
    assert env.counter() == {}
    env.settle([y])
    env.ledger.clock.now = START + 20 * HOUR
    assert isinstance(held(env, [x])["x"], WindowClosed)


def test_operator_opens_a_closed_window_for_a_while() -> None:
    env = environment(OFFICE)
    refs = env.refs()
    hold(env, until=START + 1, open_until=START + 2 * HOUR)
    env.ledger.clock.now = START + HOUR
    assert held(env, refs) == {}
    env.live(Life(), refs)
    assert isinstance(env.outcomes[refs[0]], Receipt)
    env.ledger.clock.now = START + 2 * HOUR
    assert isinstance(held(env, refs)["x"], WindowClosed)


def test_pause_holds_in_an_open_window_too() -> None:
    env = environment(OFFICE)
    hold(env)
    env.ledger.clock.now = START + 12 * HOUR
    assert isinstance(held(env, env.refs())["x"], DeliveriesPaused)


# --- the rate of drops ---


def data_times(env: KillableEnvironment) -> list[float]:
    """Record when data files land from now on."""
    times: list[float] = []

    def landed(file: Landed) -> None:
        if file.path.endswith(".csv"):
            times.append(env.ledger.clock.now)

    env.disk.on_landing = landed
    return times


def assert_at_most(rate: Rate, times: Sequence[float]) -> None:
    for first, later in zip(times, times[rate.count :], strict=False):
        assert later - first >= rate.period, times


def test_second_object_waits_for_its_turn_and_is_not_sent_before() -> None:
    env = environment(RARE, "xy")
    x, y = env.refs()
    env.invoke([x, y])
    assert isinstance(env.outcomes[x], Receipt)
    reached = env.outcomes[y]
    assert isinstance(reached, DropRateReached)
    assert reached.retry_after == PERIOD
    assert env.version_item(y) == {}
    assert sorted(env.disk.files) == ["inbox/x.csv", "inbox/x.csv.sha256", "inbox/x.csv.start"]
    env.ledger.clock.now += PERIOD
    assert held(env, [y]) == {}


def test_release_by_hand_opens_windows_but_not_the_rate() -> None:
    env = environment(RARE, "xy")
    x, y = env.refs()
    env.invoke([x])
    hold(env, until=START, open_until=START + 1e6)
    assert isinstance(held(env, [y])["y"], DropRateReached)


@pytest.mark.parametrize("rules", [RARE, PAIRS], ids=["one", "two with numbers"])
def test_rate_is_kept_and_all_arrive_after_a_kill_at_any_step(rules: DeliveryRules) -> None:
    assert rules.max_drops is not None
    env = environment(rules)
    last = env.invoke(env.refs()).steps
    for step in range(1, last + 1):
        env = environment(rules, "xyz")
        times, refs = data_times(env), env.refs()
        env.invoke(refs, dies_at=step)
        env.settle(refs)
        assert len(times) == len(refs), step
        assert_at_most(rules.max_drops, times)


def test_two_functions_at_a_time_do_not_exceed_the_rate() -> None:
    assert RARE.max_drops is not None
    env = environment(RARE)
    last = env.invoke(env.refs()).steps
    for step in range(1, last + 1):
        env = environment(RARE, "xy")
        times, (x, y) = data_times(env), env.refs()
        life = Life()

        def another(env: KillableEnvironment = env, y: ObjectRef = y, life: Life = life) -> None:
            env.live(Life(), [y])
            env.life = life

        life.meanwhile[step] = functools.partial(another)
        env.live(life, [x])
        outcomes = {type(env.outcomes[ref]) for ref in (x, y)}
        assert outcomes == {Receipt, DropRateReached}, step
        env.settle([x, y])
        assert len(times) == 2
        assert_at_most(RARE.max_drops, times)


def test_object_that_lost_its_turn_waits_complete_and_without_a_connection() -> None:
    env = environment(RARE, "xy")
    x, y = env.refs()
    life = Life()

    def another() -> None:
        env.live(Life(), [y])
        env.life = life

    life.meanwhile[env_step_before_commit(x)] = another
    env.live(life, [x])
    assert isinstance(env.outcomes[x], DropRateReached)
    assert env.version_item(x)["state"] == {"S": "STAGED"}
    assert isinstance(held(env, [x])["x"], DropRateReached)


def env_step_before_commit(_ref: ObjectRef) -> int:
    """Return the step after which the data is at the partner, and its drop not counted."""
    env = environment(RARE)
    life = env.invoke(env.refs())
    return 2 * (life.asked.index("put") - 1)


def test_refused_rename_leaves_the_object_to_its_next_turn() -> None:
    env = environment(RARE)
    times, (x,) = data_times(env), env.refs()
    env.env.scripts[0] = refusing_name("inbox/x.csv", Status.FAILURE)
    env.invoke([x])
    env.env.scripts.clear()
    env.settle([x])
    assert isinstance(env.outcomes[x], Receipt)
    assert len(times) == 1


def test_slow_rename_counts_from_its_answer() -> None:
    env = environment(RARE, "xy")
    x, y = env.refs()

    def slow(landed: Landed) -> None:
        env.ledger.clock.now += 600 * landed.path.endswith(".csv")

    env.disk.on_landing = slow
    env.invoke([x])
    reached = held(env, [y])["y"]
    assert isinstance(reached, DropRateReached)
    assert reached.retry_after == PERIOD


def test_old_drops_are_forgotten() -> None:
    env = environment(RARE, "vwxyz")
    env.settle(env.refs())
    assert len(env.ledger.memory.items[DROPS_PK, DROPS_SK]["drops"]["L"]) == 1
    assert LEASE_SECONDS < PERIOD


class RivalTable(MemoryTable):
    """Others write to the item just before one in three writes."""

    def __init__(self) -> None:
        super().__init__()
        self.puts = 0

    def put(self, pk: str, sk: str, attributes: object, *, expected_revision: int) -> bool:
        self.puts += 1
        if self.puts % 3 == 0 and (item := self.items.get((pk, sk))):
            item["revision"] = {"N": str(int(item["revision"]["N"]) + 1)}
        return super().put(pk, sk, attributes, expected_revision=expected_revision)  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 300), min_size=1, max_size=60), st.integers(1, 4), st.integers(60, 600))
def test_no_period_has_more_drops_than_the_rate(pauses: list[float], count: int, period: int) -> None:
    env = environment(RARE)
    now = [START]
    drops = Drops(RivalTable(), clock=lambda: now[0], random=lambda: 0)
    times: list[float] = []
    for number, pause in enumerate(pauses):
        now[0] = round(now[0] + pause, 3)
        lease = env.ledger.lease(env.ref("x"), env.ledger.function(f"f{number}"), until=now[0] - 1)
        env.ledger.clock.now = now[0]
        reached = drops.wait(count=count, period=period)
        if reached is None:
            drops.reserve(lease, count=count, period=period)
            times.append(now[0])
        else:
            with pytest.raises(DropRateReached):
                drops.reserve(lease, count=count, period=period)
    for first, later in zip(times, times[count:], strict=False):
        assert later - first >= period - 0.002
