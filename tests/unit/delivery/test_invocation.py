"""One invocation: the circuit breaker opens where it must, and each party is told once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from s3_to_sftp.credentials import SecretCredentials
from s3_to_sftp.delivery.invocation import InvocationRunner
from s3_to_sftp.errors import (
    AlreadyDelivered,
    AlreadyGone,
    CheckpointSaved,
    CircuitOpen,
    ConnectionLost,
    CredentialsError,
    DeliveriesPaused,
    DeliveryError,
    LoginRefused,
    PartnerRefusesWrites,
    PartnerUnreachable,
    RequestRefused,
    Superseded,
)
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp import open_files
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.ssh.connect import Timeouts
from s3_to_sftp.state.circuit_breaker import Opened, Recovered
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, Hold, hold_attributes
from s3_to_sftp.state.pause import DynamoPause
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.telemetry import NullTelemetry
from tests.support.delivery_environment import DeliveryEnvironment, crc_of
from tests.support.ledger_environment import TABLE, create_table, raising
from tests.support.scripted_server import Asked, refusing, silent_at, status
from tests.support.sftp_environment import SERVER

DOWN = PartnerUnreachable("down.", hint="wait.")
NO_LOGIN = LoginRefused("no.", hint="fix it.")
CANARY = "s3cret-canary"


class Secret:
    """A secret that a person can change.

    Attributes:
        reads: How often it was read.
    """

    def __init__(self) -> None:
        self.reads = 0
        self.version = 1
        self.text = json.dumps({"username": "u", "password": CANARY})

    def change(self, text: str | None = None) -> None:
        self.version += 1
        self.text = text or json.dumps({"username": "u", "password": f"{CANARY}-{self.version}"})

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        self.reads += 1
        return {"SecretString": self.text, "VersionId": f"version-{self.version}"}


class Listener(NullPublisher):
    """Hears what is reported and announced."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.heard if isinstance(one, kind)]

    def completed(self, receipt: Receipt) -> None:
        self.heard.append(receipt)

    def superseded(self, ref: ObjectRef, error: DeliveryError) -> None:
        self.heard.append((ref, error))

    def gone(self, ref: ObjectRef, error: DeliveryError) -> None:
        self.heard.append(("gone", ref, error))

    def unavailable(self, opened: Opened) -> None:
        self.heard.append(opened)

    def recovered(self, recovered: Recovered) -> None:
        self.heard.append(recovered)


class Reports(NullTelemetry):
    """What was reported of each object."""

    def __init__(self) -> None:
        self.of: list[tuple[str, Receipt | Exception]] = []
        self.breaker_open: list[bool] = []
        self.paused_for: list[float] = []

    def delivered(self, receipt: Receipt) -> None:
        self.of.append((receipt.ref.key, receipt))

    def not_delivered(self, error: Exception, ref: ObjectRef) -> None:
        self.of.append((ref.key, error))

    def circuit_breaker(self, *, is_open: bool) -> None:
        self.breaker_open.append(is_open)

    def paused(self, *, age: float) -> None:
        self.paused_for.append(age)


class InvocationEnvironment:
    """A partner, a secret and a breaker that many functions share."""

    def __init__(self, dynamodb: Any) -> None:
        self.dynamodb = dynamodb
        self.harness = DeliveryEnvironment(dynamodb, {"a": b"A", "b": b"B"})
        self.clock = self.harness.ledger.clock
        self.secret = Secret()
        self.listener = Listener()
        self.reports = Reports()
        self.ended = 0

    def function(self) -> InvocationRunner:
        credentials = SecretCredentials(secret_arn="arn", client=self.secret)
        partner = SftpClient(SERVER, credentials, timeouts=Timeouts(), connect=self.harness.env.connect)
        return InvocationRunner(
            server=SERVER,
            credentials=credentials,
            delivery=self.harness.function(partner=partner),
            breaker=DynamoCircuitBreaker(
                self.harness.ledger.dynamodb, TABLE, str(SERVER), clock=self.clock, random=lambda: 0
            ),
            pause=DynamoPause(self.harness.ledger.dynamodb, TABLE, clock=self.clock, random=lambda: 0),
            publisher=self.listener,
            telemetry=self.reports,
            end_of_invocation=self._end,
        )

    def _end(self) -> None:
        self.ended += 1

    def invoke(
        self, *keys: str, function: InvocationRunner | None = None, budget: int | None = None
    ) -> dict[str, Exception]:
        refs = [self.harness.ref(key) for key in keys or self.harness.s3.objects]
        errors = (function or self.function()).deliver(refs, self.harness.invocation(budget=budget))
        return {ref.key: error for ref, error in errors.items()}

    @property
    def tried(self) -> int:
        """Connections that were asked for."""
        return self.harness.env.tried[0]

    def breaks(self, error: Exception) -> None:
        self.harness.env.before_connect[0] = raising(error)

    def is_fixed(self) -> None:
        self.harness.env.before_connect.clear()

    def pauses(self, *, until: float | None = None) -> None:
        """Pause deliveries, for so many seconds."""
        hold = Hold(since=self.clock.now, until=until and self.clock.now + until, reason="maintenance")
        keys = {"pk": {"S": HOLD_PK}, "sk": {"S": HOLD_SK}}
        self.dynamodb.put_item(TableName=TABLE, Item={**keys, **hold_attributes(hold)})


