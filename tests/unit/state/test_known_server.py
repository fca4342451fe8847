"""What a server has shown, remembered in the ledger's table: when it is read, written and forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3_to_sftp.errors import LedgerError, LoginRefused
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.outcomes import CircuitOpen
from s3_to_sftp.sftp.open_files import FILES_AT_A_TIME
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from s3_to_sftp.state.known_server import (
    KNOWN_FOR_SECONDS,
    MOST_FILES,
    DynamoKnownServers,
    known_server_keys,
)
from tests.support.memory_table import MemoryTable

SERVER, USER = "sftp.partner.example:22", "acme"
HOUR = 3600.0
SHOWN = KnownServer(
    host_key="SHA256:abc",
    version="SSH-2.0-OpenSSH_9.2",
    login="0123456789abcdef",
    method="publickey",
    signature="ssh-ed25519",
    extensions=("limits@openssh.com", "posix-rename@openssh.com"),
    opens_window_late=True,
    write_bytes=261120,
    round_trip=0.1,
    connections=8,
    streams=True,
    resume=True,
    replaces=True,
    files=64,
)


class Table(MemoryTable):
    """Counts what is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.puts = 0
        self.fails: LedgerError | None = None

    def read(self, pk: str, sk: str) -> Any:
        self.reads += 1
        return super().read(pk, sk)

    def read_both(self, one: tuple[str, str], other: tuple[str, str]) -> Any:
        self.reads += 1
        if self.fails:
            raise self.fails
        return MemoryTable.read(self, *one), MemoryTable.read(self, *other)

    def put(self, pk: str, sk: str, attributes: Any, *, expected_revision: int) -> bool:
        self.puts += 1
        if self.fails:
            raise self.fails
        return super().put(pk, sk, attributes, expected_revision=expected_revision)


class Clock:
    now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def function(table: Table, clock: Clock) -> Callable[[], tuple[DynamoKnownServers, DynamoCircuitBreaker]]:
    """Starts a fresh function, which has asked the circuit breaker."""

    def start() -> tuple[DynamoKnownServers, DynamoCircuitBreaker]:
        known = DynamoKnownServers(table, SERVER, user=lambda: USER, clock=clock)
        breaker = DynamoCircuitBreaker(None, "", SERVER, beside=known, clock=clock)
        breaker._table = table
        breaker.admit(configuration="c", until=clock.now + 900)
        return known, breaker

    return start


Start = Callable[[], tuple[DynamoKnownServers, DynamoCircuitBreaker]]


def item(table: Table) -> Any:
    return table.items.get(known_server_keys(SERVER, USER))


def test_what_one_function_learns_the_next_one_knows(function: Start) -> None:
    function()[0].learn(SHOWN)
    known = function()[0]
    assert known.current() == SHOWN
    assert known.allows_streams_at_once()


def test_answers_that_are_not_known_stay_so(function: Start) -> None:
    little = KnownServer(host_key="SHA256:abc", version="SSH-2.0-x")
    function()[0].learn(little)
    assert function()[0].current() == little


def test_it_is_read_in_the_request_that_reads_the_breaker(function: Start, table: Table) -> None:
    function()
    assert table.reads == 1


def test_a_warm_function_does_not_read_it_again(function: Start, table: Table, clock: Clock) -> None:
    _, breaker = function()
    both = table.read_both
    table.read_both = None  # type: ignore[assignment, method-assign] # not to be called
    breaker.admit(configuration="c", until=clock.now + 900)
    table.read_both = both  # type: ignore[method-assign]
    assert table.reads == 2


def test_nothing_is_written_while_the_server_shows_the_same(function: Start, table: Table) -> None:
    function()[0].learn(SHOWN)
    again = replace(SHOWN, round_trip=0.13, connections=2, streams=None, resume=None, files=0)
    for _ in range(3):
        function()[0].learn(again)
    assert table.puts == 1
    assert function()[0].current() == SHOWN


def test_it_is_written_again_before_it_expires(function: Start, table: Table, clock: Clock) -> None:
    function()[0].learn(SHOWN)
    clock.now += KNOWN_FOR_SECONDS * 0.6
    function()[0].learn(replace(SHOWN, streams=None))
    assert table.puts == 2
    clock.now += KNOWN_FOR_SECONDS * 0.6
    assert function()[0].current() == SHOWN


