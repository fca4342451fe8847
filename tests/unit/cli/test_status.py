"""`status` and `watch`: present facts only, each part by itself, and the command to type next."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3_to_sftp_cli import deliveries_today, status_reader, unfinished_actions
from s3_to_sftp_cli.commands import status as status_command
from s3_to_sftp_cli.deliveries_today import percentile, todays_metrics
from s3_to_sftp_cli.errors import ExitCode
from s3_to_sftp_cli.ledger import LedgerReader
from s3_to_sftp_cli.status import InFlight, Today
from s3_to_sftp_cli.status_reader import StatusReader, offered_host_key
from s3_to_sftp_cli.unfinished_actions import UnfinishedActions
from tests.support.cli import FUNCTION, CliEnvironment, check_schema
from tests.support.ledger_environment import ref

NOW = datetime(2026, 11, 29, 2, 44, tzinfo=UTC)
"""What time it is for the reader, where a test depends on it."""


@pytest.fixture
def at_night(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> CliEnvironment:
    """It is a quarter to three, for the function and for the person who was woken."""
    monkeypatch.setattr(status_command, "local_now", lambda: NOW)
    cli.ledger.clock.now = NOW.timestamp()
    return cli


def line(text: str, label: str) -> str:
    """The line with a label, with what it is continued by."""
    lines = text.splitlines()
    start = next(number for number, each in enumerate(lines) if each.startswith(f"{label:<10}"))
    more = []
    for each in lines[start + 1 :]:
        if not each.startswith(" " * 10):
            break
        more.append(each.strip())
    return " ".join([lines[start][10:], *more])


def status_json(cli: CliEnvironment) -> Any:
    document = cli.run("status", "--json").json
    check_schema("status", document)
    return document


# --- the whole ---


def test_shows_everything_of_a_bad_night(at_night: CliEnvironment) -> None:
    cli, now = at_night, NOW.timestamp()
    for number in range(3):
        cli.delivered(f"done{number}", size=10**9, seconds=1.9, at=now - 3600)
    for number in range(8):
        cli.failed(f"refused{number}")
    for number in range(3):
        cli.failed(f"named{number}", error="RemotePathRefused", operation="", sftp_status="")
    cli.pause(until=datetime(2026, 11, 29, 6, 0, tzinfo=UTC).timestamp())
    cli.breaker(since=now - 1800, retry_at=now + 1800)
    with cli.at(now - 360):
        cli.waiting("w.csv", next_try=now + 60)
    cli.announce(ref())
    cli.announce(ref(), delay=600)
    cli.deploy(configuration={"Timeout": 900})
    cli.sending(
        "2026/big.bin",
        progress={"bytes": 8_100_000_000, "total": 20_000_000_000, "at": now},
        lease_until=now - 112.5 + 902,
    )
    outcome = cli.run("status")
    assert outcome.stdout == (
        """\
Acme-Function → sftp.acme.example:22 /inbox
          PAUSED until 06:00 (planned maintenance)
partner   login refused since 02:14 (4 attempts), next attempt 03:14
          The server refused the login of 'us'.
queue     1 waiting, oldest 6 min     deferred 1, next 02:45
          dead-lettered 11 (8 RequestRefused PERMISSION_DENIED create, 3
          RemotePathRefused)
sending   2026/big.bin   8.1 of 20.0 GB   40 %   72.0 MB/s   done about 02:46
today     3 delivered, 3.0 GB, p95 1.9 s, 0 superseded     (UTC day 2026-11-29)
next      s3-to-sftp resume  (deliveries are paused)
          s3-to-sftp doctor  (names the cause, and what to write to the partner)
          s3-to-sftp retry --partner
          (when the cause is fixed: tries once, then everything that waits)
          s3-to-sftp redrive --error RequestRefused  (when the cause is fixed)
          s3-to-sftp receipts --failed
          (RemotePathRefused: sending again cannot help; note the keys, then
          cancel)
