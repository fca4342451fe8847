"""The circuit breaker opens for a partner who is away or refuses the login; one function at a time tries."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from s3_to_sftp.errors import (
    CircuitOpen,
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
from s3_to_sftp.state.circuit_breaker import (
    CircuitBreaker,
    NoCircuitBreaker,
    Opened,
    Recovered,
)
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker

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


class OneAtATime:
    """A client whose operations are atomic, as DynamoDB's are and moto's are not."""

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


class Environment:
    """The table, the time, and as many functions as a test wants."""

    def __init__(self, client: Any) -> None:
        self.dynamodb = client
        self.client = OneAtATime(client)
        self.clock = Clock()
        self.chance = 0.0

    def function(self, client: Any = None) -> DynamoCircuitBreaker:
        return DynamoCircuitBreaker(
            client or self.client, TABLE, SERVER, clock=self.clock, random=lambda: self.chance
        )

    def let_through(self, function: CircuitBreaker, configuration: str = "a") -> bool:
        try:
            function.admit(configuration=configuration, until=self.clock.now + 900)
        except CircuitOpen:
            return False
        return True

    def tries_and_fails(self, error: DeliveryError = REFUSED, configuration: str = "a") -> Opened | None:
        function = self.function()
        assert self.let_through(function, configuration)
        return function.failed(error, configuration=configuration)

    def tries_and_succeeds(self, configuration: str = "a") -> Recovered | None:
        function = self.function()
        assert self.let_through(function, configuration)
        return function.succeeded()

    def is_open(self) -> bool:
        return not self.let_through(self.function())

    def wait_of_the_next(self, configuration: str = "a") -> float:
        with pytest.raises(CircuitOpen) as raised:
            self.function().admit(configuration=configuration, until=self.clock.now + 900)
        return raised.value.retry_after


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
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
        yield Environment(client)


# Opening


@pytest.mark.parametrize(
    "error",
    [REFUSED, NEW_KEY, PasswordExpired("Change it.", hint="Do."), SecondFactorRequired("Code?", hint="Ask.")],
)
def test_refused_login_and_host_key_open_it_at_once(env: Environment, error: DeliveryError) -> None:
    opened = env.tries_and_fails(error)
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
def test_other_failures_open_it_when_they_are_three_in_a_row(env: Environment, error: DeliveryError) -> None:
    assert env.tries_and_fails(error) is None
    env.clock.now += 10
    assert env.tries_and_fails(error) is None
    env.clock.now += 10
    opened = env.tries_and_fails(error)
    assert opened is not None
    assert (opened.failures, opened.since, opened.retry_at) == (3, START, START + 20 + 60)
    assert env.is_open()


def test_success_ends_the_streak(env: Environment) -> None:
    for _ in range(4):
        env.tries_and_fails(UNREACHABLE)
        env.tries_and_fails(UNREACHABLE)
        assert env.tries_and_succeeds() is None
    assert not env.is_open()


@pytest.mark.parametrize(
    "error", [ConnectionLost("Cut.", hint="Wait."), ObjectGone("Not there.", hint="Look.")]
)
def test_what_concerns_one_object_does_not_count(env: Environment, error: DeliveryError) -> None:
    for _ in range(5):
        assert env.tries_and_fails(error) is None
    assert env.client.requests.count("put_item") == 0


def test_one_table_keeps_partners_apart(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    other = DynamoCircuitBreaker(env.client, TABLE, "other.example:22", clock=env.clock)
    assert env.let_through(other)


# Open


def test_open_breaker_says_when_to_come_back_and_why(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 100
    with pytest.raises(CircuitOpen, match=r"circuit breaker for .* is open: Permission denied") as raised:
        env.function().admit(configuration="a", until=0)
    assert raised.value.retry_after == 200


def test_nobody_is_sent_away_for_more_than_five_minutes_and_a_bit(env: Environment) -> None:
    for _ in range(4):
        env.tries_and_fails(REFUSED)
        env.clock.now += HOUR
    env.tries_and_fails(REFUSED)  # open for more than an hour now
    assert env.wait_of_the_next() == 300
    env.chance = 0.999
    assert 359 < env.wait_of_the_next() < 360


def test_asking_an_open_breaker_writes_nothing(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.client.requests.clear()
    assert all(env.is_open() for _ in range(20))
    assert set(env.client.requests) == {"get_item"}


def test_failure_of_one_who_was_let_through_before_changes_nothing(env: Environment) -> None:
    late = env.function()
    assert env.let_through(late)
    env.tries_and_fails(REFUSED)
    assert late.failed(REFUSED, configuration="a") is None
    env.clock.now += 300  # and not 600
    assert not env.is_open()


def test_success_of_one_who_was_let_through_before_changes_nothing(env: Environment) -> None:
    env.tries_and_fails(UNREACHABLE)
    late = env.function()
    assert env.let_through(late)
    env.tries_and_fails(REFUSED)
    assert late.succeeded() is None
    assert env.is_open()


def test_success_before_a_failure_of_the_same_invocation_does_not_close_it(env: Environment) -> None:
    env.tries_and_fails(UNREACHABLE)
    function = env.function()
    assert env.let_through(function)
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
def test_time_doubles_up_to_a_bound(env: Environment, error: DeliveryError, minutes: list[int]) -> None:
    if error is UNREACHABLE:
        env.tries_and_fails(error)
        env.tries_and_fails(error)
    for wait in minutes:
        env.tries_and_fails(error)
        env.clock.now += wait * 60 - 1
        assert env.is_open()
        env.clock.now += 1


def test_time_has_some_jitter(env: Environment) -> None:
    env.chance = 0.5
    opened = env.tries_and_fails(REFUSED)
    assert opened is not None
    assert opened.retry_at == START + 315


def test_server_that_is_away_every_other_time_is_not_asked_for_the_login_more_often(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    env.tries_and_fails(UNREACHABLE)
    env.clock.now += 60
    env.tries_and_fails(REFUSED)
    env.clock.now += 599
    assert env.is_open()


# Half-open


def test_after_its_time_one_is_let_through(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    assert [env.let_through(env.function()) for _ in range(5)] == [True, False, False, False, False]


def test_others_are_sent_away_until_the_one_must_have_ended(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    env.function().admit(configuration="a", until=env.clock.now + 100)
    assert env.wait_of_the_next() == 100
    env.clock.now += 100  # it died
    assert env.let_through(env.function())


def test_success_of_the_one_closes_it(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    assert env.tries_and_succeeds() == Recovered(
        server=SERVER, reason=REFUSED.reason, error="LoginRefused", since=START, failures=1
    )
    assert all(env.let_through(env.function()) for _ in range(5))


def test_recovery_forgets_how_often_it_was_open(env: Environment) -> None:
    for _ in range(3):
        env.tries_and_fails(REFUSED)
        env.clock.now += HOUR
    env.tries_and_succeeds()
    opened = env.tries_and_fails(REFUSED)
    assert opened is not None
    assert (opened.failures, opened.since, opened.retry_at - opened.since) == (1, env.clock.now, 300)


def test_one_who_learned_nothing_lets_another_try(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    function = env.function()
    assert env.let_through(function)
    function.release()
    assert env.let_through(env.function())


def test_releasing_after_success_failure_or_nothing_writes_nothing(env: Environment) -> None:
    def releases(function: CircuitBreaker) -> None:
        writes = env.client.requests.count("put_item")
        function.release()
        assert env.client.requests.count("put_item") == writes

    releases(env.function())
    failed = env.function()
    assert env.let_through(failed)
    failed.failed(REFUSED, configuration="a")
    releases(failed)
    env.clock.now += 300
    succeeded = env.function()
    assert env.let_through(succeeded)
    succeeded.succeeded()
    releases(succeeded)
    assert not env.is_open()


def test_claim_that_has_passed_to_another_is_not_released(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    slow = env.function()
    assert env.let_through(slow)
    env.clock.now += 901
    assert env.let_through(env.function())
    slow.release()
    assert env.is_open()


def test_success_of_one_whose_claim_has_passed_to_another_is_not_told(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    slow = env.function()
    assert env.let_through(slow)
    env.clock.now += 901
    other = env.function()
    assert env.let_through(other)
    assert slow.succeeded() is None
    assert other.succeeded() is not None


# Many at once


def race(env: Environment, starters: int, step: Callable[[CircuitBreaker], Any]) -> list[Any]:
    """Let so many functions take the step at once: nobody writes before all have read."""
    all_have_read = threading.Barrier(starters)

    class ReadsWithTheOthers:
        def __init__(self) -> None:
            self._has_waited = False

        def get_item(self, **request: Any) -> Any:
            answer = env.client.get_item(**request)
            if not self._has_waited:
                self._has_waited = True
                all_have_read.wait(timeout=30)
            return answer

        def put_item(self, **request: Any) -> Any:
            return env.client.put_item(**request)

    functions = [env.function(ReadsWithTheOthers()) for _ in range(starters)]
    with ThreadPoolExecutor(starters) as pool:
        return list(pool.map(step, functions))


def test_of_many_at_once_exactly_one_is_let_through(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    assert sum(race(env, 32, env.let_through)) == 1


def test_of_many_with_a_fixed_configuration_exactly_one_is_let_through(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    assert sum(race(env, 32, lambda function: env.let_through(function, "fixed"))) == 1


def test_no_failure_of_many_at_once_is_lost(env: Environment) -> None:
    told = race(env, 32, lambda function: function.failed(UNREACHABLE, configuration="a"))
    (opened,) = [event for event in told if event is not None]
    assert opened.failures == 3


# Refused files


def refuses(*objects: str, alike: str = "create 3") -> PartnerRefusesWrites:
    return PartnerRefusesWrites("Refused.", hint="Ask.", alike=alike, objects=objects)


def test_three_objects_refused_alike_open_it_whoever_has_met_them(env: Environment) -> None:
    assert env.tries_and_fails(refuses("1")) is None
    assert env.tries_and_fails(refuses("2")) is None
    opened = env.tries_and_fails(refuses("3"))
    assert opened == Opened(
        server=SERVER,
        reason="Refused.",
        error="PartnerRefusesWrites",
        since=START,
        failures=3,
        retry_at=START + 60,
    )
    assert env.is_open()


def test_three_objects_of_one_invocation_open_it_at_once(env: Environment) -> None:
    assert env.tries_and_fails(refuses("1", "2", "3")) is not None


def test_object_that_is_refused_again_and_again_neither_opens_it_nor_costs_a_write(env: Environment) -> None:
    env.tries_and_fails(refuses("1"))
    writes = env.client.requests.count("put_item")
    for _ in range(5):
        assert env.tries_and_fails(refuses("1")) is None
    assert env.client.requests.count("put_item") == writes
    assert not env.is_open()


@pytest.mark.parametrize("other", [refuses("2", "3", alike="rename 3"), UNREACHABLE])
def test_another_failure_begins_a_streak_of_its_own(env: Environment, other: DeliveryError) -> None:
    env.tries_and_fails(refuses("1", "2"))
    assert env.tries_and_fails(other) is None
    assert not env.is_open()
    assert env.tries_and_fails(refuses("3")) is None
    assert not env.is_open()


def test_accepted_object_ends_the_streak_of_refusals(env: Environment) -> None:
    env.tries_and_fails(refuses("1", "2"))
    env.tries_and_succeeds()
    assert env.tries_and_fails(refuses("3")) is None
    assert not env.is_open()


def test_refused_files_double_the_time_up_to_a_quarter_of_an_hour(env: Environment) -> None:
    env.tries_and_fails(refuses("1", "2", "3"))
    waits = []
    for _ in range(6):
        state = env.dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"]
        waits.append(round(float(state["retry_at"]["N"]) - env.clock.now))
        env.clock.now += waits[-1]
        assert env.tries_and_fails(refuses("1")) is None, "no news"
    assert waits == [60, 120, 240, 480, 900, 900]


def login_accepted(env: Environment) -> Recovered | None:
    function = env.function()
    assert env.let_through(function)
    return function.login_accepted()


def test_server_that_accepts_the_login_closes_what_failed_logins_have_opened(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    recovered = login_accepted(env)
    assert recovered is not None
    assert recovered.error == "LoginRefused"
    assert not env.is_open()


def test_server_that_accepts_the_login_ends_a_streak_of_failures_to_reach_it(env: Environment) -> None:
    env.tries_and_fails(UNREACHABLE)
    env.tries_and_fails(UNREACHABLE)
    assert login_accepted(env) is None
    assert env.tries_and_fails(UNREACHABLE) is None


def test_server_that_accepts_the_login_does_not_close_what_refused_files_have_opened(
    env: Environment,
) -> None:
    env.tries_and_fails(refuses("1", "2", "3"))
    env.clock.now += 60
    assert login_accepted(env) is None
    assert env.is_open()


def test_accepted_file_closes_what_refused_files_have_opened(env: Environment) -> None:
    env.tries_and_fails(refuses("1", "2", "3"))
    env.clock.now += 60
    assert env.tries_and_succeeds() == Recovered(
        server=SERVER, reason="Refused.", error="PartnerRefusesWrites", since=START, failures=3
    )
    assert not env.is_open()


def test_whether_it_is_open_is_known_without_asking_again(env: Environment) -> None:
    function = env.function()
    assert not function.is_open
    assert env.let_through(function)
    function.failed(refuses("1", "2", "3"), configuration="a")
    assert function.is_open
    reads = len(env.client.requests)
    other = env.function()
    assert not env.let_through(other)
    assert other.is_open
    assert len(env.client.requests) == reads + 1


# What is read is what was written last


class StaleUnlessAsked(OneAtATime):
    """A table as DynamoDB's is: a read that does not ask for more may miss the last write."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._before: dict[str, Any] = {}

    def get_item(self, **request: Any) -> Any:
        return super().get_item(**request) if request.get("ConsistentRead") else self._before

    def put_item(self, **request: Any) -> Any:
        self._before = super().get_item(TableName=TABLE, Key=KEY, ConsistentRead=True)
        return super().put_item(**request)