def test_what_a_server_could_not_do_is_asked_again_sooner(function: Start, clock: Clock) -> None:
    function()[0].learn(replace(SHOWN, streams=False))
    function()[0].learn(replace(SHOWN, streams=None))
    known = function()[0].current()
    assert known is not None
    assert known.streams is False
    clock.now += KNOWN_FOR_SECONDS * 0.6
    function()[0].learn(replace(SHOWN, streams=None))
    known = function()[0].current()
    assert known is not None
    assert known.streams is None


def test_it_expires(function: Start, clock: Clock) -> None:
    function()[0].learn(SHOWN)
    clock.now += KNOWN_FOR_SECONDS
    known = function()[0]
    assert known.current() is None
    assert not known.allows_streams_at_once()


@pytest.mark.parametrize(
    "news",
    [
        {"method": "password", "signature": ""},
        {"extensions": ()},
        {"streams": False},
        {"connections": 9},
        {"write_bytes": 32768},
        {"login": "another"},
    ],
)
def test_news_is_written(news: dict[str, Any], function: Start) -> None:
    function()[0].learn(SHOWN)
    function()[0].learn(replace(SHOWN, **news))
    assert function()[0].current() == replace(SHOWN, **news)


def test_login_that_has_come_to_need_two_proofs_no_longer_begins_with_one(function: Start) -> None:
    function()[0].learn(replace(SHOWN, method="password", signature=""))
    function()[0].learn(replace(SHOWN, method="", signature=""))
    later = function()[0].current()
    assert later is not None
    assert later.method == "", "the password alone would be refused at the beginning of each connection"


def test_round_trip_that_swings_is_written_once_an_hour(function: Start, table: Table, clock: Clock) -> None:
    far = replace(SHOWN, round_trip=0.5)
    function()[0].learn(SHOWN)
    for shown in (far, SHOWN, far):
        function()[0].learn(shown)
    assert table.puts == 1
    clock.now += HOUR
    function()[0].learn(far)
    assert function()[0].current() == far


def test_what_is_contradicted_is_forgotten_by_all_functions(function: Start) -> None:
    function()[0].learn(SHOWN)
    known = function()[0]
    known.forget("it refused a stream")
    assert known.current() is None
    assert not known.allows_streams_at_once()
    known.learn(None)  # nothing was seen after that
    assert function()[0].current() is None


def test_a_refused_stream_lowers_what_was_accepted(function: Start) -> None:
    function()[0].learn(SHOWN)
    known = function()[0]
    known.forget("it refused a stream")
    fewer = replace(SHOWN, connections=3, at_once=3, streams=None)
    known.learn(fewer)
    assert function()[0].current() == fewer


def test_a_limit_of_connections_at_once_stays_known(function: Start) -> None:
    function()[0].learn(replace(SHOWN, at_once=5))
    function()[0].learn(replace(SHOWN, at_once=0, connections=9))
    later = function()[0].current()
    assert later is not None
    assert later.at_once == 5


def test_limit_of_connections_at_once_is_retried_later(function: Start, clock: Clock) -> None:
    function()[0].learn(replace(SHOWN, connections=8, at_once=2))
    limits = []
    for _ in range(2):
        clock.now += KNOWN_FOR_SECONDS * 0.6
        function()[0].learn(SHOWN)
        later = function()[0].current()
        assert later is not None
        limits.append(later.at_once)
    assert limits == [4, 0]


@pytest.mark.parametrize(("files", "then"), [(0, [0, 0]), (1, [2, 4]), (48, [64, 64])])
def test_limit_of_open_files_is_raised_later(
    files: int, then: list[int], function: Start, clock: Clock
) -> None:
    function()[0].learn(replace(SHOWN, files=files))
    limits = []
    for _ in range(2):
        clock.now += KNOWN_FOR_SECONDS * 0.6
        function()[0].learn(replace(SHOWN, files=0))
        later = function()[0].current()
        assert later is not None
        limits.append(later.files)
    assert limits == then


def test_no_more_open_files_are_remembered_than_are_sent_at_a_time() -> None:
    assert MOST_FILES == FILES_AT_A_TIME


