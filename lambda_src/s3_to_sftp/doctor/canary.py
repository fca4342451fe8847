"""The examination that a schedule asks for: compares with the last one, and tells what has changed."""

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from botocore.config import Config

from s3_to_sftp.app import publisher_of
from s3_to_sftp.doctor.changes import Changes, compare
from s3_to_sftp.doctor.facts import states_of
from s3_to_sftp.doctor.invoked import examine
from s3_to_sftp.doctor.report import Check, Outcome, Report
from s3_to_sftp.errors import ConfigurationError, LedgerError
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.settings import Settings
from s3_to_sftp.ssh.host_keys import pinned_fingerprints
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, Hold, read_hold
from s3_to_sftp.state.partner_profile import PartnerProfiles
from s3_to_sftp.state.table import Table

_log = logging.getLogger(__name__)

_SHORT = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3})
_SECOND_LOOK_AFTER_SECONDS = 30.0
_BEFORE_LOGIN = {"name", "connect", "handshake"}


class CanaryTelemetry(Protocol):
    """Logs and counts what a canary has found."""

    def canary(self, *, changes: Sequence[str], failures: Sequence[str], failed: int) -> None:
        """Report it; `failed` is the number of checks that fail now."""


def examine_as_canary(
    event: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    new_client: Callable[..., Any],
    is_over: Callable[[], bool],
    telemetry: CanaryTelemetry,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Examine the way to the partner, and tell what has changed since the last time. Never raises.

    Args:
        event: See `DoctorRequest.from_event`.
        environment: Of the function.
        new_client: `boto3.client`.
        is_over: Whether there is no time for another check.
        telemetry: Told of the outcome.
        clock: Seconds since 1970.
        sleep: Waits before a second look.

    Returns:
        The report as JSON values, with `changes` and `failures`, those since the last time.
    """
    try:
        settings = Settings.from_environment(environment)
    except ConfigurationError:
        settings = None
    table = settings.ledger_table if settings else None
    client = new_client("dynamodb", config=_SHORT) if table else None
    if table and (hold := _hold(Table(client, table), clock())):
        return {**_paused(str(settings.server if settings else ""), hold).as_json(), **_as_json(Changes())}
    publisher = publisher_of(settings, new_client) if settings else NullPublisher()
    look = functools.partial(
        examine,
        event,
        environment,
        new_client=new_client,
        is_over=is_over,
        opened=publisher.unavailable,
    )
    report = look()
    if _failed_before_login(report) and not is_over():
        # A server that is restarted for a moment is not worth an alarm that stands for a day.
        sleep(_SECOND_LOOK_AFTER_SECONDS)
        report = report if is_over() else look()
    changes = Changes()
    if settings is not None and table:
        profiles = PartnerProfiles(client, table, str(settings.server))
        try:
            changes = _told(report, profiles, settings, clock())
        except LedgerError as error:
            _fail(report, error)
    if changes.changes or changes.failures:
        publisher.changed(changes=changes.changes, failures=changes.failures)
    publisher.flush()
    telemetry.canary(changes=changes.changes, failures=changes.failures, failed=_failed(report))
    return {**report, **_as_json(changes)}


def _told(report: Mapping[str, Any], profiles: PartnerProfiles, settings: Settings, now: float) -> Changes:
    """Return what has changed, and remember what was seen.

    Raises:
        LedgerError: What is remembered cannot be read or written.
    """
    before = profiles.read()
    changes, profile = compare(report, before, pinned=pinned_fingerprints(settings.server), now=now)
    # It is written first: of two canaries that Lambda runs for one event, one tells.
    if profiles.replace(profile, shown=report["profile"]):
        return changes
    _log.info("another canary has just examined the partner, and tells what has changed")
    return Changes()


def _failed(report: Mapping[str, Any]) -> int:
    """Return how many checks failed, or were not tried for a reason of their own."""
    failed = sum(bool(state) for state in states_of(report["checks"]).values() if state != "warning")
    return max(failed, int(not report["healthy"]))


def _as_json(changes: Changes) -> dict[str, list[str]]:
    return {"changes": list(changes.changes), "failures": list(changes.failures)}


def _failed_before_login(report: Mapping[str, Any]) -> bool:
    failed = {check["name"] for check in report["checks"] if check["outcome"] == Outcome.FAILED.value}
    return bool(failed & _BEFORE_LOGIN)


def _hold(table: Table, now: float) -> Hold | None:
    """Return the operator's pause, if there is one. What cannot be read is none: looking does no harm."""
    try:
        item = table.read(HOLD_PK, HOLD_SK)
        hold = read_hold(item) if item is not None else None
    except LedgerError:
        return None
    return hold if hold is not None and hold.is_in_force(now) else None


def _paused(server: str, hold: Hold) -> Report:
    by = f" by {hold.who}" if hold.who else ""
    text = f"deliveries are paused{by}: {hold.reason or 'no reason was given'}"
    advice = "The next canary after the pause examines the partner again."
    check = Check(name="pause", outcome=Outcome.NOT_TRIED, text=text, advice=advice)
    return Report(server=server, ran_in="function", checks=[check])


def _fail(report: dict[str, Any], error: LedgerError) -> None:
    """Add to the report that nothing could be compared."""
    check = Check(
        name="profile",
        outcome=Outcome.FAILED,
        text=error.reason,
        advice=error.hint,
        error=type(error).__name__,
    )
    report["checks"].append(check.as_json())
    report["healthy"] = False
