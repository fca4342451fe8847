"""The circuit breaker opens when the server is unreachable or refuses the login; one function tries again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from s3_to_sftp.errors import (
    ConnectionLost,
    CredentialsError,
    DeliveryError,
    HostKeyRefused,
    LoginRefused,
    ObjectGone,
    PartnerRefusesWrites,
    PartnerUnreachable,
    PasswordExpired,
    SecondFactorRequired,
    SftpNotStarted,
    TooManyConnections,
)
from s3_to_sftp.outcomes import CircuitOpen
from s3_to_sftp.state.circuit_breaker import (
    CircuitBreaker,
    NoCircuitBreaker,
    Opened,
    Recovered,
)
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from tests.support.memory_aws import mock_aws

TABLE = "ledger"
SERVER = "sftp.partner.example:22"
KEY = {"pk": {"S": f"partner#{SERVER}"}, "sk": {"S": "breaker"}}
START = 1_795_392_000.0
HOUR = 3600

UNREACHABLE = PartnerUnreachable("No answer.", hint="Ask.")
REFUSED = LoginRefused("Permission denied.", hint="Fix the secret.")
NEW_KEY = HostKeyRefused("Another host key.", hint="Compare.")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class AtomicClient:
    """Makes operations atomic, as in DynamoDB; those of moto are not."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self.requests: list[str] = []
        self.puts: list[dict[str, Any]] = []

    def get_item(self, **request: Any) -> Any:
        return self._ask("get_item", request)

    def put_item(self, **request: Any) -> Any:
        self.puts.append(request)
        return self._ask("put_item", request)

    def _ask(self, operation: str, request: dict[str, Any]) -> Any:
        with self._lock:
            self.requests.append(operation)
            return getattr(self._client, operation)(**request)


class BreakerEnvironment:
    """The table, the clock, and any number of functions."""

    def __init__(self, client: Any) -> None:
        self.dynamodb = client
        self.client = AtomicClient(client)
        self.clock = Clock()
        self.chance = 0.0

    def function(self, client: Any = None) -> DynamoCircuitBreaker:
        return DynamoCircuitBreaker(
            client or self.client, TABLE, SERVER, clock=self.clock, random=lambda: self.chance
        )

    def is_admitted(self, function: CircuitBreaker, configuration: str = "a") -> bool:
        try:
            function.admit(configuration=configuration, until=self.clock.now + 900)
        except CircuitOpen:
            return False
        return True

    def fail(self, error: DeliveryError = REFUSED, configuration: str = "a") -> Opened | None:
        function = self.function()
        assert self.is_admitted(function, configuration)
        return function.failed(error, configuration=configuration)

    def succeed(self, configuration: str = "a") -> Recovered | None:
        function = self.function()
        assert self.is_admitted(function, configuration)
        return function.succeeded()

    def is_open(self) -> bool:
        return not self.is_admitted(self.function())

    def delay_of_the_next(self, configuration: str = "a") -> float:
        with pytest.raises(CircuitOpen) as raised:
            self.function().admit(configuration=configuration, until=self.clock.now + 900)
        return raised.value.retry_after


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakerEnvironment]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        client.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        )
        yield BreakerEnvironment(client)


# Opening


@pytest.mark.parametrize(
    "error",
    [REFUSED, NEW_KEY, PasswordExpired("Change it.", hint="Do."), SecondFactorRequired("Code?", hint="Ask.")],
)
def test_refused_login_and_host_key_open_the_circuit_at_once(
    env: BreakerEnvironment, error: DeliveryError
) -> None:
    opened = env.fail(error)
    assert opened == Opened(
        server=SERVER,
        reason=error.reason,
        error=type(error).__name__,
        since=START,
        failures=1,
        retry_at=START + 300,
    )
    assert env.is_open()


@pytest.mark.parametrize(
    "error",
    [
        UNREACHABLE,
        CredentialsError("No username.", hint="Fill it."),
        TooManyConnections("Full.", hint="Wait."),
        SftpNotStarted("No subsystem.", hint="Ask."),
    ],
)
def test_three_consecutive_other_failures_open_the_circuit(
    env: BreakerEnvironment, error: DeliveryError
) -> None:
    assert env.fail(error) is None
    env.clock.now += 10
    assert env.fail(error) is None
    env.clock.now += 10
    opened = env.fail(error)
    assert opened is not None
    assert (opened.failures, opened.since, opened.retry_at) == (3, START, START + 20 + 60)
    assert env.is_open()


