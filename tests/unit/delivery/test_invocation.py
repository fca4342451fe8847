"""One invocation: the circuit breaker opens and closes, and every outcome is reported once."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from s3_to_sftp.credentials import SecretCredentials
from s3_to_sftp.delivery.invocation import InvocationRunner
from s3_to_sftp.errors import (
    ConnectionLost,
    CredentialsError,
    DeliveryError,
    LoginRefused,
    PartnerRefusesWrites,
    PartnerUnreachable,
    RequestRefused,
)
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.outcomes import (
    AlreadyDelivered,
    AlreadyGone,
    CheckpointSaved,
    CircuitOpen,
    DeliveriesPaused,
    Superseded,
)
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
from s3_to_sftp.state.table import Table
from s3_to_sftp.telemetry import NullTelemetry
from tests.support.delivery_environment import DeliveryEnvironment, crc_of
from tests.support.ledger_environment import TABLE, raising
from tests.support.scripted_server import Asked, refusing, silent_at, status
from tests.support.sftp_environment import SERVER

DOWN = PartnerUnreachable("down.", hint="wait.")
NO_LOGIN = LoginRefused("no.", hint="fix it.")
CANARY = "s3cret-canary"


class Secret:
    """A secret that can be changed.

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


class RecordingPublisher(NullPublisher):
    """Records the published events."""

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