@pytest.fixture
def env(dynamodb: Any) -> Iterator[InvocationEnvironment]:
    create_table(dynamodb)
    yield InvocationEnvironment(dynamodb)
    dynamodb.delete_table(TableName=TABLE)


def kinds(errors: dict[str, Exception]) -> dict[str, type]:
    return {key: type(error) for key, error in errors.items()}


# --- what is told ---


def test_delivered_objects_are_no_errors_and_are_reported(env: InvocationEnvironment) -> None:
    assert env.invoke() == {}
    assert sorted(key for key, _ in env.reports.of) == ["a", "b"]
    assert {type(outcome) for _, outcome in env.reports.of} == {Receipt}


def test_one_bad_object_never_costs_the_others(env: InvocationEnvironment) -> None:
    env.harness.env.scripts[0] = refusing(Request.WRITE, number=1)
    errors = env.invoke()
    assert len(errors) == 1
    assert sorted(type(outcome).__name__ for _, outcome in env.reports.of) == ["Receipt", "RequestRefused"]


def test_delivery_is_announced_with_all_that_proves_it(env: InvocationEnvironment) -> None:
    env.invoke("a")
    (told,) = env.listener.heard
    assert told == env.reports.of[-1][1], "what is announced is what was reported"
    assert told.ref == env.harness.ref("a")
    assert (told.remote_path, told.size, told.checksum) == ("inbox/a", 1, crc_of(b"A"))
    assert (told.attempt, told.host_key_fingerprint) == (1, "SHA256:abc")


def test_objects_that_are_gone_are_announced_and_duplicates_are_not(env: InvocationEnvironment) -> None:
    env.invoke("a")
    env.listener.heard.clear()
    gone = env.harness.ref("b")
    del env.harness.s3.objects["b"]
    errors = env.function().deliver([env.harness.ref("a"), gone], env.harness.invocation())
    assert sorted(type(error).__name__ for error in errors.values()) == ["AlreadyDelivered", "AlreadyGone"]
    assert env.listener.heard == [("gone", gone, errors[gone])]


def test_superseded_object_is_announced(env: InvocationEnvironment) -> None:
    newer = dataclasses.replace(env.harness.ref("a"), sequencer="0B")
    env.function().deliver([newer], env.harness.invocation())
    env.listener.heard.clear()
    errors = env.invoke("a")
    assert kinds(errors) == {"a": Superseded}
    assert env.listener.heard == [(env.harness.ref("a"), errors["a"])]


@pytest.mark.parametrize("error", [None, ConnectionLost("cut.", hint=""), NO_LOGIN, DOWN])
def test_connections_are_seen_to_when_nothing_more_is_sent(
    error: Exception | None, env: InvocationEnvironment
) -> None:
    if error is not None:
        env.breaks(error)
    env.invoke("a", "b")
    assert env.ended == 1


def test_invocation_without_objects_asks_nobody_anything(env: InvocationEnvironment) -> None:
    assert env.function().deliver([], env.harness.invocation()) == {}
    assert env.secret.reads == 0


# --- deliveries are paused ---


def test_no_delivery_starts_while_paused_and_all_do_afterwards(env: InvocationEnvironment) -> None:
    env.pauses(until=600)
    env.clock.now += 60
    errors = env.invoke()
    assert kinds(errors) == {"a": DeliveriesPaused, "b": DeliveriesPaused}
    assert {error.retry_after for error in errors.values() if isinstance(error, DeliveriesPaused)} == {300}
    assert env.tried == 0
    assert env.harness.item(env.harness.ref("a")) == {}, "no lease"
    env.clock.now += 540
    assert env.invoke() == {}