def test_refused_shortcuts_stay_known(function: Start) -> None:
    function()[0].learn(SHOWN)
    known = function()[0]
    known.forget("it hung up", by_shortcut=True)
    known.learn(SHOWN)
    function()[0].learn(replace(SHOWN, connections=9))
    later = function()[0].current()
    assert later is not None
    assert later.refuses_shortcuts


def test_refused_shortcuts_stay_known_where_nothing_else_was_seen(function: Start) -> None:
    function()[0].learn(SHOWN)
    known = function()[0]
    known.forget("it hung up", by_shortcut=True)
    known.learn(None)  # without them it did not answer either
    later = function()[0]
    assert later.current() is None
    later.learn(SHOWN)
    assert function()[0].current() == replace(SHOWN, refuses_shortcuts=True)


def test_refused_shortcuts_stay_known_when_something_else_is_contradicted(function: Start) -> None:
    function()[0].learn(replace(SHOWN, refuses_shortcuts=True))
    known = function()[0]
    known.forget("it refused a stream")
    known.learn(SHOWN)
    later = function()[0].current()
    assert later is not None
    assert later.refuses_shortcuts


def end_unheard(function: Start) -> None:
    known = function()[0]
    known.forget("it hung up", unheard=True)
    known.learn(None)
    function()[0].learn(SHOWN)  # the next attempt has waited for it


def test_server_that_hangs_up_again_and_again_before_it_speaks_is_waited_for(function: Start) -> None:
    function()[0].learn(SHOWN)
    refuses = []
    for _ in range(3):
        end_unheard(function)
        later = function()[0].current()
        assert later is not None
        refuses.append(later.refuses_shortcuts)
    assert refuses == [False, False, True]


def test_server_that_has_hung_up_before_it_spoke_gets_another_chance_later(
    function: Start, clock: Clock
) -> None:
    function()[0].learn(SHOWN)
    for _ in range(3):
        end_unheard(function)
    clock.now += KNOWN_FOR_SECONDS * 0.6
    function()[0].learn(SHOWN)
    assert function()[0].current() == SHOWN


def test_refused_shortcuts_are_tried_again_later(function: Start, clock: Clock) -> None:
    function()[0].learn(replace(SHOWN, refuses_shortcuts=True))
    clock.now += KNOWN_FOR_SECONDS * 0.6
    function()[0].learn(SHOWN)
    later = function()[0].current()
    assert later is not None
    assert not later.refuses_shortcuts


def test_warm_function_does_not_rely_on_what_has_expired(function: Start, clock: Clock) -> None:
    known, _ = function()
    known.learn(SHOWN)
    assert known.allows_streams_at_once()
    clock.now += KNOWN_FOR_SECONDS
    assert known.current() is None
    assert not known.allows_streams_at_once()


def test_item_of_a_clock_that_was_far_ahead_counts_as_expired_and_is_replaced(
    function: Start, table: Table, clock: Clock
) -> None:
    clock.now += 10 * KNOWN_FOR_SECONDS
    function()[0].learn(SHOWN)
    clock.now -= 10 * KNOWN_FOR_SECONDS
    known = function()[0]
    assert known.current() is None
    assert not known.allows_streams_at_once()
    known.learn(SHOWN)
    assert float(item(table)["at"]["N"]) == clock.now
    assert function()[0].current() == SHOWN


@pytest.mark.parametrize("hours", [0, 1])
def test_shortcuts_that_another_server_refuses_are_not_retried(
    hours: int, function: Start, table: Table, clock: Clock
) -> None:
    function()[0].learn(SHOWN)
    clock.now += hours * HOUR
    known = function()[0]
    known.forget("it hung up", by_shortcut=True)
    known.learn(replace(SHOWN, version="SSH-2.0-OpenSSH_10.0"))
    later = function()[0].current()
    assert later is not None
    assert later.refuses_shortcuts
    assert later.version == ("SSH-2.0-OpenSSH_10.0" if hours else SHOWN.version)
    function()[0].learn(SHOWN)
    function()[0].learn(replace(SHOWN, version="SSH-2.0-OpenSSH_10.0"))
    assert table.puts == 2