class RecordingTelemetry(NullTelemetry):
    """Records the reported outcome of each object."""

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
    """A server, a secret and a circuit breaker that many functions share."""

    def __init__(self, dynamodb: Any) -> None:
        self.dynamodb = dynamodb
        self.harness = DeliveryEnvironment(dynamodb, {"a": b"A", "b": b"B"})
        self.clock = self.harness.ledger.clock
        self.secret = Secret()
        self.listener = RecordingPublisher()
        self.reports = RecordingTelemetry()
        self.ended = 0

    def function(self, *, directory: str = "") -> InvocationRunner:
        credentials = SecretCredentials(secret_arn="arn", client=self.secret)
        client = SftpClient(SERVER, credentials, timeouts=Timeouts(), connect=self.harness.env.connect)
        return InvocationRunner(
            server=SERVER,
            credentials=credentials,
            delivery=self.harness.function(partner=client),
            breaker=DynamoCircuitBreaker(
                self.harness.ledger.dynamodb, TABLE, str(SERVER), clock=self.clock, random=lambda: 0
            ),
            pause=DynamoPause(Table(self.harness.ledger.dynamodb, TABLE), clock=self.clock, random=lambda: 0),
            publisher=self.listener,
            telemetry=self.reports,
            directory=directory,
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
        """The number of attempted connections."""
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
def env(ledger_table: Any) -> InvocationEnvironment:
    return InvocationEnvironment(ledger_table)


def error_types(errors: dict[str, Exception]) -> dict[str, type]:
    return {key: type(error) for key, error in errors.items()}


# --- reports ---


def test_delivered_objects_cause_no_errors_and_are_reported(env: InvocationEnvironment) -> None:
    assert env.invoke() == {}
    assert sorted(key for key, _ in env.reports.of) == ["a", "b"]
    assert {type(outcome) for _, outcome in env.reports.of} == {Receipt}


def test_failure_of_one_object_does_not_affect_the_others(env: InvocationEnvironment) -> None:
    env.harness.env.scripts[0] = refusing(Request.WRITE, number=1)
    errors = env.invoke()
    assert len(errors) == 1
    assert sorted(type(outcome).__name__ for _, outcome in env.reports.of) == ["Receipt", "RequestRefused"]


def test_published_delivery_has_the_receipt(env: InvocationEnvironment) -> None:
    env.invoke("a")
    (receipt,) = env.listener.heard
    assert receipt == env.reports.of[-1][1], "the event has the reported receipt"
    assert receipt.ref == env.harness.ref("a")
    assert (receipt.remote_path, receipt.size, receipt.checksum) == ("inbox/a", 1, crc_of(b"A"))
    assert (receipt.attempt, receipt.host_key_fingerprint) == (1, "SHA256:abc")


def test_missing_objects_are_published_and_duplicates_are_not(env: InvocationEnvironment) -> None:
    env.invoke("a")
    env.listener.heard.clear()
    gone = env.harness.ref("b")
    del env.harness.s3.objects["b"]
    errors = env.function().deliver([env.harness.ref("a"), gone], env.harness.invocation())
    assert sorted(type(error).__name__ for error in errors.values()) == ["AlreadyDelivered", "AlreadyGone"]
    assert env.listener.heard == [("gone", gone, errors[gone])]


def test_superseded_object_is_published(env: InvocationEnvironment) -> None:
    newer = dataclasses.replace(env.harness.ref("a"), sequencer="0B")
    env.function().deliver([newer], env.harness.invocation())
    env.listener.heard.clear()
    errors = env.invoke("a")
    assert error_types(errors) == {"a": Superseded}
    assert env.listener.heard == [(env.harness.ref("a"), errors["a"])]


@pytest.mark.parametrize("error", [None, ConnectionLost("cut.", hint=""), NO_LOGIN, DOWN])
def test_end_of_invocation_is_signalled_once(error: Exception | None, env: InvocationEnvironment) -> None:
    if error is not None:
        env.breaks(error)
    env.invoke("a", "b")
    assert env.ended == 1


def test_invocation_without_objects_reads_no_secret(env: InvocationEnvironment) -> None:
    assert env.function().deliver([], env.harness.invocation()) == {}
    assert env.secret.reads == 0


# --- deliveries are paused ---


def test_no_delivery_starts_while_paused_and_all_do_afterwards(env: InvocationEnvironment) -> None:
    env.pauses(until=600)
    env.clock.now += 60
    errors = env.invoke()
    assert error_types(errors) == {"a": DeliveriesPaused, "b": DeliveriesPaused}
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
    assert set(error_types(env.invoke()).values()) == {DeliveriesPaused}
    assert env.secret.reads == reads
    env.clock.now += 600
    env.is_fixed()
    assert env.invoke() == {}, "nobody had claimed the attempt"


def test_large_object_is_finished_while_others_wait(env: InvocationEnvironment) -> None:
    data = bytes(3_000_000)
    env.harness.s3.objects["big"] = data
    assert error_types(env.invoke("big", budget=1_000_000)) == {"big": CheckpointSaved}
    env.pauses()
    assert error_types(env.invoke("a", "big")) == {"a": DeliveriesPaused}
    assert env.harness.whole == {"inbox/big": data}


# --- the circuit opens ---


def test_refused_login_opens_the_circuit_at_once(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    assert error_types(env.invoke()) == {"a": LoginRefused, "b": LoginRefused}
    assert error_types(env.invoke()) == {"a": CircuitOpen, "b": CircuitOpen}
    assert env.tried == 1


def test_unreachable_partner_opens_the_circuit_after_three_invocations(env: InvocationEnvironment) -> None:
    env.breaks(DOWN)
    found = [set(error_types(env.invoke()).values()) for _ in range(5)]
    assert found == [{PartnerUnreachable}] * 3 + [{CircuitOpen}] * 2
    assert env.tried == 3


def test_warm_function_counts_every_failed_invocation(env: InvocationEnvironment) -> None:
    env.harness.env.before_connect[0] = lambda: raising(PartnerUnreachable("down.", hint="wait."))()
    function = env.function()
    found = [set(error_types(env.invoke(function=function)).values()) for _ in range(4)]
    assert found == [{PartnerUnreachable}] * 3 + [{CircuitOpen}]


def test_open_circuit_costs_no_s3_request_and_no_lease(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    env.invoke("a")
    requests = len(env.harness.s3.heads) + len(env.harness.s3.requests)
    errors = env.invoke("b")
    assert len(env.harness.s3.heads) + len(env.harness.s3.requests) == requests
    assert env.harness.item(env.harness.ref("b")) == {}
    assert 0 < getattr(errors["b"], "retry_after", 0) <= 360


def test_opening_of_the_circuit_is_published_once(env: InvocationEnvironment) -> None:
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


def test_opening_and_closing_of_the_circuit_are_counted(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    env.invoke()
    assert env.reports.breaker_open == [True]
    env.invoke()
    assert env.reports.breaker_open == [True, True], "no connection while open"
    env.clock.now += 3600
    env.is_fixed()
    env.reports.breaker_open.clear()
    env.invoke()
    env.invoke()
    assert env.reports.breaker_open == [False]


def test_unusable_secret_opens_the_circuit_after_three_invocations(env: InvocationEnvironment) -> None:
    env.secret.text = "broken"
    found = [set(error_types(env.invoke()).values()) for _ in range(4)]
    assert found == [{CredentialsError}] * 3 + [{CircuitOpen}]
    assert env.tried == 0


@pytest.mark.parametrize(
    "script", [silent_at(Request.WRITE), refusing(Request.WRITE)], ids=["lost", "refused"]
)
def test_failure_of_one_file_does_not_open_the_circuit(script: Any, env: InvocationEnvironment) -> None:
    env.harness.env.scripts[0] = script
    for _ in range(5):
        assert set(error_types(env.invoke("a")).values()) <= {ConnectionLost, RequestRefused}
    assert env.tried == 5
    assert env.listener.heard == []


# --- the circuit closes ---


def with_expired_open_circuit(env: InvocationEnvironment) -> InvocationEnvironment:
    """Open the circuit, and let its open time pass."""
    env.breaks(NO_LOGIN)
    env.invoke()
    env.listener.heard.clear()
    env.harness.env.tried.clear()
    env.clock.now += 3600
    return env


def test_first_delivery_after_the_open_time_closes_the_circuit(env: InvocationEnvironment) -> None:
    with_expired_open_circuit(env).is_fixed()
    assert env.invoke() == {}
    env.invoke()
    assert env.tried == 1
    (recovered,) = env.listener.of(Recovered)
    assert (recovered.server, recovered.error, recovered.failures) == (str(SERVER), "LoginRefused", 1)


def test_failure_of_the_half_open_attempt_is_not_published_again(env: InvocationEnvironment) -> None:
    with_expired_open_circuit(env)
    assert error_types(env.invoke()) == {"a": LoginRefused, "b": LoginRefused}
    assert set(error_types(env.invoke()).values()) == {CircuitOpen}
    assert env.tried == 1
    assert env.listener.heard == []


@pytest.mark.parametrize("kind", ["refused", "part"])
def test_answer_of_the_server_closes_the_circuit(kind: str, env: InvocationEnvironment) -> None:
    with_expired_open_circuit(env).is_fixed()
    if kind == "refused":
        env.harness.env.scripts[0] = refusing(Request.OPEN)
        assert set(error_types(env.invoke()).values()) == {RequestRefused}
    else:
        env.harness.env.max_write = 16 * 1024
        env.harness.s3.objects["big"] = bytes(2 * 1024 * 1024)
        assert error_types(env.invoke("big", budget=1)) == {"big": CheckpointSaved}
    assert len(env.listener.of(Recovered)) == 1


def test_function_that_did_not_connect_releases_the_half_open_attempt(env: InvocationEnvironment) -> None:
    with_expired_open_circuit(env).is_fixed()
    gone = dataclasses.replace(env.harness.ref("a"), key="gone")
    (error,) = env.function().deliver([gone], env.harness.invocation()).values()
    assert isinstance(error, AlreadyGone)
    assert env.invoke() == {}


def test_only_one_function_tries_while_half_open(env: InvocationEnvironment) -> None:
    with_expired_open_circuit(env)
    others: list[dict[str, Exception]] = []

    def another_comes() -> None:
        env.is_fixed()
        others.append(env.invoke())

    env.harness.env.before_connect[0] = another_comes
    assert env.invoke() == {}
    assert set(error_types(others[0]).values()) == {CircuitOpen}
    assert env.tried == 1


def test_half_open_attempt_of_a_killed_function_expires(
    env: InvocationEnvironment,
) -> None:
    with_expired_open_circuit(env)
    ends_at = env.harness.deadline().ends_at
    found: list[dict[str, type]] = []

    def hangs() -> None:
        env.is_fixed()
        env.clock.now = ends_at - 1
        found.append(error_types(env.invoke()))
        env.clock.now = ends_at
        found.append(error_types(env.invoke()))

    env.harness.env.before_connect[0] = hangs
    env.invoke()
    assert found == [{"a": CircuitOpen, "b": CircuitOpen}, {}]


# --- equal refusals of different files ---

DENIED = refusing(Request.OPEN, Status.PERMISSION_DENIED)


def with_objects(env: InvocationEnvironment, *keys: str) -> InvocationEnvironment:
    env.harness.s3.objects.update({key: key.encode() for key in keys})
    return env


def refuses_all(env: InvocationEnvironment) -> InvocationEnvironment:
    env.harness.env.scripts[0] = DENIED
    return env


def accepts_all(env: InvocationEnvironment) -> None:
    env.harness.env.scripts.clear()


def test_equal_refusals_of_all_files_open_the_circuit_for_a_minute(
    env: InvocationEnvironment,
) -> None:
    refuses_all(with_objects(env, "c"))
    assert set(error_types(env.invoke()).values()) == {RequestRefused}
    assert set(error_types(env.invoke()).values()) == {CircuitOpen}
    (opened,) = env.listener.heard
    assert (opened.error, opened.failures, opened.retry_at) == (
        "PartnerRefusesWrites",
        3,
        env.clock.now + 60,
    )
    assert env.reports.breaker_open == [True, True]
    assert env.tried == 1


def test_refusals_of_different_objects_are_counted_across_invocations(env: InvocationEnvironment) -> None:
    refuses_all(with_objects(env, "c"))
    for key in ("a", "a", "b", "b", "a"):
        assert error_types(env.invoke(key)) == {key: RequestRefused}
    assert env.listener.heard == []
    assert error_types(env.invoke("c")) == {"c": RequestRefused}
    assert error_types(env.invoke("a")) == {"a": CircuitOpen}


def test_accepted_file_resets_the_count_of_refusals(env: InvocationEnvironment) -> None:
    refuses_all(with_objects(env, "c", "good"))
    env.invoke("a", "b")
    accepts_all(env)
    assert env.invoke("good") == {}
    refuses_all(env)
    assert error_types(env.invoke("c")) == {"c": RequestRefused}
    assert len(env.listener.of(Opened)) == 0


def test_refused_files_among_accepted_ones_do_not_open_the_circuit(env: InvocationEnvironment) -> None:
    def locked(asked: Asked) -> bytes | None:
        denied = asked.kind == Request.OPEN and "/locked/" in asked.texts[0]
        return status(asked, Status.PERMISSION_DENIED) if denied else None

    with_objects(env, *(f"locked/{number}" for number in range(8)))
    env.harness.env.scripts[0] = locked
    found = env.invoke()
    assert error_types(found) == {f"locked/{number}": RequestRefused for number in range(8)}
    assert env.listener.of(Opened) == []
    assert env.reports.breaker_open == [False]


def with_circuit_opened_by_refusals(env: InvocationEnvironment) -> InvocationEnvironment:
    """Open the circuit by refusing every file, and let its open time pass."""
    refuses_all(with_objects(env, "c")).invoke()
    env.listener.heard.clear()
    env.reports.breaker_open.clear()
    env.harness.env.tried.clear()
    env.clock.now += 60
    return env


def test_one_function_tries_again_after_refused_files(env: InvocationEnvironment) -> None:
    with_circuit_opened_by_refusals(env)
    assert error_types(env.invoke("a")) == {"a": RequestRefused}
    assert error_types(env.invoke("b")) == {"b": CircuitOpen}
    assert (env.tried, env.listener.heard) == (1, [])
    assert False not in env.reports.breaker_open, "it is still open"
    env.clock.now += 119
    assert error_types(env.invoke("b")) == {"b": CircuitOpen}
    env.clock.now += 1
    accepts_all(env)
    assert env.invoke() == {}
    (recovered,) = env.listener.of(Recovered)
    assert recovered.error == "PartnerRefusesWrites"


def test_changed_directory_is_tried_at_once(env: InvocationEnvironment) -> None:
    with_circuit_opened_by_refusals(env)
    env.clock.now -= 60
    accepts_all(env)
    assert set(error_types(env.invoke()).values()) == {CircuitOpen}
    assert env.invoke(function=env.function(directory="elsewhere")) == {}


def test_refused_batch_is_cut_short_and_opens_the_circuit_once(
    env: InvocationEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "FILES_AT_A_TIME", 4)
    refuses_all(with_objects(env, *(f"{number:02}" for number in range(20))))
    found = error_types(env.invoke())
    assert set(found.values()) == {RequestRefused, PartnerRefusesWrites}
    assert list(found.values()).count(RequestRefused) <= 4
    assert len(env.listener.of(Opened)) == 1
    assert env.reports.breaker_open == [True]


# --- changed secrets ---


def test_changed_secret_is_tried_at_once(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    function = env.function()
    env.invoke(function=function)
    env.is_fixed()
    env.secret.change()
    assert env.invoke(function=function) == {}
    assert env.harness.env.logins[-1].password == f"{CANARY}-2"
    assert len(env.listener.of(Recovered)) == 1


def test_unchanged_secret_is_read_again_without_a_connection(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    function = env.function()
    env.invoke(function=function)
    reads = env.secret.reads
    env.invoke(function=function)
    assert (env.secret.reads, env.tried) == (reads + 1, 1)


def test_changed_but_wrong_secret_is_tried_once(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    env.invoke()
    env.secret.change()
    for _ in range(3):
        env.invoke()
    assert env.tried == 2


def test_fixed_secret_is_used_after_an_unusable_one(env: InvocationEnvironment) -> None:
    env.secret.text = "broken"
    function = env.function()
    for _ in range(4):
        env.invoke(function=function)
    env.secret.change()
    assert env.invoke(function=function) == {}


def test_breaker_item_holds_nothing_of_the_login(env: InvocationEnvironment) -> None:
    env.breaks(NO_LOGIN)
    env.invoke()
    items = env.dynamodb.scan(TableName=TABLE)["Items"]
    assert any(item["sk"]["S"] == "breaker" for item in items)
    assert CANARY not in repr(items)


def test_duplicates_need_no_connection_while_the_circuit_is_closed(
    env: InvocationEnvironment,
) -> None:
    env.invoke()
    assert set(error_types(env.invoke()).values()) == {AlreadyDelivered}
    assert env.tried == 1