def test_success_resets_the_failure_count(env: BreakerEnvironment) -> None:
    for _ in range(4):
        env.fail(UNREACHABLE)
        env.fail(UNREACHABLE)
        assert env.succeed() is None
    assert not env.is_open()


@pytest.mark.parametrize(
    "error", [ConnectionLost("Cut.", hint="Wait."), ObjectGone("Not there.", hint="Look.")]
)
def test_failure_of_one_object_does_not_count(env: BreakerEnvironment, error: DeliveryError) -> None:
    for _ in range(5):
        assert env.fail(error) is None
    assert env.client.requests.count("put_item") == 0


def test_circuits_of_different_partners_are_independent(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    other = DynamoCircuitBreaker(env.client, TABLE, "other.example:22", clock=env.clock)
    assert env.is_admitted(other)


# Open


def test_circuit_open_error_has_the_delay_and_the_reason(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 100
    with pytest.raises(CircuitOpen, match=r"circuit breaker for .* is open: Permission denied") as raised:
        env.function().admit(configuration="a", until=0)
    assert raised.value.retry_after == 200


def test_delay_of_an_open_circuit_is_at_most_six_minutes(env: BreakerEnvironment) -> None:
    for _ in range(4):
        env.fail(REFUSED)
        env.clock.now += HOUR
    env.fail(REFUSED)  # open for more than an hour
    assert env.delay_of_the_next() == 300
    env.chance = 0.999
    assert 359 < env.delay_of_the_next() < 360


def test_reading_an_open_circuit_writes_nothing(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.client.requests.clear()
    assert all(env.is_open() for _ in range(20))
    assert set(env.client.requests) == {"get_item"}


def test_late_failure_of_a_function_admitted_before_the_opening_changes_nothing(
    env: BreakerEnvironment,
) -> None:
    late = env.function()
    assert env.is_admitted(late)
    env.fail(REFUSED)
    assert late.failed(REFUSED, configuration="a") is None
    env.clock.now += 300  # not 600
    assert not env.is_open()


def test_late_success_of_a_function_admitted_before_the_opening_changes_nothing(
    env: BreakerEnvironment,
) -> None:
    env.fail(UNREACHABLE)
    late = env.function()
    assert env.is_admitted(late)
    env.fail(REFUSED)
    assert late.succeeded() is None
    assert env.is_open()


def test_success_in_an_invocation_that_also_failed_does_not_close_the_circuit(
    env: BreakerEnvironment,
) -> None:
    env.fail(UNREACHABLE)
    function = env.function()
    assert env.is_admitted(function)
    function.failed(REFUSED, configuration="a")
    assert function.succeeded() is None
    assert env.is_open()


@pytest.mark.parametrize(
    ("error", "minutes"),
    [
        (UNREACHABLE, [1, 2, 4, 8, 15, 15]),
        (NEW_KEY, [5, 10, 20, 40, 60, 60]),
        (REFUSED, [5, 10, 20, 40, 80, 160, 320, 480, 480]),
    ],
)
def test_open_time_doubles_up_to_a_maximum(
    env: BreakerEnvironment, error: DeliveryError, minutes: list[int]
) -> None:
    if error is UNREACHABLE:
        env.fail(error)
        env.fail(error)
    for wait in minutes:
        env.fail(error)
        env.clock.now += wait * 60 - 1
        assert env.is_open()
        env.clock.now += 1


def test_open_time_has_jitter(env: BreakerEnvironment) -> None:
    env.chance = 0.5
    opened = env.fail(REFUSED)
    assert opened is not None
    assert opened.retry_at == START + 315


def test_intermittent_outage_does_not_shorten_the_backoff_of_the_login(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    env.fail(UNREACHABLE)
    env.clock.now += 60
    env.fail(REFUSED)
    env.clock.now += 599
    assert env.is_open()


# Half-open


def test_one_function_is_admitted_while_half_open(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    assert [env.is_admitted(env.function()) for _ in range(5)] == [True, False, False, False, False]


def test_other_functions_are_refused_until_the_claim_expires(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    env.function().admit(configuration="a", until=env.clock.now + 100)
    assert env.delay_of_the_next() == 100
    env.clock.now += 100  # its function died
    assert env.is_admitted(env.function())


def test_success_while_half_open_closes_the_circuit(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    assert env.succeed() == Recovered(
        server=SERVER, reason=REFUSED.reason, error="LoginRefused", since=START, failures=1
    )
    assert all(env.is_admitted(env.function()) for _ in range(5))


def test_recovery_resets_the_backoff(env: BreakerEnvironment) -> None:
    for _ in range(3):
        env.fail(REFUSED)
        env.clock.now += HOUR
    env.succeed()
    opened = env.fail(REFUSED)
    assert opened is not None
    assert (opened.failures, opened.since, opened.retry_at - opened.since) == (1, env.clock.now, 300)


def test_released_claim_admits_another_function(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    function = env.function()
    assert env.is_admitted(function)
    function.release()
    assert env.is_admitted(env.function())


def test_release_without_a_claim_writes_nothing(env: BreakerEnvironment) -> None:
    def releases(function: CircuitBreaker) -> None:
        writes = env.client.requests.count("put_item")
        function.release()
        assert env.client.requests.count("put_item") == writes

    releases(env.function())
    failed = env.function()
    assert env.is_admitted(failed)
    failed.failed(REFUSED, configuration="a")
    releases(failed)
    env.clock.now += 300
    succeeded = env.function()
    assert env.is_admitted(succeeded)
    succeeded.succeeded()
    releases(succeeded)
    assert not env.is_open()


def test_expired_claim_does_not_release_its_successor(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    slow = env.function()
    assert env.is_admitted(slow)
    env.clock.now += 901
    assert env.is_admitted(env.function())
    slow.release()
    assert env.is_open()


def test_success_with_an_expired_claim_is_not_published(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    slow = env.function()
    assert env.is_admitted(slow)
    env.clock.now += 901
    other = env.function()
    assert env.is_admitted(other)
    assert slow.succeeded() is None
    assert other.succeeded() is not None


# Many at once


def race(env: BreakerEnvironment, starters: int, step: Callable[[CircuitBreaker], Any]) -> list[Any]:
    """Run the step in this many functions at once: none writes before all have read."""
    all_have_read = threading.Barrier(starters)

    class ReadBarrierClient:
        def __init__(self) -> None:
            self._waited = False

        def get_item(self, **request: Any) -> Any:
            answer = env.client.get_item(**request)
            if not self._waited:
                self._waited = True
                all_have_read.wait(timeout=30)
            return answer

        def put_item(self, **request: Any) -> Any:
            return env.client.put_item(**request)

    functions = [env.function(ReadBarrierClient()) for _ in range(starters)]
    with ThreadPoolExecutor(starters) as pool:
        return list(pool.map(step, functions))


def test_exactly_one_of_many_concurrent_functions_is_admitted(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    assert sum(race(env, 32, env.is_admitted)) == 1


def test_exactly_one_of_many_functions_with_a_changed_configuration_is_admitted(
    env: BreakerEnvironment,
) -> None:
    env.fail(REFUSED)
    assert sum(race(env, 32, lambda function: env.is_admitted(function, "fixed"))) == 1


def test_concurrent_failures_are_all_counted(env: BreakerEnvironment) -> None:
    results = race(env, 32, lambda function: function.failed(UNREACHABLE, configuration="a"))
    (opened,) = [event for event in results if event is not None]
    assert opened.failures == 3


# Refused files


def write_refusals(*objects: str, alike: str = "create 3") -> PartnerRefusesWrites:
    return PartnerRefusesWrites("Refused.", hint="Ask.", alike=alike, objects=objects)


def test_three_equal_refusals_across_functions_open_the_circuit(env: BreakerEnvironment) -> None:
    assert env.fail(write_refusals("1")) is None
    assert env.fail(write_refusals("2")) is None
    opened = env.fail(write_refusals("3"))
    assert opened == Opened(
        server=SERVER,
        reason="Refused.",
        error="PartnerRefusesWrites",
        since=START,
        failures=3,
        retry_at=START + 60,
    )
    assert env.is_open()


def test_three_equal_refusals_in_one_invocation_open_the_circuit(env: BreakerEnvironment) -> None:
    assert env.fail(write_refusals("1", "2", "3")) is not None


def test_repeated_refusal_of_one_object_writes_nothing(env: BreakerEnvironment) -> None:
    env.fail(write_refusals("1"))
    writes = env.client.requests.count("put_item")
    for _ in range(5):
        assert env.fail(write_refusals("1")) is None
    assert env.client.requests.count("put_item") == writes
    assert not env.is_open()


@pytest.mark.parametrize("other", [write_refusals("2", "3", alike="rename 3"), UNREACHABLE])
def test_different_failure_starts_a_new_count(env: BreakerEnvironment, other: DeliveryError) -> None:
    env.fail(write_refusals("1", "2"))
    assert env.fail(other) is None
    assert not env.is_open()
    assert env.fail(write_refusals("3")) is None
    assert not env.is_open()


def test_accepted_object_resets_the_count_of_refusals(env: BreakerEnvironment) -> None:
    env.fail(write_refusals("1", "2"))
    env.succeed()
    assert env.fail(write_refusals("3")) is None
    assert not env.is_open()


def test_open_time_after_refused_files_doubles_up_to_15_minutes(env: BreakerEnvironment) -> None:
    env.fail(write_refusals("1", "2", "3"))
    waits = []
    for _ in range(6):
        state = env.dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"]
        waits.append(round(float(state["retry_at"]["N"]) - env.clock.now))
        env.clock.now += waits[-1]
        assert env.fail(write_refusals("1")) is None, "published already"
    assert waits == [60, 120, 240, 480, 900, 900]


def login_accepted(env: BreakerEnvironment) -> Recovered | None:
    function = env.function()
    assert env.is_admitted(function)
    return function.login_accepted()


def test_accepted_login_closes_a_circuit_opened_by_a_refused_login(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    recovered = login_accepted(env)
    assert recovered is not None
    assert recovered.error == "LoginRefused"
    assert not env.is_open()


def test_accepted_login_resets_the_count_of_connection_failures(env: BreakerEnvironment) -> None:
    env.fail(UNREACHABLE)
    env.fail(UNREACHABLE)
    assert login_accepted(env) is None
    assert env.fail(UNREACHABLE) is None


def test_accepted_login_does_not_close_a_circuit_opened_by_refused_files(
    env: BreakerEnvironment,
) -> None:
    env.fail(write_refusals("1", "2", "3"))
    env.clock.now += 60
    assert login_accepted(env) is None
    assert env.is_open()


def test_accepted_file_closes_a_circuit_opened_by_refused_files(env: BreakerEnvironment) -> None:
    env.fail(write_refusals("1", "2", "3"))
    env.clock.now += 60
    assert env.succeed() == Recovered(
        server=SERVER, reason="Refused.", error="PartnerRefusesWrites", since=START, failures=3
    )
    assert not env.is_open()


def test_is_open_needs_no_further_read(env: BreakerEnvironment) -> None:
    function = env.function()
    assert not function.is_open
    assert env.is_admitted(function)
    function.failed(write_refusals("1", "2", "3"), configuration="a")
    assert function.is_open
    reads = len(env.client.requests)
    other = env.function()
    assert not env.is_admitted(other)
    assert other.is_open
    assert len(env.client.requests) == reads + 1


# Consistent reads


class EventuallyConsistentClient(AtomicClient):
    """Misses the last write in reads without ConsistentRead, as DynamoDB may."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._before: dict[str, Any] = {}

    def get_item(self, **request: Any) -> Any:
        return super().get_item(**request) if request.get("ConsistentRead") else self._before

    def put_item(self, **request: Any) -> Any:
        self._before = super().get_item(TableName=TABLE, Key=KEY, ConsistentRead=True)
        return super().put_item(**request)


def test_opened_circuit_is_seen_by_the_next_function(env: BreakerEnvironment) -> None:
    env.client = EventuallyConsistentClient(env.dynamodb)
    env.fail(REFUSED)
    assert env.is_open()


# Lost answers


class RepeatingClient(AtomicClient):
    """Sends each write twice: botocore repeats one whose answer was lost, and DynamoDB may have made it."""

    def put_item(self, **request: Any) -> Any:
        super().put_item(**request)
        return super().put_item(**request)


def test_claim_whose_answer_was_lost_is_this_functions(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    env.client = RepeatingClient(env.dynamodb)
    assert [env.is_admitted(env.function()) for _ in range(3)] == [True, False, False]


def test_failures_whose_answer_was_lost_are_counted_once_and_reported(env: BreakerEnvironment) -> None:
    env.client = RepeatingClient(env.dynamodb)
    assert [env.fail(UNREACHABLE), env.fail(UNREACHABLE)] == [None, None]
    opened = env.fail(UNREACHABLE)
    assert opened is not None
    assert opened.failures == 3


def test_recovery_whose_answer_was_lost_is_reported(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    env.client = RepeatingClient(env.dynamodb)
    assert isinstance(env.succeed(), Recovered)
    assert not env.is_open()


# A changed configuration


def test_changed_configuration_is_tried_at_once(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    assert env.is_admitted(env.function(), "fixed")
    assert env.is_open()  # for other configurations


def test_refused_changed_configuration_is_published_and_restarts_the_backoff(env: BreakerEnvironment) -> None:
    for _ in range(3):
        env.fail(REFUSED)
        env.clock.now += HOUR
    env.fail(REFUSED)
    opened = env.fail(REFUSED, "fixed wrongly")
    assert opened is not None
    assert (opened.failures, opened.since, opened.retry_at) == (5, START, env.clock.now + 300)
    assert env.is_open()
    assert not env.is_admitted(env.function(), "fixed wrongly")


def test_functions_with_two_wrong_secrets_try_each_once(env: BreakerEnvironment) -> None:
    tries = 0
    for attempt in range(100):
        configuration = "old" if attempt % 2 else "new"
        function = env.function()
        if env.is_admitted(function, configuration):
            tries += 1
            function.failed(REFUSED, configuration=configuration)
    assert tries == 2


# Published events


def test_outage_is_published_once(env: BreakerEnvironment) -> None:
    events = []
    for _ in range(6):
        events.append(env.fail(REFUSED))
        env.clock.now += 8 * HOUR
    assert [event is not None for event in events] == [True] + 5 * [False]


def test_another_reason_during_an_outage_is_published(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    env.clock.now += 300
    opened = env.fail(NEW_KEY)
    assert opened is not None
    assert (opened.error, opened.since, opened.failures) == ("HostKeyRefused", START, 2)


def test_long_reason_is_truncated_in_the_item(env: BreakerEnvironment) -> None:
    opened = env.fail(LoginRefused("x" * 1_000_000, hint="Fix the secret."))
    assert opened is not None
    assert len(opened.reason) == 1000
    assert env.is_open()


def test_hint_is_kept_with_the_key_that_a_server_offers(env: BreakerEnvironment) -> None:
    key = "ssh-rsa " + "A" * 1400
    env.fail(HostKeyRefused("Another host key.", hint=f"It offers '{key}'."))
    item = env.dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"]
    assert item["hint"] == {"S": f"It offers '{key}'."}


def test_item_of_an_earlier_release_has_no_hint_and_is_read(env: BreakerEnvironment) -> None:
    env.fail(REFUSED)
    item = env.dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"]
    del item["hint"]
    env.dynamodb.put_item(TableName=TABLE, Item=item)
    assert env.is_open()


# Number of requests


def test_success_while_closed_needs_one_read_and_no_write(env: BreakerEnvironment) -> None:
    function = env.function()
    for _ in range(3):
        assert env.is_admitted(function)
        assert function.succeeded() is None
    assert env.client.requests == ["get_item"] * 3


def test_success_that_resets_the_failure_count_is_written_once(env: BreakerEnvironment) -> None:
    env.fail(UNREACHABLE)
    env.client.requests.clear()
    function = env.function()
    assert env.is_admitted(function)
    function.succeeded()
    function.succeeded()
    assert env.client.requests == ["get_item", "put_item"]


def test_thousand_invocations_with_a_refused_login_cause_nine_logins_a_day(env: BreakerEnvironment) -> None:
    """Half of them start at once, as with a thousand queued files, the others over 24 hours."""
    functions = [env.function(), env.function()]
    starts = [n * 0.01 for n in range(500)] + [n * 24 * HOUR / 500 for n in range(1, 501)]
    attempts = 0
    for n, start in enumerate(starts):
        env.clock.now = START + start
        function = functions[n % 2]
        if env.is_admitted(function, "wrong"):
            attempts += 1
            function.failed(REFUSED, configuration="wrong")
    assert attempts == 9
    assert env.succeed("fixed") is not None
    assert all(env.is_admitted(function, "fixed") for function in functions)


# The item


def test_item_has_the_documented_keys_and_attributes(env: BreakerEnvironment) -> None:
    env.chance = 0.25
    env.fail(write_refusals("1", "2", "3"))
    opened = {
        **KEY,
        "revision": {"N": "1"},
        "failures": {"N": "3"},
        "since": {"N": "1795392000.000"},
        "error": {"S": "PartnerRefusesWrites"},
        "reason": {"S": "Refused."},
        "hint": {"S": "Ask."},
        "openings": {"M": {"PartnerRefusesWrites": {"N": "1"}}},
        "retry_at": {"N": "1795392061.500"},
        "claimed_until": {"N": "0.000"},
        "refused": {"L": [{"S": "a"}]},
        "alike": {"S": "create 3"},
        "objects": {"L": [{"S": "1"}, {"S": "2"}, {"S": "3"}]},
    }
    about = {"TableName": TABLE, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    first, second = (
        {"ConditionExpression": "attribute_not_exists(pk)"},
        {
            "ConditionExpression": "revision = :revision",
            "ExpressionAttributeValues": {":revision": {"N": "1"}},
        },
    )
    writes = [env.client.puts[0]["Item"].pop("write_id")]
    assert env.client.puts == [{**about, "Item": opened, **first}]
    env.clock.now += 100
    env.function().admit(configuration="b", until=env.clock.now + 900.5)
    claimed = {**opened, "revision": {"N": "2"}, "claimed_until": {"N": "1795393000.500"}}
    writes.append(env.client.puts[1]["Item"].pop("write_id"))
    assert env.client.puts[1:] == [{**about, "Item": claimed, **second}]
    assert writes[0] != writes[1]


# Errors of the table


def dynamodb_error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


class FailingClient:
    """Fails every request of one operation."""

    def __init__(self, client: Any, *, operation: str, error: Exception) -> None:
        self._client = client
        self._operation = operation
        self._error = error

    def get_item(self, **request: Any) -> Any:
        return self._ask("get_item", request)

    def put_item(self, **request: Any) -> Any:
        return self._ask("put_item", request)

    def _ask(self, operation: str, request: dict[str, Any]) -> Any:
        if operation == self._operation:
            raise self._error
        return getattr(self._client, operation)(**request)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (dynamodb_error("ResourceNotFoundException", "GetItem"), "does not exist"),
        (dynamodb_error("AccessDeniedException", "GetItem"), "dynamodb:GetItem"),
        (dynamodb_error("ProvisionedThroughputExceededException", "GetItem"), "is too busy"),
        (EndpointConnectionError(endpoint_url="https://dynamodb"), "could not be read"),
    ],
)
def test_unreadable_breaker_admits_all_and_logs_once(
    env: BreakerEnvironment, error: Exception, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    function = env.function(FailingClient(env.client, operation="get_item", error=error))
    for _ in range(3):
        assert env.is_admitted(function)
        assert function.failed(REFUSED, configuration="a") is None
        assert function.succeeded() is None
        function.release()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "deliveries continue without the circuit breaker" in record.message
    assert what in record.message


def test_unwritable_breaker_admits_a_function_while_half_open(
    env: BreakerEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    env.fail(REFUSED)
    denied = dynamodb_error("AccessDeniedException", "PutItem")
    function = env.function(FailingClient(env.client, operation="put_item", error=denied))
    assert not env.is_admitted(function)
    env.clock.now += 300
    assert env.is_admitted(function)
    assert function.succeeded() is None
    assert function.failed(REFUSED, configuration="a") is None
    assert "could not be written" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"revision": {"S": "one"}},
        {"failures": {"N": "1.5"}},
        {"openings": {"L": []}},
        {"refused": {"L": [{"N": "1"}]}},
        {"reason": {"NULL": True}},
    ],
)
def test_corrupt_item_is_named_in_the_log_and_admits_all(
    env: BreakerEnvironment, damage: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    env.fail(REFUSED)
    good = env.dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"]
    env.dynamodb.put_item(TableName=TABLE, Item={**good, **damage} if damage else KEY)
    function = env.function()
    assert env.is_admitted(function)
    assert function.failed(REFUSED, configuration="a") is None
    assert f"partner#{SERVER}" in caplog.text
    assert "Delete the item" in caplog.text


def test_without_a_table_all_functions_are_admitted() -> None:
    breaker: CircuitBreaker = NoCircuitBreaker()
    breaker.admit(configuration="a", until=0)
    assert breaker.failed(REFUSED, configuration="a") is None
    assert breaker.succeeded() is None
    breaker.release()
    breaker.admit(configuration="a", until=0)