def test_other_server_that_repeatedly_closes_before_its_identification_is_waited_for(function: Start) -> None:
    function()[0].learn(SHOWN)
    refuses = []
    for _ in range(3):
        known = function()[0]
        known.forget("it hung up", unheard=True)
        known.learn(replace(SHOWN, host_key="SHA256:other"))
        later = function()[0].current()
        assert later is not None
        refuses.append(later.refuses_shortcuts)
    assert refuses == [False, False, True]


@pytest.mark.parametrize("other", [{"host_key": "SHA256:other"}, {"version": "SSH-2.0-OpenSSH_10.0"}])
def test_another_server_takes_the_place_once_an_hour(
    other: dict[str, Any], function: Start, table: Table, clock: Clock
) -> None:
    function()[0].learn(SHOWN)
    new = replace(SHOWN, **other, streams=None)
    for _ in range(3):  # servers behind one address take turns
        function()[0].learn(new)
    assert table.puts == 1
    clock.now += HOUR
    function()[0].learn(new)
    assert function()[0].current() == new


def test_the_first_of_two_functions_writes(function: Start, table: Table) -> None:
    one, other = function()[0], function()[0]
    one.learn(SHOWN)
    other.learn(replace(SHOWN, connections=9))
    assert function()[0].current() == SHOWN


def test_open_breaker_allows_one_connection_only(function: Start, clock: Clock) -> None:
    known, breaker = function()
    known.learn(SHOWN)
    breaker.failed(LoginRefused("no.", hint=""), configuration="c")
    with pytest.raises(CircuitOpen):
        function()
    clock.now += HOUR
    known, _ = function()  # the breaker is half-open, and this function has the claim
    assert known.current() == SHOWN
    assert not known.allows_streams_at_once()


def test_table_that_fails_harms_nothing(function: Start, table: Table) -> None:
    function()[0].learn(SHOWN)
    table.fails = LedgerError("away.", hint="")
    known, _ = function()  # the breaker is read alone
    assert known.current() is None
    known.learn(SHOWN)
    table.fails = None
    assert function()[0].current() == SHOWN


def test_write_that_fails_harms_nothing(function: Start, table: Table) -> None:
    known, _ = function()
    table.fails = LedgerError("away.", hint="")
    known.learn(SHOWN)
    assert item(table) is None


def test_corrupt_item_counts_as_nothing_and_is_replaced(function: Start, table: Table) -> None:
    function()[0].learn(SHOWN)
    del table.items[known_server_keys(SERVER, USER)]["version"]
    known, _ = function()
    assert known.current() is None
    known.learn(SHOWN)
    assert function()[0].current() == SHOWN


def test_login_that_cannot_be_read_leaves_the_breaker_alone(table: Table, clock: Clock) -> None:
    def unreadable() -> str:
        raise RuntimeError

    known = DynamoKnownServers(table, SERVER, user=unreadable, clock=clock)
    breaker = DynamoCircuitBreaker(None, "", SERVER, beside=known, clock=clock)
    breaker._table = table
    breaker.admit(configuration="c", until=clock.now + 900)
    assert table.reads == 1
    assert known.current() is None


def test_item_holds_nothing_of_the_login(function: Start, table: Table) -> None:
    function()[0].learn(SHOWN)
    assert set(item(table)) == {*vars(SHOWN), "pk", "sk", "at", "expires", "revision"}


def test_both_items_are_read_in_one_request() -> None:
    from s3_to_sftp.state.table import Table as DynamoTable

    asked: list[Any] = []

    class Client:
        def transact_get_items(self, **request: Any) -> Any:
            asked.append(request)
            return {"Responses": [{"Item": {"pk": {"S": "a"}}}, {}]}

    assert DynamoTable(Client(), "t").read_both(("a", "b"), ("a", "c")) == ({"pk": {"S": "a"}}, None)
    assert [get["Get"]["Key"]["sk"]["S"] for get in asked[0]["TransactItems"]] == ["b", "c"]


def test_read_of_both_that_is_refused_is_a_ledger_error() -> None:
    from s3_to_sftp.state.table import Table as DynamoTable

    class Client:
        def transact_get_items(self, **_request: Any) -> Any:
            raise ClientError({"Error": {"Code": "TransactionCanceledException"}}, "TransactGetItems")

    with pytest.raises(LedgerError):
        DynamoTable(Client(), "t").read_both(("a", "b"), ("a", "c"))
