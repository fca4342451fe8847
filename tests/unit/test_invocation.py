"""One invocation: the partner is left in peace where he must be, and everybody concerned is told once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from s3_to_sftp.credentials import SecretCredentials
from s3_to_sftp.delivery.invocation import Deliveries
from s3_to_sftp.errors import (
    AlreadyDelivered,
    AlreadyGone,
    ConnectionLost,
    CredentialsError,
    DeliveryError,
    LoginRefused,
    PartnerLeftInPeace,
    PartnerRefusesWrites,
    PartnerUnreachable,
    RequestRefused,
    Superseded,
    ToBeContinued,
)
from s3_to_sftp.events import Silent
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp import open_files
from s3_to_sftp.sftp.client import Partner
from s3_to_sftp.sftp.connection import Timeouts
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.state.circuit_breaker import DynamoBreaker, Opened, Recovered
from s3_to_sftp.state.receipt import Receipt
from tests.ledger_site import TABLE, create_table, raising
from tests.unit.delivery_site import DeliverySite, crc_of
from tests.unit.scripted_server import Asked, refusing, silent_at, status
from tests.unit.site import SERVER

DOWN = PartnerUnreachable("down.", hint="wait.")
NO_LOGIN = LoginRefused("no.", hint="mend.")
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


class Listener(Silent):
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


class Reports:
    """What was reported of each object."""

    def __init__(self) -> None:
        self.of: list[tuple[str, Receipt | Exception]] = []
        self.breaker_open: list[bool] = []

    def delivered(self, receipt: Receipt) -> None:
        self.of.append((receipt.ref.key, receipt))

    def not_delivered(self, error: Exception, ref: ObjectRef) -> None:
        self.of.append((ref.key, error))

    def breaker(self, *, is_open: bool) -> None:
        self.breaker_open.append(is_open)


class InvocationSite:
    """A partner, a secret and a breaker that many functions share."""

    def __init__(self, dynamodb: Any) -> None:
        self.dynamodb = dynamodb
        self.desk = DeliverySite(dynamodb, {"a": b"A", "b": b"B"})
        self.clock = self.desk.ledger.clock
        self.secret = Secret()
        self.listener = Listener()
        self.reports = Reports()
        self.ended = 0

    def function(self) -> Deliveries:
        credentials = SecretCredentials(secret_arn="arn", client=self.secret)
        partner = Partner(SERVER, credentials, timeouts=Timeouts(), connect=self.desk.site.connect)
        return Deliveries(
            server=SERVER,
            credentials=credentials,
            delivery=self.desk.function(partner=partner),
            breaker=DynamoBreaker(
                self.desk.ledger.dynamodb, TABLE, str(SERVER), clock=self.clock, random=lambda: 0
            ),
            announcements=self.listener,
            reporter=self.reports,
            end_of_invocation=self._end,
        )

    def _end(self) -> None:
        self.ended += 1

    def invoke(
        self, *keys: str, function: Deliveries | None = None, budget: int | None = None
    ) -> dict[str, Exception]:
        refs = [self.desk.ref(key) for key in keys or self.desk.s3.objects]
        errors = (function or self.function()).deliver(refs, self.desk.deadline(budget=budget))
        return {ref.key: error for ref, error in errors.items()}

    @property
    def tried(self) -> int:
        """Connections that were asked for."""
        return self.desk.site.tried[0]

    def breaks(self, error: Exception) -> None:
        self.desk.site.before_connect[0] = raising(error)

    def is_mended(self) -> None:
        self.desk.site.before_connect.clear()


@pytest.fixture
def site(dynamodb: Any) -> Iterator[InvocationSite]:
    create_table(dynamodb)
    yield InvocationSite(dynamodb)
    dynamodb.delete_table(TableName=TABLE)


def kinds(errors: dict[str, Exception]) -> dict[str, type]:
    return {key: type(error) for key, error in errors.items()}


# --- what is told ---


def test_delivered_objects_are_no_errors_and_are_reported(site: InvocationSite) -> None:
    assert site.invoke() == {}
    assert sorted(key for key, _ in site.reports.of) == ["a", "b"]
    assert {type(outcome) for _, outcome in site.reports.of} == {Receipt}


def test_one_bad_object_never_costs_the_others(site: InvocationSite) -> None:
    site.desk.site.scripts[0] = refusing(Request.WRITE, number=1)
    errors = site.invoke()
    assert len(errors) == 1
    assert sorted(type(outcome).__name__ for _, outcome in site.reports.of) == ["Receipt", "RequestRefused"]


def test_delivery_is_announced_with_all_that_proves_it(site: InvocationSite) -> None:
    site.invoke("a")
    (told,) = site.listener.heard
    assert told == site.reports.of[-1][1], "what is announced is what was reported"
    assert told.ref == site.desk.ref("a")
    assert (told.remote_path, told.size, told.checksum) == ("inbox/a", 1, crc_of(b"A"))
    assert (told.attempt, told.host_key_fingerprint) == (1, "SHA256:abc")


def test_objects_that_are_gone_are_announced_and_duplicates_are_not(site: InvocationSite) -> None:
    site.invoke("a")
    site.listener.heard.clear()
    gone = site.desk.ref("b")
    del site.desk.s3.objects["b"]
    errors = site.function().deliver([site.desk.ref("a"), gone], site.desk.deadline())
    assert sorted(type(error).__name__ for error in errors.values()) == ["AlreadyDelivered", "AlreadyGone"]
    assert site.listener.heard == [("gone", gone, errors[gone])]


def test_superseded_object_is_announced(site: InvocationSite) -> None:
    newer = dataclasses.replace(site.desk.ref("a"), sequencer="0B")
    site.function().deliver([newer], site.desk.deadline())
    site.listener.heard.clear()
    errors = site.invoke("a")
    assert kinds(errors) == {"a": Superseded}
    assert site.listener.heard == [(site.desk.ref("a"), errors["a"])]


@pytest.mark.parametrize("error", [None, ConnectionLost("cut.", hint=""), NO_LOGIN, DOWN])
def test_connections_are_seen_to_when_nothing_more_is_sent(
    error: Exception | None, site: InvocationSite
) -> None:
    if error is not None:
        site.breaks(error)
    site.invoke("a", "b")
    assert site.ended == 1


def test_invocation_without_objects_asks_nobody_anything(site: InvocationSite) -> None:
    assert site.function().deliver([], site.desk.deadline()) == {}
    assert site.secret.reads == 0


# --- the breaker opens ---


def test_refused_login_leaves_the_partner_in_peace_at_once(site: InvocationSite) -> None:
    site.breaks(NO_LOGIN)
    assert kinds(site.invoke()) == {"a": LoginRefused, "b": LoginRefused}
    assert kinds(site.invoke()) == {"a": PartnerLeftInPeace, "b": PartnerLeftInPeace}
    assert site.tried == 1


def test_unreachable_partner_is_left_in_peace_after_three_invocations(site: InvocationSite) -> None:
    site.breaks(DOWN)
    found = [set(kinds(site.invoke()).values()) for _ in range(5)]
    assert found == [{PartnerUnreachable}] * 3 + [{PartnerLeftInPeace}] * 2
    assert site.tried == 3


def test_warm_function_counts_every_invocation_that_fails(site: InvocationSite) -> None:
    site.desk.site.before_connect[0] = lambda: raising(PartnerUnreachable("down.", hint="wait."))()
    function = site.function()
    found = [set(kinds(site.invoke(function=function)).values()) for _ in range(4)]
    assert found == [{PartnerUnreachable}] * 3 + [{PartnerLeftInPeace}]


def test_partner_that_is_left_in_peace_costs_neither_a_read_nor_a_lease(site: InvocationSite) -> None:
    site.breaks(NO_LOGIN)
    site.invoke("a")
    requests = len(site.desk.s3.heads) + len(site.desk.s3.requests)
    errors = site.invoke("b")
    assert len(site.desk.s3.heads) + len(site.desk.s3.requests) == requests
    assert site.desk.item(site.desk.ref("b")) == {}
    assert 0 < getattr(errors["b"], "retry_after", 0) <= 360


def test_partner_that_is_left_in_peace_is_announced_once(site: InvocationSite) -> None:
    site.breaks(NO_LOGIN)
    for _ in range(3):
        site.invoke()
    (opened,) = site.listener.heard
    assert isinstance(opened, Opened)
    assert (opened.server, opened.reason, opened.error, opened.failures) == (
        str(SERVER),
        "no.",
        "LoginRefused",
        1,
    )


def test_opening_and_closing_are_counted(site: InvocationSite) -> None:
    site.breaks(NO_LOGIN)
    site.invoke()
    assert site.reports.breaker_open == [True]
    site.invoke()
    assert site.reports.breaker_open == [True, True], "turned away"
    site.clock.now += 3600
    site.is_mended()
    site.reports.breaker_open.clear()
    site.invoke()
    site.invoke()
    assert site.reports.breaker_open == [False]


def test_secret_that_cannot_be_used_counts_against_the_partner(site: InvocationSite) -> None:
    site.secret.text = "broken"
    found = [set(kinds(site.invoke()).values()) for _ in range(4)]
    assert found == [{CredentialsError}] * 3 + [{PartnerLeftInPeace}]
    assert site.tried == 0


@pytest.mark.parametrize(
    "script", [silent_at(Request.WRITE), refusing(Request.WRITE)], ids=["lost", "refused"]
)
def test_failure_of_a_file_says_nothing_about_the_partner(script: Any, site: InvocationSite) -> None:
    site.desk.site.scripts[0] = script
    for _ in range(5):
        assert set(kinds(site.invoke("a")).values()) <= {ConnectionLost, RequestRefused}
    assert site.tried == 5
    assert site.listener.heard == []


# --- and closes ---


def opened(site: InvocationSite) -> InvocationSite:
    """The partner is left in peace, but his time is over."""
    site.breaks(NO_LOGIN)
    site.invoke()
    site.listener.heard.clear()
    site.desk.site.tried.clear()
    site.clock.now += 3600
    return site


def test_first_delivery_after_its_time_lets_everybody_in_again(site: InvocationSite) -> None:
    opened(site).is_mended()
    assert site.invoke() == {}
    site.invoke()
    assert site.tried == 1
    (recovered,) = site.listener.of(Recovered)
    assert (recovered.server, recovered.error, recovered.failures) == (str(SERVER), "LoginRefused", 1)


def test_failure_after_its_time_is_one_try_and_no_news(site: InvocationSite) -> None:
    opened(site)
    assert kinds(site.invoke()) == {"a": LoginRefused, "b": LoginRefused}
    assert set(kinds(site.invoke()).values()) == {PartnerLeftInPeace}
    assert site.tried == 1
    assert site.listener.heard == []


@pytest.mark.parametrize("kind", ["refused", "part"])
def test_server_that_answers_is_no_longer_left_in_peace(kind: str, site: InvocationSite) -> None:
    opened(site).is_mended()
    if kind == "refused":
        site.desk.site.scripts[0] = refusing(Request.OPEN)
        assert set(kinds(site.invoke()).values()) == {RequestRefused}
    else:
        site.desk.site.max_write = 16 * 1024
        site.desk.s3.objects["big"] = bytes(2 * 1024 * 1024)
        assert kinds(site.invoke("big", budget=1)) == {"big": ToBeContinued}
    assert len(site.listener.of(Recovered)) == 1


def test_function_that_learned_nothing_lets_another_one_try(site: InvocationSite) -> None:
    opened(site).is_mended()
    gone = dataclasses.replace(site.desk.ref("a"), key="gone")
    (error,) = site.function().deliver([gone], site.desk.deadline()).values()
    assert isinstance(error, AlreadyGone)
    assert site.invoke() == {}


def test_only_one_function_tries_at_a_time(site: InvocationSite) -> None:
    opened(site)
    others: list[dict[str, Exception]] = []

    def another_comes() -> None:
        site.is_mended()
        others.append(site.invoke())

    site.desk.site.before_connect[0] = another_comes
    assert site.invoke() == {}
    assert set(kinds(others[0]).values()) == {PartnerLeftInPeace}
    assert site.tried == 1


def test_function_that_was_killed_lets_another_one_try_when_its_time_is_over(site: InvocationSite) -> None:
    opened(site)
    ends_at = site.desk.deadline().ends_at
    found: list[dict[str, type]] = []

    def hangs() -> None:
        site.is_mended()
        site.clock.now = ends_at - 1
        found.append(kinds(site.invoke()))
        site.clock.now = ends_at
        found.append(kinds(site.invoke()))

    site.desk.site.before_connect[0] = hangs
    site.invoke()
    assert found == [{"a": PartnerLeftInPeace, "b": PartnerLeftInPeace}, {}]


# --- files that are refused alike ---

DENIED = refusing(Request.OPEN, Status.PERMISSION_DENIED)


def with_objects(site: InvocationSite, *keys: str) -> InvocationSite:
    site.desk.s3.objects.update({key: key.encode() for key in keys})
    return site


def refuses_all(site: InvocationSite) -> InvocationSite:
    site.desk.site.scripts[0] = DENIED
    return site


def accepts_all(site: InvocationSite) -> None:
    site.desk.site.scripts.clear()


def test_partner_who_refuses_every_file_alike_is_asked_no_more_for_a_minute(site: InvocationSite) -> None:
    refuses_all(with_objects(site, "c"))
    assert set(kinds(site.invoke()).values()) == {RequestRefused}
    assert set(kinds(site.invoke()).values()) == {PartnerLeftInPeace}
    (opened,) = site.listener.heard
    assert (opened.error, opened.failures, opened.retry_at) == (
        "PartnerRefusesWrites",
        3,
        site.clock.now + 60,
    )
    assert site.reports.breaker_open == [True, True]
    assert site.tried == 1


def test_refusals_of_different_objects_are_counted_over_invocations(site: InvocationSite) -> None:
    refuses_all(with_objects(site, "c"))
    for key in ("a", "a", "b", "b", "a"):
        assert kinds(site.invoke(key)) == {key: RequestRefused}
    assert site.listener.heard == []
    assert kinds(site.invoke("c")) == {"c": RequestRefused}
    assert kinds(site.invoke("a")) == {"a": PartnerLeftInPeace}


def test_file_that_is_accepted_in_between_ends_the_row(site: InvocationSite) -> None:
    refuses_all(with_objects(site, "c", "good"))
    site.invoke("a", "b")
    accepts_all(site)
    assert site.invoke("good") == {}
    refuses_all(site)
    assert kinds(site.invoke("c")) == {"c": RequestRefused}
    assert len(site.listener.of(Opened)) == 0


def test_files_that_are_refused_beside_others_do_not_open_it(site: InvocationSite) -> None:
    def locked(asked: Asked) -> bytes | None:
        denied = asked.kind == Request.OPEN and "/locked/" in asked.texts[0]
        return status(asked, Status.PERMISSION_DENIED) if denied else None

    with_objects(site, *(f"locked/{number}" for number in range(8)))
    site.desk.site.scripts[0] = locked
    found = site.invoke()
    assert kinds(found) == {f"locked/{number}": RequestRefused for number in range(8)}
    assert site.listener.of(Opened) == []
    assert site.reports.breaker_open == [False]


def opened_by_refusals(site: InvocationSite) -> InvocationSite:
    """The partner has refused everything, but his time is over."""
    refuses_all(with_objects(site, "c")).invoke()
    site.listener.heard.clear()
    site.reports.breaker_open.clear()
    site.desk.site.tried.clear()
    site.clock.now += 60
    return site


def test_one_function_tries_whether_files_are_accepted_again(site: InvocationSite) -> None:
    opened_by_refusals(site)
    assert kinds(site.invoke("a")) == {"a": RequestRefused}
    assert kinds(site.invoke("b")) == {"b": PartnerLeftInPeace}
    assert (site.tried, site.listener.heard) == (1, [])
    assert False not in site.reports.breaker_open, "it is still open"
    site.clock.now += 119
    assert kinds(site.invoke("b")) == {"b": PartnerLeftInPeace}
    site.clock.now += 1
    accepts_all(site)
    assert site.invoke() == {}
    (recovered,) = site.listener.of(Recovered)
    assert recovered.error == "PartnerRefusesWrites"


def test_another_directory_is_tried_at_once(site: InvocationSite) -> None:
    opened_by_refusals(site)
    site.clock.now -= 60
    accepts_all(site)
    assert set(kinds(site.invoke()).values()) == {PartnerLeftInPeace}
    changed = site.function()
    changed._directory = "elsewhere"
    assert site.invoke(function=changed) == {}


def test_rest_of_a_large_batch_waits_and_opens_it_once(
    site: InvocationSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "FILES_AT_A_TIME", 4)
    refuses_all(with_objects(site, *(f"{number:02}" for number in range(20))))
    found = kinds(site.invoke())
    assert set(found.values()) == {RequestRefused, PartnerRefusesWrites}
    assert list(found.values()).count(RequestRefused) <= 4
    assert len(site.listener.of(Opened)) == 1
    assert site.reports.breaker_open == [True]


# --- a person mends the secret ---


def test_changed_secret_is_tried_at_once(site: InvocationSite) -> None:
    site.breaks(NO_LOGIN)
    function = site.function()
    site.invoke(function=function)
    site.is_mended()
    site.secret.change()
    assert site.invoke(function=function) == {}
    assert site.desk.site.logins[-1].password == f"{CANARY}-2"
    assert len(site.listener.of(Recovered)) == 1


def test_unchanged_secret_is_looked_at_and_nobody_connects(site: InvocationSite) -> None:
    site.breaks(NO_LOGIN)
    function = site.function()
    site.invoke(function=function)
    reads = site.secret.reads
    site.invoke(function=function)
    assert (site.secret.reads, site.tried) == (reads + 1, 1)


def test_secret_that_is_changed_to_another_wrong_one_is_tried_once(site: InvocationSite) -> None:
    site.breaks(NO_LOGIN)
    site.invoke()
    site.secret.change()
    for _ in range(3):
        site.invoke()
    assert site.tried == 2


def test_mended_secret_is_noticed_after_an_unusable_one(site: InvocationSite) -> None:
    site.secret.text = "broken"
    function = site.function()
    for _ in range(4):
        site.invoke(function=function)
    site.secret.change()
    assert site.invoke(function=function) == {}


def test_breaker_knows_nothing_of_the_login(site: InvocationSite) -> None:
    site.breaks(NO_LOGIN)
    site.invoke()
    items = site.dynamodb.scan(TableName=TABLE)["Items"]
    assert any(item["sk"]["S"] == "breaker" for item in items)
    assert CANARY not in repr(items)


def test_duplicates_are_settled_while_nothing_is_known_against_the_partner(site: InvocationSite) -> None:
    site.invoke()
    assert set(kinds(site.invoke()).values()) == {AlreadyDelivered}
    assert site.tried == 1