"""
    )
    assert outcome.code == 3
    assert max(map(len, outcome.stdout.splitlines())) <= 80


def test_quiet_delivery_needs_nobody(at_night: CliEnvironment) -> None:
    at_night.delivered("a.csv", at=NOW.timestamp() - 600)
    outcome = at_night.run("status")
    assert outcome.code == 0
    assert line(outcome.stdout, "partner") == "accepting files, last delivery 02:34"
    assert line(outcome.stdout, "queue") == "0 waiting     deferred 0     dead-lettered 0"
    assert line(outcome.stdout, "sending") == "nothing"
    assert "next " not in outcome.stdout


def test_json_has_the_same(cli: CliEnvironment) -> None:
    cli.breaker()
    cli.failed()
    cli.pause()
    document = status_json(cli)
    assert document["attention"]
    assert document["paused"]["reason"] == "planned maintenance"
    assert document["partner"]["circuit_breaker"] == "open"
    assert document["dead_letters"]["groups"] == [
        {
            "count": 1,
            "state": "FAILED",
            "error": "RequestRefused",
            "sftp_status": "PERMISSION_DENIED",
            "operation": "create",
        }
    ]
    assert document["next"][0]["command"] == "s3-to-sftp resume"


def test_long_name_has_a_line_of_its_own(cli: CliEnvironment) -> None:
    cli.deploy(function="S3ToSftp-DeliveryFunction8263A102-3274BCB11DA54", directory="/incoming/of/ours")
    lines = cli.run("status").stdout.splitlines()
    assert lines[0] == "S3ToSftp-DeliveryFunction8263A102-3274BCB11DA54"
    assert lines[1] == "          → sftp.acme.example:22 /incoming/of/ours"


# --- the pause ---


def test_pause_that_is_over_is_not_shown(cli: CliEnvironment) -> None:
    cli.pause(until=time.time() - 1)
    assert status_json(cli)["paused"] is None


def test_pause_with_an_end_needs_nobody(cli: CliEnvironment) -> None:
    cli.pause(until=time.time() + 3600)
    assert not status_json(cli)["attention"]


@pytest.mark.parametrize(("hours", "is_forgotten"), [(11, False), (13, True)])
def test_pause_without_an_end_needs_a_person_after_twelve_hours(
    cli: CliEnvironment, hours: int, *, is_forgotten: bool
) -> None:
    cli.pause(since=time.time() - hours * 3600)
    assert status_json(cli)["attention"] is is_forgotten
    assert "PAUSED until resumed" in cli.run("status").stdout


def test_disabled_trigger_needs_a_person(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_reader.StatusReader, "_is_disabled", lambda self: True)
    outcome = cli.run("status")
    assert "DISABLED" in outcome.stdout
    assert "deploy with enabled=True" in outcome.stdout
    assert outcome.code == 3


# --- the partner ---


def test_attempt_in_the_past_is_due(cli: CliEnvironment) -> None:
    cli.breaker(retry_at=time.time() - 60)
    assert "next attempt due" in line(cli.run("status").stdout, "partner")


def test_attempt_under_way_is_said(cli: CliEnvironment) -> None:
    cli.breaker(claimed_until=time.time() + 60)
    assert "an attempt is under way" in line(cli.run("status").stdout, "partner")


def test_failures_below_the_threshold_do_not_open_the_circuit_breaker(cli: CliEnvironment) -> None:
    cli.breaker(openings={}, failures=2, error="PartnerUnreachable", reason="No answer.")
    outcome = cli.run("status")
    assert "2 failed attempts" in line(outcome.stdout, "partner")
    assert "circuit breaker closed" in outcome.stdout
    assert outcome.code == 0


def test_closed_circuit_breaker_forgets_the_failures_of_before(cli: CliEnvironment) -> None:
    cli.breaker(openings={}, failures=0, since=0, error="", reason="")
    assert status_json(cli)["partner"]["since"] is None
    assert "accepting files" in cli.run("status").stdout


def test_changed_host_key_is_trusted_with_the_fingerprint_that_the_server_shows(cli: CliEnvironment) -> None:
    shown = "SHA256:" + "a" * 43
    cli.breaker(error="HostKeyRefused", openings={"HostKeyRefused": 1})
    hint = f"Pinned: SHA256:{'b' * 43}. It offers 'x y' ({shown}). Verify it."
    cli.log({"level": "ERROR", "message": "not delivered", "error": "HostKeyRefused", "hint": hint})
    assert f"s3-to-sftp trust-host-key {shown} --reason TEXT" in cli.run("status").stdout


def test_changed_host_key_without_a_known_fingerprint_leads_to_the_doctor(cli: CliEnvironment) -> None:
    cli.breaker(error="HostKeyRefused", openings={"HostKeyRefused": 1})
    assert status_json(cli)["next"][0]["command"].startswith("s3-to-sftp doctor")


def test_fingerprint_of_a_pinned_key_is_not_the_offered_one() -> None:
    assert offered_host_key(f"Pinned: SHA256:{'b' * 43}.") == ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("PartnerUnreachable", "not reachable"),
        ("PartnerRefusesWrites", "files refused"),
        ("NewError", "NewError"),
    ],
)
def test_kind_of_refusal_is_in_words(cli: CliEnvironment, error: str, words: str) -> None:
    cli.breaker(error=error, openings={error: 1})
    assert line(cli.run("status").stdout, "partner").startswith(words)


def test_text_of_the_partner_cannot_move_the_cursor(cli: CliEnvironment) -> None:
    cli.breaker(reason="\x1b[2Jgone")
    assert "\x1b" not in cli.run("status").stdout


def test_corrupt_circuit_breaker_hides_only_its_line(cli: CliEnvironment) -> None:
    cli.breaker(failures="many")
    assert cli.run("status").code == ExitCode.FAILED
    document = status_json(cli)
    assert document["partner"] is None
    assert document["unavailable"][0]["part"] == "partner"
    assert document["queue"] is not None


# --- the queue ---


def test_next_try_in_the_past_is_due(cli: CliEnvironment) -> None:
    cli.waiting(next_try=time.time() - 1)
    cli.announce(ref(), delay=60)
    assert "deferred 1, next due" in line(cli.run("status").stdout, "queue")


def test_objects_that_wait_by_the_partners_rules_are_told_and_worry_nobody(cli: CliEnvironment) -> None:
    long_ago = {"status_at": "2026-01-01T00:00:00.000000Z", "first_seen": "2026-01-01T00:00:00.000000Z"}
    opens = time.time() + 7200
    cli.waiting("w.csv", error="WindowClosed", next_try=opens, **long_ago)
    cli.waiting("d.csv", error="DropRateReached", next_try=time.time() + 60, **long_ago)
    document = status_json(cli)
    assert document["in_flight"]["waiting_for_window"] == 1
    assert document["in_flight"]["waiting_for_drop"] == 1
    assert document["in_flight"]["window_opens_at"] is not None
    assert document["attention"] is False
    outcome = cli.run("status")
    text = " ".join(outcome.stdout.split())
    assert "1 outside the partner's window until" in text
    assert "1 for the partner's rate" in text
    assert "resume --until TIME --reason TEXT" in text


def test_window_that_is_open_by_hand_is_told_and_is_no_pause(cli: CliEnvironment) -> None:
    now = time.time()
    cli.pause(since=now - 60, until=now - 60, open_until=now + 3600, reason="they asked")
    outcome = cli.run("status")
    assert "WINDOWS OPEN until" in outcome.stdout
    assert "PAUSED" not in outcome.stdout
    document = status_json(cli)
    assert document["paused"]["windows_open_until"] is not None
    assert not any("paused" in each["why"] for each in document["next"])


def test_messages_of_objects_that_are_done_are_told_apart_from_deferred_ones(cli: CliEnvironment) -> None:
    cli.delivered("done.csv")  # retried: the first message is still delayed
    cli.waiting("w.csv")
    for _ in range(3):
        cli.announce(ref(), delay=60)
    assert "deferred 3 (2 no longer needed)" in line(cli.run("status").stdout, "queue")


def test_messages_of_what_is_being_sent_are_needed(cli: CliEnvironment) -> None:
    cli.sending("a.csv")
    cli.announce(ref(), delay=60)
    assert line(cli.run("status").stdout, "queue").startswith("0 waiting     deferred 1     ")


def test_object_without_a_running_lease_is_waiting(cli: CliEnvironment) -> None:
    now = time.time()
    cli.sending("dead.bin", lease_until=now - 1, progress={"bytes": 1, "total": 2, "at": now})
    cli.released("again.csv")
    document = status_json(cli)["in_flight"]
    assert (document["waiting"], document["sending"], document["others_being_sent"]) == (2, [], 0)


def test_object_that_waits_for_an_hour_for_no_reason_needs_a_person(cli: CliEnvironment) -> None:
    with cli.at(time.time() - 3700):
        cli.waiting()
    outcome = cli.run("status")
    assert outcome.code == 3
    assert "s3-to-sftp logs --since 1h" in outcome.stdout


def test_object_that_waits_for_the_end_of_a_pause_needs_nobody(cli: CliEnvironment) -> None:
    cli.pause(until=time.time() + 3600)
    with cli.at(time.time() - 3700):
        cli.waiting()
    assert not status_json(cli)["attention"]


def test_failures_are_shown_only_while_there_are_dead_letters(cli: CliEnvironment) -> None:
    cli.failed(dead_letter=False)
    assert status_json(cli)["dead_letters"] == {"count": 0, "groups": [], "looked_at": 0, "complete": True}


def test_dead_letters_that_the_ledger_does_not_know_are_counted(cli: CliEnvironment) -> None:
    cli.failed("a.csv")
    cli.dead_letter(ref(), error="EventError")
    shown = " ".join(cli.run("status").stdout.split())
    assert "dead-lettered 2 (the ledger's 1 object: 1 RequestRefused PERMISSION_DENIED create)" in shown


def test_at_most_a_thousand_failures_are_looked_at(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_reader, "MOST_FAILURES", 2)
    for number in range(3):
        cli.failed(f"{number}")
    dead_letters = status_json(cli)["dead_letters"]
    assert (dead_letters["count"], dead_letters["looked_at"], dead_letters["complete"]) == (3, 2, False)


def test_unknown_outcome_leads_to_the_partner(cli: CliEnvironment) -> None:
    cli.failed(state="UNKNOWN", error="OutcomeUnknown", operation="", sftp_status="")
    assert "ask the partner whether" in cli.run("status").stdout


def test_delivery_without_queues_has_no_queue_line(cli: CliEnvironment) -> None:
    cli.deploy(queue_url=None, dead_letter_queue_url=None)
    outcome = cli.run("status")
    assert outcome.code == 0
    assert "queue  " not in outcome.stdout
    assert status_json(cli)["queue"] is None


# --- uploads ---


def test_stale_progress_is_not_shown(cli: CliEnvironment) -> None:
    cli.sending(progress={"bytes": 1, "total": 2, "at": time.time() - 91})
    in_flight = status_json(cli)["in_flight"]
    assert (in_flight["sending"], in_flight["others_being_sent"]) == ([], 1)
    assert line(cli.run("status").stdout, "sending") == "1 object"


@pytest.mark.parametrize(("limit", "needs_a_person"), [(0, True), (2, False), (None, False)])
def test_function_that_may_not_run_needs_a_person(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch, *, limit: int | None, needs_a_person: bool
) -> None:
    monkeypatch.setattr(status_reader, "reserved_concurrency", lambda *_: limit)
    outcome = cli.run("status")
    assert (outcome.code == 3) is needs_a_person
    assert ("reserved concurrency 0" in outcome.stdout) is needs_a_person
    assert ("delete-function-concurrency" in outcome.stdout) is needs_a_person
    assert status_json(cli)["may_not_run"] is needs_a_person


def test_late_progress_has_neither_a_rate_nor_an_end(at_night: CliEnvironment) -> None:
    now = NOW.timestamp()
    at_night.deploy(configuration={"Timeout": 900})
    progress = {"bytes": 8_000, "total": 20_000, "at": now - 60}
    at_night.sending("killed.bin", progress=progress, lease_until=now + 700)
    shown = line(at_night.run("status").stdout, "sending")
    assert shown == "killed.bin   8.0 of 20.0 kB   40 %   last progress 1 min ago"


@pytest.mark.parametrize(
    ("error", "commands"),
    [
        ("LoginRefused", ["doctor", "retry --partner"]),
        ("PasswordExpired", ["logs --since 1h", "retry --partner"]),
        ("PartnerUnreachable", ["doctor", "addresses", "retry --partner"]),
        ("PartnerRefusesWrites", ["doctor --write", "retry --partner"]),
    ],
)
def test_open_circuit_breaker_leads_to_who_names_the_cause(
    cli: CliEnvironment, error: str, commands: list[str]
) -> None:
    cli.breaker(error=error, openings={error: 1})
    shown = [each["command"] for each in status_json(cli)["next"]]
    assert shown == [f"s3-to-sftp {each}" for each in commands]


def test_five_largest_uploads_are_shown(cli: CliEnvironment) -> None:
    for number in range(1, 8):
        cli.sending(f"{number}.bin", progress={"bytes": 1, "total": number * 1000, "at": time.time()})
    text = cli.run("status").stdout
    assert [
        each.split()[-0 if each.startswith(" ") else 1] for each in text.splitlines() if ".bin" in each
    ] == [f"{number}.bin" for number in (7, 6, 5, 4, 3)]
    assert "2 more objects" in text


def test_rate_leaves_out_what_earlier_invocations_sent(cli: CliEnvironment) -> None:
    now = time.time()
    cli.deploy(configuration={"Timeout": 900})
    cli.sending(
        progress={"bytes": 1500, "total": 2000, "at": now},
        checkpoint={"offset": 1000},
        lease_until=now - 10 + 902,
    )
    assert status_json(cli)["in_flight"]["sending"][0]["bytes_per_second"] == 50


def test_rate_is_between_two_observations_when_there_are_two(cli: CliEnvironment) -> None:
    now = time.time()
    cli.deploy(configuration={"Timeout": 900})
    lease = cli.sending(progress={"bytes": 1000, "total": 9000, "at": now - 20}, lease_until=now + 800)
    reader = status_reader.StatusReader(
        cli.aws, cli.delivery, LedgerReader(cli.aws.client("dynamodb"), cli.ledger.table)
    )
    at = datetime.fromtimestamp(now, UTC)
    reader.read(at)
    cli.write(lease.ref, progress={"bytes": 5000, "total": 9000, "at": now})
    for _ in range(2):  # also when nothing is new since
        in_flight = reader.read(at).in_flight
        assert isinstance(in_flight, InFlight)
        assert in_flight.uploads[0].rate == pytest.approx(200)


def test_rate_is_left_out_where_it_is_not_known(cli: CliEnvironment) -> None:
    cli.sending("a.bin", progress={"bytes": 0, "total": 2000, "at": time.time()})
    assert line(cli.run("status").stdout, "sending") == "a.bin   0 B of 2.0 kB   0 %"


# --- today ---


def test_time_to_deliver_counts_from_the_first_sight(at_night: CliEnvironment) -> None:
    cli, now = at_night, NOW.timestamp()
    with cli.at(now - 100):
        version = cli.waiting("a.csv", attempts=0)
    cli.write(version, first_seen=f"{datetime.fromtimestamp(now - 100, UTC):%Y-%m-%dT%H:%M:%S.%fZ}")
    cli.write(version, state="SENDING")
    cli.delivered("a.csv", at=now)
    assert status_json(cli)["today"]["p95_seconds"] == pytest.approx(100, abs=0.1)


def test_deliveries_of_yesterday_are_not_todays(at_night: CliEnvironment) -> None:
    at_night.delivered("a.csv", at=NOW.timestamp() - 86_400)
    document = status_json(at_night)
    assert document["today"]["delivered"] == 0
    assert document["partner"]["last_delivery"].startswith("2026-11-28")


def test_second_look_reads_only_what_is_new(at_night: CliEnvironment) -> None:
    cli, now = at_night, NOW
    client = Counting(cli.aws.client("dynamodb"))
    reader = status_reader.StatusReader(cli.aws, cli.delivery, LedgerReader(client, cli.ledger.table))
    for number in range(5):
        cli.delivered(f"{number}", at=now.timestamp() - 60 + number)
    reader.read(now)
    cli.delivered("new", at=now.timestamp())
    client.items = 0
    today = reader.read(now).today
    assert isinstance(today, Today)
    assert today.delivered == 6
    assert client.items == 3  # the one that was the last, the new one, and the latest delivery


class Counting:
    """Counts the items that queries return."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.items = 0

    def query(self, **request: Any) -> Any:
        answer = self._client.query(**request)
        self.items += len(answer["Items"])
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_too_many_deliveries_are_taken_from_the_metrics(
    at_night: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = at_night
    monkeypatch.setattr(deliveries_today, "MOST_TODAY", 2)
    monkeypatch.setattr(
        status_reader,
        "todays_metrics",
        lambda client, function, now: todays_metrics(FakeCloudWatch(), function, now),
    )
    for number in range(2):
        cli.delivered(f"{number}")
    today = status_json(cli)["today"]
    assert (today["delivered"], today["bytes"], today["p95_seconds"], today["superseded"]) == (30, 70, 2.5, 0)
    assert today["source"] == "cloudwatch"
    assert "by CloudWatch" in cli.run("status").stdout


class FakeCloudWatch:
    def get_metric_data(self, **request: Any) -> Any:
        metric = request["MetricDataQueries"][0]["MetricStat"]["Metric"]
        assert {each["Name"]: each["Value"] for each in metric["Dimensions"]} == {
            "function_name": FUNCTION,
            "service": "s3-to-sftp",
        }
        values: dict[str, list[float]] = {
            "delivered": [30.0],
            "bytes": [70.0],
            "p95": [2.5],
            "superseded": [],
        }
        return {"MetricDataResults": [{"Id": name, "Values": each} for name, each in values.items()]}


@pytest.mark.parametrize(("values", "expected"), [([], None), ([3.0], 3.0), (list(range(1, 101)), 95)])
def test_percentile_is_one_of_the_values(values: list[float], expected: float | None) -> None:
    assert percentile(values, 95) == expected


# --- permissions ---


@pytest.mark.parametrize(
    ("action", "label"),
    [
        ("sqs:GetQueueAttributes", "queue"),
        ("dynamodb:GetItem", "partner"),
        ("dynamodb:Query", "today"),
        ("lambda:ListEventSourceMappings", "trigger"),
    ],
)
def test_missing_permission_hides_one_part_names_the_action_and_is_no_success(
    cli: CliEnvironment, action: str, label: str
) -> None:
    cli.refused.add(action)
    outcome = cli.run("status")
    assert f"not allowed: {action}" in line(outcome.stdout, label)
    assert outcome.code == ExitCode.DENIED
    assert action in {each["action"] for each in status_json(cli)["unavailable"]}


def test_what_needs_a_person_counts_more_than_a_part_that_is_not_shown(cli: CliEnvironment) -> None:
    cli.breaker()
    cli.refused.add("sqs:GetQueueAttributes")
    assert cli.run("status").code == ExitCode.ATTENTION


def test_missing_permission_for_metrics_is_shown_where_they_would_be(
    at_night: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_today, "MOST_TODAY", 1)
    at_night.delivered()
    at_night.refused.add("cloudwatch:GetMetricData")
    assert line(at_night.run("status").stdout, "today") == "not allowed: cloudwatch:GetMetricData"


def test_function_without_a_ledger_is_said(cli: CliEnvironment) -> None:
    cli.deploy(table=None)
    outcome = cli.run("status")
    assert outcome.code == 6
    assert "has no ledger" in outcome.stderr


# --- watch ---


def test_watch_prints_a_block_per_interval_where_there_is_no_terminal(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = stop_after(monkeypatch, 2)
    outcome = cli.run("watch", "--interval", "7")
    assert outcome.stdout.count("partner   ") == 2
    assert waits == [7, 7]
    assert outcome.code == 0


def test_watch_prints_json_lines(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, 2)
    documents = cli.run("watch", "--json").lines
    assert len(documents) == 2
    for document in documents:
        check_schema("watch", document)


def test_watch_leaves_the_last_status_on_a_terminal(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich takes it for a terminal
    stop_after(monkeypatch, 2)
    outcome = cli.run("watch")
    assert "accepting files" in outcome.stdout
    assert "Ctrl-C ends it" in outcome.stdout
    assert outcome.code == 0


def stop_after(monkeypatch: pytest.MonkeyPatch, looks: int) -> list[float]:
    """Ctrl-C is pressed in the wait after so many looks."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == looks:
            raise KeyboardInterrupt

    monkeypatch.setattr(status_command, "_wait", wait)
    return waits


def test_addresses_are_shown_while_the_circuit_breaker_is_open(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_reader.StatusReader, "_addresses", lambda self: ("203.0.113.7",))
    assert "203.0.113.7" not in cli.run("status").stdout
    cli.breaker()
    assert "from 203.0.113.7" in cli.run("status").stdout


def test_superseded_versions_of_today_are_counted(at_night: CliEnvironment) -> None:
    at_night.failed("a.csv", state="SUPERSEDED", dead_letter=False)
    at_night.failed("b.csv", state="SUPERSEDED", dead_letter=False, at=NOW.timestamp() - 2 * 86_400)
    assert status_json(at_night)["today"]["superseded"] == 1


def test_next_command_for_a_changed_host_key_that_is_trusted_already_is_retry(cli: CliEnvironment) -> None:
    shown = "SHA256:" + "a" * 43
    cli.breaker(error="HostKeyRefused", openings={"HostKeyRefused": 1})
    hint = f"It offers 'x y' ({shown}). Verify the fingerprint."
    cli.log({"level": "ERROR", "message": "not delivered", "error": "HostKeyRefused", "hint": hint})
    about = {"fingerprint": shown, "since": 0, "reason": "moved", "who": "arn:eve"}
    assert f"s3-to-sftp trust-host-key {shown} --reason TEXT" in cli.run("status").stdout
    cli.item("partner#sftp.acme.example:22", "trusted-host-key", until=time.time() + 3600, **about)
    text = cli.run("status").stdout
    assert "s3-to-sftp trust-host-key" not in text
    assert "not pinned" not in text
    assert "its host key is trusted by now" in text
    assert [each["command"] for each in status_json(cli)["next"]][:1] == ["s3-to-sftp retry --partner"]


def test_host_key_that_is_trusted_on_an_operators_word_is_to_be_pinned(cli: CliEnvironment) -> None:
    until = time.time() + 3600
    about = {"fingerprint": "SHA256:abc", "since": 0, "reason": "moved", "who": "arn:eve"}
    cli.item("partner#sftp.acme.example:22", "trusted-host-key", until=until, **about)
    outcome = cli.run("status")
    assert "host key SHA256:abc trusted until" in outcome.stdout
    assert "pin the trusted host key and deploy" in outcome.stdout
    assert outcome.code == 0
    trusted = status_json(cli)["partner"]["trusted_host_key"]
    assert (trusted["fingerprint"], trusted["who"]) == ("SHA256:abc", "arn:eve")
    cli.item("partner#sftp.acme.example:22", "trusted-host-key", until=time.time() - 1, **about)
    assert "trusted" not in cli.run("status").stdout


def test_next_command_has_the_options_by_which_the_delivery_was_found(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.pause()
    assert (
        "s3-to-sftp resume --name 'My Stack' --region eu-west-1\n"
        in cli.run("status", "--name", "My Stack", "--region", "eu-west-1").stdout
    )
    monkeypatch.setenv("S3_TO_SFTP_NAME", "Acme")
    assert "s3-to-sftp resume  (" in cli.run("status").stdout


# --- what is left to do in S3 ---


def test_unfinished_actions_are_counted_with_those_that_failed(cli: CliEnvironment) -> None:
    cli.deploy(rules="digest")
    day = 86_400
    cli.write(cli.delivered("a", at=time.time() - 3 * day), after={"action": "move", "state": "copied"})
    cli.write(cli.delivered("b"), after={"action": "move", "state": "pending", "reason": "AccessDenied"})
    cli.write(cli.delivered("c"), after={"action": "move", "state": "done"})
    cli.delivered("d")
    document = status_json(cli)
    assert document["after_delivery"] == {"unfinished": 2, "failed": 1, "complete": True}
    assert any("redrive --error AfterDeliveryFailed" in (each["command"] or "") for each in document["next"])
    said = line(cli.run("status").stdout, "after")
    assert " ".join(said.split()) == (
        "2 delivered objects to be tagged, moved or deleted in S3 1 of them failed"
    )


def test_actions_that_are_finished_or_not_wanted_are_not_shown(cli: CliEnvironment) -> None:
    cli.write(cli.delivered("a"), after={"action": "tag", "state": "pending"})
    assert status_json(cli)["after_delivery"] is None
    cli.deploy(rules="digest")
    cli.write(cli.delivered("a", sequencer="0B"), after={"action": "tag", "state": "done"})
    cli.write(ref("0A", key="a"), after={"action": "tag", "state": "gone"})
    assert status_json(cli)["after_delivery"] == {"unfinished": 0, "failed": 0, "complete": True}
    assert "\nafter " not in cli.run("status").stdout


def test_reader_that_looks_again_counts_unfinished_actions_once_a_minute(cli: CliEnvironment) -> None:
    cli.deploy(rules="digest")
    cli.write(cli.delivered("a"), after={"action": "tag", "state": "pending"})
    reader = StatusReader(cli.aws, cli.delivery, LedgerReader(cli.aws.client("dynamodb"), cli.ledger.table))
    now = datetime.now(UTC)
    counts = []
    for seconds in (0, 59, 60):
        after = reader.read(now + timedelta(seconds=seconds)).after
        assert isinstance(after, UnfinishedActions)
        counts.append(after.count)
        cli.write(ref("0A", key="a"), after={"action": "tag", "state": "done"})
    assert counts == [1, 1, 0]


def test_only_the_latest_deliveries_are_looked_at(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished_actions, "_MOST_LOOKED_AT", 2)
    cli.deploy(rules="digest")
    for number in range(3):
        ref_ = cli.delivered(f"a{number}", at=time.time() - 86_400 * number)
        cli.write(ref_, after={"action": "tag", "state": "pending"})
    assert status_json(cli)["after_delivery"] == {"unfinished": 2, "failed": 0, "complete": False}
    assert "(of the last 2 deliveries)" in cli.run("status").stdout