def test_pause_is_told_once_per_invocation_with_its_age(env: InvocationEnvironment) -> None:
    env.pauses()
    env.clock.now += 60
    env.invoke()
    assert env.reports.paused_for == [60]
    assert [type(outcome) for _, outcome in env.reports.of] == [DeliveriesPaused] * 2
    assert env.listener.heard == []


def test_paused_function_takes_no_turn_at_an_open_breaker(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    env.invoke()
    env.clock.now += 3600  # one may try again
    env.pauses(until=600)
    reads = env.secret.reads
    assert set(kinds(env.invoke()).values()) == {DeliveriesPaused}
    assert env.secret.reads == reads
    env.clock.now += 600
    env.is_fixed()
    assert env.invoke() == {}, "nobody had claimed the attempt"


def test_large_object_is_finished_while_others_wait(env: InvocationEnvironment) -> None:
    data = bytes(3_000_000)
    env.harness.s3.objects["big"] = data
    assert kinds(env.invoke("big", budget=1_000_000)) == {"big": CheckpointSaved}
    env.pauses()
    assert kinds(env.invoke("a", "big")) == {"a": DeliveriesPaused}
    assert env.harness.whole == {"inbox/big": data}


# --- the breaker opens ---


def test_refused_login_leaves_the_partner_in_peace_at_once(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    assert kinds(env.invoke()) == {"a": LoginRefused, "b": LoginRefused}
    assert kinds(env.invoke()) == {"a": CircuitOpen, "b": CircuitOpen}
    assert env.tried == 1


def test_unreachable_partner_is_left_in_peace_after_three_invocations(env: InvocationEnvironment) -> None:
    env.breaks(DOWN)
    found = [set(kinds(env.invoke()).values()) for _ in range(5)]
    assert found == [{PartnerUnreachable}] * 3 + [{CircuitOpen}] * 2
    assert env.tried == 3


def test_warm_function_counts_every_invocation_that_fails(env: InvocationEnvironment) -> None:
    env.harness.env.before_connect[0] = lambda: raising(PartnerUnreachable("down.", hint="wait."))()
    function = env.function()
    found = [set(kinds(env.invoke(function=function)).values()) for _ in range(4)]
    assert found == [{PartnerUnreachable}] * 3 + [{CircuitOpen}]


def test_partner_that_is_left_in_peace_costs_neither_a_read_nor_a_lease(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    env.invoke("a")
    requests = len(env.harness.s3.heads) + len(env.harness.s3.requests)
    errors = env.invoke("b")
    assert len(env.harness.s3.heads) + len(env.harness.s3.requests) == requests
    assert env.harness.item(env.harness.ref("b")) == {}
    assert 0 < getattr(errors["b"], "retry_after", 0) <= 360


def test_partner_that_is_left_in_peace_is_announced_once(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    for _ in range(3):
        env.invoke()
    (opened,) = env.listener.heard
    assert isinstance(opened, Opened)
    assert (opened.server, opened.reason, opened.error, opened.failures) == (
        str(SERVER),
        "no.",
        "LoginRefused",
        1,
    )


def test_opening_and_closing_are_counted(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    env.invoke()
    assert env.reports.breaker_open == [True]
    env.invoke()
    assert env.reports.breaker_open == [True, True], "turned away"
    env.clock.now += 3600
    env.is_fixed()
    env.reports.breaker_open.clear()
    env.invoke()
    env.invoke()
    assert env.reports.breaker_open == [False]


def test_secret_that_cannot_be_used_counts_against_the_partner(env: InvocationEnvironment) -> None:
    env.secret.text = "broken"
    found = [set(kinds(env.invoke()).values()) for _ in range(4)]
    assert found == [{CredentialsError}] * 3 + [{CircuitOpen}]
    assert env.tried == 0


@pytest.mark.parametrize(
    "script", [silent_at(Request.WRITE), refusing(Request.WRITE)], ids=["lost", "refused"]
)
def test_failure_of_a_file_says_nothing_about_the_partner(script: Any, env: InvocationEnvironment) -> None:
    env.harness.env.scripts[0] = script
    for _ in range(5):
        assert set(kinds(env.invoke("a")).values()) <= {ConnectionLost, RequestRefused}
    assert env.tried == 5
    assert env.listener.heard == []


# --- and closes ---


def opened(env: InvocationEnvironment) -> InvocationEnvironment:
    """The partner has its circuit breaker open, but his time is over."""
    env.breaks(NO_LOGIN)
    env.invoke()
    env.listener.heard.clear()
    env.harness.env.tried.clear()
    env.clock.now += 3600
    return env


def test_first_delivery_after_its_time_lets_everybody_in_again(env: InvocationEnvironment) -> None:
    opened(env).is_fixed()
    assert env.invoke() == {}
    env.invoke()
    assert env.tried == 1
    (recovered,) = env.listener.of(Recovered)
    assert (recovered.server, recovered.error, recovered.failures) == (str(SERVER), "LoginRefused", 1)


def test_failure_after_its_time_is_one_try_and_no_news(env: InvocationEnvironment) -> None:
    opened(env)
    assert kinds(env.invoke()) == {"a": LoginRefused, "b": LoginRefused}
    assert set(kinds(env.invoke()).values()) == {CircuitOpen}
    assert env.tried == 1
    assert env.listener.heard == []


@pytest.mark.parametrize("kind", ["refused", "part"])
def test_server_that_answers_is_no_longer_left_in_peace(kind: str, env: InvocationEnvironment) -> None:
    opened(env).is_fixed()
    if kind == "refused":
        env.harness.env.scripts[0] = refusing(Request.OPEN)
        assert set(kinds(env.invoke()).values()) == {RequestRefused}
    else:
        env.harness.env.max_write = 16 * 1024
        env.harness.s3.objects["big"] = bytes(2 * 1024 * 1024)
        assert kinds(env.invoke("big", budget=1)) == {"big": CheckpointSaved}
    assert len(env.listener.of(Recovered)) == 1


def test_function_that_learned_nothing_lets_another_one_try(env: InvocationEnvironment) -> None:
    opened(env).is_fixed()
    gone = dataclasses.replace(env.harness.ref("a"), key="gone")
    (error,) = env.function().deliver([gone], env.harness.invocation()).values()
    assert isinstance(error, AlreadyGone)
    assert env.invoke() == {}


def test_only_one_function_tries_at_a_time(env: InvocationEnvironment) -> None:
    opened(env)
    others: list[dict[str, Exception]] = []

    def another_comes() -> None:
        env.is_fixed()
        others.append(env.invoke())

    env.harness.env.before_connect[0] = another_comes
    assert env.invoke() == {}
    assert set(kinds(others[0]).values()) == {CircuitOpen}
    assert env.tried == 1


def test_function_that_was_killed_lets_another_one_try_when_its_time_is_over(
    env: InvocationEnvironment,
) -> None:
    opened(env)
    ends_at = env.harness.deadline().ends_at
    found: list[dict[str, type]] = []

    def hangs() -> None:
        env.is_fixed()
        env.clock.now = ends_at - 1
        found.append(kinds(env.invoke()))
        env.clock.now = ends_at
        found.append(kinds(env.invoke()))

    env.harness.env.before_connect[0] = hangs
    env.invoke()
    assert found == [{"a": CircuitOpen, "b": CircuitOpen}, {}]


# --- files that are refused alike ---

DENIED = refusing(Request.OPEN, Status.PERMISSION_DENIED)


def with_objects(env: InvocationEnvironment, *keys: str) -> InvocationEnvironment:
    env.harness.s3.objects.update({key: key.encode() for key in keys})
    return env


def refuses_all(env: InvocationEnvironment) -> InvocationEnvironment:
    env.harness.env.scripts[0] = DENIED
    return env


def accepts_all(env: InvocationEnvironment) -> None:
    env.harness.env.scripts.clear()


def test_partner_who_refuses_every_file_alike_is_asked_no_more_for_a_minute(
    env: InvocationEnvironment,
) -> None:
    refuses_all(with_objects(env, "c"))
    assert set(kinds(env.invoke()).values()) == {RequestRefused}
    assert set(kinds(env.invoke()).values()) == {CircuitOpen}
    (opened,) = env.listener.heard
    assert (opened.error, opened.failures, opened.retry_at) == (
        "PartnerRefusesWrites",
        3,
        env.clock.now + 60,
    )
    assert env.reports.breaker_open == [True, True]
    assert env.tried == 1


def test_refusals_of_different_objects_are_counted_over_invocations(env: InvocationEnvironment) -> None:
    refuses_all(with_objects(env, "c"))
    for key in ("a", "a", "b", "b", "a"):
        assert kinds(env.invoke(key)) == {key: RequestRefused}
    assert env.listener.heard == []
    assert kinds(env.invoke("c")) == {"c": RequestRefused}
    assert kinds(env.invoke("a")) == {"a": CircuitOpen}


def test_file_that_is_accepted_in_between_ends_the_row(env: InvocationEnvironment) -> None:
    refuses_all(with_objects(env, "c", "good"))
    env.invoke("a", "b")
    accepts_all(env)
    assert env.invoke("good") == {}
    refuses_all(env)
    assert kinds(env.invoke("c")) == {"c": RequestRefused}
    assert len(env.listener.of(Opened)) == 0


def test_files_that_are_refused_beside_others_do_not_open_it(env: InvocationEnvironment) -> None:
    def locked(asked: Asked) -> bytes | None:
        denied = asked.kind == Request.OPEN and "/locked/" in asked.texts[0]
        return status(asked, Status.PERMISSION_DENIED) if denied else None

    with_objects(env, *(f"locked/{number}" for number in range(8)))
    env.harness.env.scripts[0] = locked
    found = env.invoke()
    assert kinds(found) == {f"locked/{number}": RequestRefused for number in range(8)}
    assert env.listener.of(Opened) == []
    assert env.reports.breaker_open == [False]


def opened_by_refusals(env: InvocationEnvironment) -> InvocationEnvironment:
    """The partner has refused everything, but his time is over."""
    refuses_all(with_objects(env, "c")).invoke()
    env.listener.heard.clear()
    env.reports.breaker_open.clear()
    env.harness.env.tried.clear()
    env.clock.now += 60
    return env


def test_one_function_tries_whether_files_are_accepted_again(env: InvocationEnvironment) -> None:
    opened_by_refusals(env)
    assert kinds(env.invoke("a")) == {"a": RequestRefused}
    assert kinds(env.invoke("b")) == {"b": CircuitOpen}
    assert (env.tried, env.listener.heard) == (1, [])
    assert False not in env.reports.breaker_open, "it is still open"
    env.clock.now += 119
    assert kinds(env.invoke("b")) == {"b": CircuitOpen}
    env.clock.now += 1
    accepts_all(env)
    assert env.invoke() == {}
    (recovered,) = env.listener.of(Recovered)
    assert recovered.error == "PartnerRefusesWrites"


def test_another_directory_is_tried_at_once(env: InvocationEnvironment) -> None:
    opened_by_refusals(env)
    env.clock.now -= 60
    accepts_all(env)
    assert set(kinds(env.invoke()).values()) == {CircuitOpen}
    changed = env.function()
    changed._directory = "elsewhere"
    assert env.invoke(function=changed) == {}


def test_rest_of_a_large_batch_waits_and_opens_it_once(
    env: InvocationEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "FILES_AT_A_TIME", 4)
    refuses_all(with_objects(env, *(f"{number:02}" for number in range(20))))
    found = kinds(env.invoke())
    assert set(found.values()) == {RequestRefused, PartnerRefusesWrites}
    assert list(found.values()).count(RequestRefused) <= 4
    assert len(env.listener.of(Opened)) == 1
    assert env.reports.breaker_open == [True]


# --- a person fixes the secret ---


def test_changed_secret_is_tried_at_once(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    function = env.function()
    env.invoke(function=function)
    env.is_fixed()
    env.secret.change()
    assert env.invoke(function=function) == {}
    assert env.harness.env.logins[-1].password == f"{CANARY}-2"
    assert len(env.listener.of(Recovered)) == 1


def test_unchanged_secret_is_looked_at_and_nobody_connects(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    function = env.function()
    env.invoke(function=function)
    reads = env.secret.reads
    env.invoke(function=function)
    assert (env.secret.reads, env.tried) == (reads + 1, 1)


def test_secret_that_is_changed_to_another_wrong_one_is_tried_once(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    env.invoke()
    env.secret.change()
    for _ in range(3):
        env.invoke()
    assert env.tried == 2


def test_fixed_secret_is_noticed_after_an_unusable_one(env: InvocationEnvironment) -> None:
    env.secret.text = "broken"
    function = env.function()
    for _ in range(4):
        env.invoke(function=function)
    env.secret.change()
    assert env.invoke(function=function) == {}


def test_breaker_knows_nothing_of_the_login(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    env.invoke()
    items = env.dynamodb.scan(TableName=TABLE)["Items"]
    assert any(item["sk"]["S"] == "breaker" for item in items)
    assert CANARY not in repr(items)


def test_duplicates_are_settled_while_nothing_is_known_against_the_partner(
    env: InvocationEnvironment,
) -> None:
    env.invoke()
    assert set(kinds(env.invoke()).values()) == {AlreadyDelivered}
    assert env.tried == 1
