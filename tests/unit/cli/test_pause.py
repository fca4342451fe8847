"""`pause` and `resume`: what is written, what is said, and what the function makes of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, Hold, read_hold
from s3_to_sftp.state.pause import DynamoPause
from s3_to_sftp.state.table import Table
from s3_to_sftp_cli.commands import pause as pause_module
from s3_to_sftp_cli.control_items import ControlItems
from s3_to_sftp_cli.errors import ExitCode
from tests.support.cli import CliEnvironment, Outcome, check_schema
from tests.support.ledger_environment import ref

NOW = datetime(2026, 11, 29, 2, 44, tzinfo=UTC)
SIX = datetime(2026, 11, 29, 6, 0, tzinfo=UTC).timestamp()


@pytest.fixture
def at_night(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> CliEnvironment:
    monkeypatch.setattr(pause_module, "local_now", lambda: NOW)
    cli.ledger.clock.now = NOW.timestamp()
    return cli


def item_of(cli: CliEnvironment) -> Any:
    return ControlItems(cli.aws.client("dynamodb"), cli.ledger.table).read(HOLD_PK, HOLD_SK)


def hold_of(cli: CliEnvironment) -> Hold:
    return read_hold(item_of(cli))


def held(cli: CliEnvironment) -> bool:
    """Whether the function holds an object back at the time of its clock."""
    function = DynamoPause(Table(cli.aws.client("dynamodb"), cli.ledger.table), clock=cli.ledger.clock)
    return bool(function.held([ref()]))


def paused(cli: CliEnvironment, *more: str) -> Outcome:
    return cli.run("pause", "--reason", "planned maintenance", *more)


# --- pause ---


def test_pause_until_a_time_holds_the_function_until_then(at_night: CliEnvironment) -> None:
    assert not held(at_night)
    outcome = paused(at_night, "--until", "06:00")
    assert (outcome.code, outcome.stderr) == (ExitCode.OK, "")
    assert outcome.stdout == (
        """\