def test_breaker_that_has_just_opened_is_seen_by_the_next_one(env: Environment) -> None:
    env.client = StaleUnlessAsked(env.dynamodb)
    env.tries_and_fails(REFUSED)
    assert env.is_open()


# A fixed configuration


def test_fixed_configuration_is_tried_at_once(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    assert env.let_through(env.function(), "fixed")
    assert env.is_open()  # for everybody else


def test_fixed_configuration_that_is_wrong_is_told_and_waits_from_the_beginning(env: Environment) -> None:
    for _ in range(3):
        env.tries_and_fails(REFUSED)
        env.clock.now += HOUR
    env.tries_and_fails(REFUSED)
    opened = env.tries_and_fails(REFUSED, "fixed wrongly")
    assert opened is not None
    assert (opened.failures, opened.since, opened.retry_at) == (5, START, env.clock.now + 300)
    assert env.is_open()
    assert not env.let_through(env.function(), "fixed wrongly")


def test_functions_with_the_old_and_the_new_secret_do_not_take_turns_indefinitely(env: Environment) -> None:
    tries = 0
    for attempt in range(100):
        configuration = "old" if attempt % 2 else "new"
        function = env.function()
        if env.let_through(function, configuration):
            tries += 1
            function.failed(REFUSED, configuration=configuration)
    assert tries == 2


# What people are told


def test_one_outage_is_told_once(env: Environment) -> None:
    told = []
    for _ in range(6):
        told.append(env.tries_and_fails(REFUSED))
        env.clock.now += 8 * HOUR
    assert [event is not None for event in told] == [True] + 5 * [False]


def test_another_reason_during_an_outage_is_told(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    env.clock.now += 300
    opened = env.tries_and_fails(NEW_KEY)
    assert opened is not None
    assert (opened.error, opened.since, opened.failures) == ("HostKeyRefused", START, 2)


def test_very_long_reason_is_cut_in_the_item(env: Environment) -> None:
    opened = env.tries_and_fails(LoginRefused("x" * 1_000_000, hint="Fix the secret."))
    assert opened is not None
    assert len(opened.reason) == 1000
    assert env.is_open()


def test_hint_is_kept_with_the_key_that_a_server_offers(env: Environment) -> None:
    key = "ssh-rsa " + "A" * 1400
    env.tries_and_fails(HostKeyRefused("Another host key.", hint=f"It offers '{key}'."))
    item = env.dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"]
    assert item["hint"] == {"S": f"It offers '{key}'."}


def test_item_of_an_earlier_release_has_no_hint_and_is_read(env: Environment) -> None:
    env.tries_and_fails(REFUSED)
    item = env.dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"]
    del item["hint"]
    env.dynamodb.put_item(TableName=TABLE, Item=item)
    assert env.is_open()


# What it costs


def test_success_while_closed_costs_one_read_and_no_write(env: Environment) -> None:
    function = env.function()
    for _ in range(3):
        assert env.let_through(function)
        assert function.succeeded() is None
    assert env.client.requests == ["get_item"] * 3


def test_success_that_ends_a_streak_is_written_once(env: Environment) -> None:
    env.tries_and_fails(UNREACHABLE)
    env.client.requests.clear()
    function = env.function()
    assert env.let_through(function)
    function.succeeded()
    function.succeeded()
    assert env.client.requests == ["get_item", "put_item"]


def test_thousand_invocations_with_a_refused_login_are_nine_attempts_in_a_day(env: Environment) -> None:
    """Half of them at once, as a thousand queued files start, the others over 24 hours."""
    functions = [env.function(), env.function()]
    starts = [n * 0.01 for n in range(500)] + [n * 24 * HOUR / 500 for n in range(1, 501)]
    attempts = 0
    for n, start in enumerate(starts):
        env.clock.now = START + start
        function = functions[n % 2]
        if env.let_through(function, "wrong"):
            attempts += 1
            function.failed(REFUSED, configuration="wrong")
    assert attempts == 9
    assert env.tries_and_succeeds("fixed") is not None
    assert all(env.let_through(function, "fixed") for function in functions)


# What is stored


def test_item_has_the_keys_and_attributes_that_deployed_functions_read_and_write(env: Environment) -> None:
    env.chance = 0.25
    env.tries_and_fails(refuses("1", "2", "3"))
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
    first, second = (
        {"ConditionExpression": "attribute_not_exists(pk)"},
        {
            "ConditionExpression": "revision = :revision",
            "ExpressionAttributeValues": {":revision": {"N": "1"}},
        },
    )
    assert env.client.puts == [{"TableName": TABLE, "Item": opened, **first}]
    env.clock.now += 100
    env.function().admit(configuration="b", until=env.clock.now + 900.5)
    claimed = {**opened, "revision": {"N": "2"}, "claimed_until": {"N": "1795393000.500"}}
    assert env.client.puts[1:] == [{"TableName": TABLE, "Item": claimed, **second}]


# Without a ledger that works


def dynamodb_error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


class Broken:
    """Fails every request of a kind."""

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
def test_breaker_that_cannot_be_read_lets_everybody_through_and_says_so_once(
    env: Environment, error: Exception, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    function = env.function(Broken(env.client, operation="get_item", error=error))
    for _ in range(3):
        assert env.let_through(function)
        assert function.failed(REFUSED, configuration="a") is None
        assert function.succeeded() is None
        function.release()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "deliveries continue without the circuit breaker" in record.message
    assert what in record.message


def test_breaker_that_cannot_be_written_lets_through_whoever_may_try(
    env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    env.tries_and_fails(REFUSED)
    denied = dynamodb_error("AccessDeniedException", "PutItem")
    function = env.function(Broken(env.client, operation="put_item", error=denied))
    assert not env.let_through(function)
    env.clock.now += 300
    assert env.let_through(function)
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
def test_item_that_is_corrupt_stops_no_delivery_and_is_named(
    env: Environment, damage: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    env.tries_and_fails(REFUSED)
    good = env.dynamodb.get_item(TableName=TABLE, Key=KEY)["Item"]
    env.dynamodb.put_item(TableName=TABLE, Item={**good, **damage} if damage else KEY)
    function = env.function()
    assert env.let_through(function)
    assert function.failed(REFUSED, configuration="a") is None
    assert f"partner#{SERVER}" in caplog.text
    assert "Delete the item" in caplog.text


def test_without_a_table_everybody_is_let_through() -> None:
    breaker: CircuitBreaker = NoCircuitBreaker()
    breaker.admit(configuration="a", until=0)
    assert breaker.failed(REFUSED, configuration="a") is None
    assert breaker.succeeded() is None
    breaker.release()
    breaker.admit(configuration="a", until=0)