Acme-Function → sftp.acme.example:22 /inbox
PAUSED until 06:00 (planned maintenance)
No new delivery starts. What is under way may finish.
Objects wait in the queue, lose none of their tries, and are delivered
within 6 minutes after the end.
"""
    )
    assert held(at_night)
    at_night.ledger.clock.now = SIX
    assert not held(at_night)


def test_long_names_do_not_break_within_a_word(
    at_night: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = "SftpOrders-DeliveryFunction8263A102-aBcDeFgHiJkL"
    at_night.deploy(function=function)
    monkeypatch.setenv("COLUMNS", "60")
    assert paused(at_night).stdout.splitlines()[:2] == [function, "→ sftp.acme.example:22 /inbox"]
    assert at_night.run("resume").stdout.splitlines()[:2] == [function, "→ sftp.acme.example:22 /inbox"]


def test_clock_time_that_is_tomorrow_is_said_to_be(at_night: CliEnvironment) -> None:
    outcome = paused(at_night, "--until", "01:00")
    assert "PAUSED until Mon 30 Nov 01:00" in outcome.stdout
    assert "note: 01:00 is tomorrow, in 22 h 16 min." in outcome.stderr


def test_pause_records_who_when_and_why(at_night: CliEnvironment) -> None:
    paused(at_night, "--until", "2h")
    hold = hold_of(at_night)
    assert (hold.since, hold.until) == (NOW.timestamp(), NOW.timestamp() + 7200)
    assert (hold.reason, hold.revision) == ("planned maintenance", 1)
    assert hold.who.startswith("arn:aws:")


def test_pause_without_end_warns_of_itself(at_night: CliEnvironment) -> None:
    outcome = paused(at_night)
    assert outcome.code == ExitCode.OK
    assert "PAUSED until resumed" in outcome.stdout
    assert "warning: without --until" in outcome.stderr
    assert "An alarm reminds after 12 h" in outcome.stderr
    assert hold_of(at_night).until is None


def test_long_pause_says_that_the_alarm_will_be_raised(at_night: CliEnvironment) -> None:
    assert "PausedTooLong is raised after 12 h" in paused(at_night, "--until", "2d").stderr


def test_second_pause_is_refused_and_changes_nothing(at_night: CliEnvironment) -> None:
    paused(at_night, "--until", "06:00")
    outcome = at_night.run("pause", "--reason", "another", "--until", "08:00")
    assert outcome.code == ExitCode.CONFLICT
    assert "paused already, until 06:00 (paused by arn:aws:" in outcome.stderr
    assert "--replace" in outcome.stderr
    assert hold_of(at_night).until == SIX


def test_replaced_pause_lasts_from_its_beginning_and_is_kept(
    at_night: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused(at_night, "--until", "06:00")
    later = datetime(2026, 11, 29, 5, 0, tzinfo=UTC)
    monkeypatch.setattr(pause_module, "local_now", lambda: later)
    outcome = at_night.run("pause", "--reason", "they need longer", "--until", "08:00", "--replace")
    assert outcome.code == ExitCode.OK
    assert "instead of: until 06:00" in outcome.stdout
    hold = hold_of(at_night)
    assert (hold.since, hold.reason, hold.revision) == (NOW.timestamp(), "they need longer", 2)
    (earlier,) = item_of(at_night)["earlier"]["L"]
    assert earlier["M"]["reason"] == {"S": "planned maintenance"}


def test_pause_that_is_over_does_not_refuse_the_next(at_night: CliEnvironment) -> None:
    at_night.pause(since=NOW.timestamp() - 7200, until=NOW.timestamp() - 1)
    assert paused(at_night).code == ExitCode.OK
    assert hold_of(at_night).since == NOW.timestamp()


def test_dry_run_needs_no_reason(at_night: CliEnvironment) -> None:
    outcome = at_night.run("pause", "--until", "06:00", "--dry-run")
    assert (outcome.code, item_of(at_night)) == (ExitCode.OK, None)
    assert "would be paused until 06:00" in outcome.stdout


def test_dry_run_says_what_would_be_and_changes_nothing(at_night: CliEnvironment) -> None:
    outcome = paused(at_night, "--until", "06:00", "--dry-run")
    assert "would be paused until 06:00" in outcome.stdout
    assert item_of(at_night) is None


def test_json_is_as_its_schema_says(at_night: CliEnvironment) -> None:
    first = paused(at_night, "--until", "06:00", "--json").json
    check_schema("pause", first)
    assert first["paused"]["until"] == "2026-11-29T06:00:00+00:00"
    assert first["replaced"] is None
    second = paused(at_night, "--replace", "--json").json
    check_schema("pause", second)
    assert second["paused"]["until"] is None
    assert second["replaced"]["until"] == "2026-11-29T06:00:00+00:00"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--reason", " "], ExitCode.USAGE, "got nothing"),
        (["--reason", "x" * 501], ExitCode.USAGE, "got 501 characters"),
        (["--reason", "x", "--until", "soon"], ExitCode.USAGE, "'soon' is not a time"),
        (["--reason", "x", "--until", "2020-01-01"], ExitCode.USAGE, "is not in the future"),
        ([], ExitCode.USAGE, "--reason"),
    ],
)
def test_bad_input_is_told_and_changes_nothing(
    arguments: list[str], code: ExitCode, told: str, at_night: CliEnvironment
) -> None:
    outcome = at_night.run("pause", *arguments)
    assert outcome.code == code
    assert told in outcome.stderr
    assert item_of(at_night) is None


@pytest.mark.parametrize("missing", ["table", "queue_url"])
def test_function_that_would_drop_what_waits_is_not_paused(missing: str, at_night: CliEnvironment) -> None:
    at_night.deploy(**{missing: None})
    assert paused(at_night).code == ExitCode.CONFLICT


def test_missing_permission_is_named(at_night: CliEnvironment) -> None:
    at_night.refused.add("dynamodb:PutItem")
    outcome = paused(at_night)
    assert outcome.code == ExitCode.DENIED
    assert "dynamodb:PutItem" in outcome.stderr


def test_two_operators_at_the_same_time_do_not_overwrite_each_other(
    at_night: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ControlItems.read

    def read_and_lose(items: ControlItems, pk: str, sk: str) -> Any:
        found = read(items, pk, sk)
        at_night.pause(reason="of the other one")
        return found

    monkeypatch.setattr(ControlItems, "read", read_and_lose)
    outcome = paused(at_night)
    assert outcome.code == ExitCode.CONFLICT
    assert "at the same time" in outcome.stderr
    monkeypatch.undo()


# --- resume ---


def test_resume_ends_the_pause_and_records_who_and_when(at_night: CliEnvironment) -> None:
    at_night.pause(since=NOW.timestamp() - 7800)
    outcome = at_night.run("resume", "--reason", "they are back")
    assert outcome.code == ExitCode.OK
    assert "RESUMED" in outcome.stdout
    assert "paused for 2 h 10 min, until resumed (paused by arn:aws:iam::1:user/eve: " in outcome.stdout
    assert not held(at_night)
    resumed = item_of(at_night)["resumed"]["M"]
    assert resumed["reason"] == {"S": "they are back"}
    assert resumed["who"]["S"].startswith("arn:aws:")
    hold = hold_of(at_night)
    assert (hold.until, hold.reason, hold.revision) == (NOW.timestamp(), "planned maintenance", 2)


def test_resume_that_is_not_needed_says_so(at_night: CliEnvironment) -> None:
    outcome = at_night.run("resume")
    assert outcome.code == ExitCode.OK
    assert "not paused" in outcome.stdout
    assert item_of(at_night) is None


def test_resumed_pause_is_kept_when_deliveries_are_paused_again(at_night: CliEnvironment) -> None:
    paused(at_night)
    at_night.run("resume")
    paused(at_night)
    (earlier,) = item_of(at_night)["earlier"]["L"]
    assert "resumed" in earlier["M"]
    assert "resumed" not in item_of(at_night)
    at_night.run("resume")
    assert len(item_of(at_night)["earlier"]["L"]) == 1


def test_history_of_pauses_is_bounded(at_night: CliEnvironment) -> None:
    for _ in range(25):
        paused(at_night, "--replace")
    assert len(item_of(at_night)["earlier"]["L"]) == 20
    assert hold_of(at_night).revision == 25


def test_dry_run_of_resume_changes_nothing(at_night: CliEnvironment) -> None:
    at_night.pause(since=NOW.timestamp())
    assert "would be resumed" in at_night.run("resume", "--dry-run").stdout
    assert held(at_night)


@pytest.mark.parametrize("is_paused", [True, False])
def test_json_of_resume_is_as_its_schema_says(
    is_paused: bool,  # noqa: FBT001 - a parameter
    at_night: CliEnvironment,
) -> None:
    if is_paused:
        at_night.pause(since=NOW.timestamp())
    document = at_night.run("resume", "--json").json
    check_schema("resume", document)
    assert document["resumed"] is is_paused


@pytest.mark.parametrize(
    "attributes", [{"until": "06:00"}, {"revision": "one"}, {"since": -1e18}, {"until": 1e15}]
)
def test_item_that_was_written_by_hand_can_be_ended(
    attributes: dict[str, Any], at_night: CliEnvironment
) -> None:
    at_night.pause(**{"since": NOW.timestamp(), **attributes})
    assert held(at_night)
    assert paused(at_night).code == ExitCode.CONFLICT
    assert at_night.run("resume").code == ExitCode.OK
    assert not held(at_night)


def test_item_without_a_revision_can_be_ended(at_night: CliEnvironment) -> None:
    at_night.item(HOLD_PK, HOLD_SK, since=NOW.timestamp(), reason="by hand")
    assert at_night.run("resume").code == ExitCode.OK
    assert not held(at_night)


def test_what_is_printed_of_the_ledger_cannot_steer_the_terminal(at_night: CliEnvironment) -> None:
    at_night.pause(since=NOW.timestamp(), reason="\x1b[2J[red]x")
    outcome = at_night.run("resume")
    assert "\x1b" not in outcome.stdout
    assert "[red]x" in outcome.stdout


def test_words_fit_into_80_columns(at_night: CliEnvironment) -> None:
    for outcome in (paused(at_night, "--until", "06:00"), at_night.run("pause", "--help")):
        assert max(map(len, outcome.stdout.splitlines())) <= 80


def test_pause_begins_at_the_present_time(cli: CliEnvironment) -> None:
    paused(cli)
    assert hold_of(cli).since == pytest.approx(time.time(), abs=60)


# --- windows that are opened by hand ---


def test_resume_until_a_time_opens_windows_and_ends_the_pause(at_night: CliEnvironment) -> None:
    paused(at_night)
    outcome = at_night.run("resume", "--until", "06:00", "--reason", "they asked for it")
    assert outcome.code == ExitCode.OK
    assert "WINDOWS OPEN until 06:00, whatever the partner's rules say" in outcome.stdout
    assert "RESUMED" in outcome.stdout
    hold = hold_of(at_night)
    assert (hold.until, hold.open_until) == (NOW.timestamp(), SIX)
    assert hold.opens_windows(SIX - 1)
    assert not hold.opens_windows(SIX)
    assert not held(at_night)


def test_resume_without_a_time_lets_the_windows_apply_again(at_night: CliEnvironment) -> None:
    at_night.run("resume", "--until", "06:00", "--reason", "they asked for it")
    outcome = at_night.run("resume")
    assert "The windows of the partner's rules apply again." in outcome.stdout
    hold = hold_of(at_night)
    assert (hold.open_until, hold.revision) == (None, 2)


def test_every_opening_is_kept(at_night: CliEnvironment) -> None:
    at_night.run("resume", "--until", "04:00", "--reason", "they asked for it")
    at_night.run("resume", "--until", "06:00", "--reason", "they asked again")
    (earlier,) = item_of(at_night)["earlier"]["L"]
    assert earlier["M"]["resumed"]["M"]["reason"] == {"S": "they asked for it"}
    assert item_of(at_night)["resumed"]["M"]["reason"] == {"S": "they asked again"}


def test_opening_by_hand_needs_a_reason_and_a_dry_run_changes_nothing(at_night: CliEnvironment) -> None:
    assert at_night.run("resume", "--until", "06:00").code == ExitCode.USAGE
    for reason in ((), ("--reason", "x")):
        outcome = at_night.run("resume", "--until", "06:00", "--dry-run", *reason)
        assert "windows would be open until 06:00" in outcome.stdout
    assert item_of(at_night) is None


def test_pause_replaces_an_opening(at_night: CliEnvironment) -> None:
    at_night.run("resume", "--until", "06:00", "--reason", "they asked for it")
    paused(at_night)
    assert hold_of(at_night).open_until is None
    assert held(at_night)


def test_json_of_an_opening_is_as_its_schema_says(at_night: CliEnvironment) -> None:
    document = at_night.run("resume", "--until", "06:00", "--reason", "x", "--json").json
    check_schema("resume", document)
    assert document["windows_open_until"] == "2026-11-29T06:00:00+00:00"
    assert document["paused"] is None
