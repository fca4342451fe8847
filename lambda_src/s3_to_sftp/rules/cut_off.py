"""Which objects have missed their cut-off: looked for on a schedule, since perhaps nothing is retried.

Only the ledger is asked: what no invocation has seen yet is not in it, and an alarm of its own (Backlog).
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.rule_set import RuleSet, read_document
from s3_to_sftp.rules.timing import hours_of
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.settings import Settings
from s3_to_sftp.untrusted_text import quoted

EVENT = {"operation": "cut-off"}
"""What the function is invoked with on the schedule."""

_CONFIG = Config(connect_timeout=5, read_timeout=10)
_NOT_DELIVERED = ("IN_FLIGHT", "FAILED", "UNKNOWN")
"""Partitions of the index `by-status`."""
_PREFIX = "object#"
_TOLD_FOR_SECONDS = 86_400
"""So long after its cut-off an object counts: the next day has an alarm of its own."""
_MOST_LOGGED = 50

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Missed:
    """An object that is not at the partner, and should be.

    Attributes:
        name: `s3://bucket/key`.
        due: Its cut-off, in seconds since 1970.
        status: `IN_FLIGHT`, `FAILED` or `UNKNOWN`.
    """

    name: str
    due: float
    status: str


class CutOffTelemetry(Protocol):
    """Counts what has missed its cut-off."""

    def missed_cut_off(self, count: int) -> None:
        """Report how many objects have."""


def look_for_missed(
    environment: Mapping[str, str],
    *,
    new_client: Callable[..., Any],
    telemetry: CutOffTelemetry,
    now: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Count and log the objects that have missed their cut-off within the last day.

    Raises:
        ConfigurationError: Settings or rules cannot be read.
        LedgerError: The ledger cannot be read. The invocation fails, for which there is an alarm.
    """
    settings = Settings.from_environment(environment)
    if settings.rules is None or settings.ledger_table is None:
        return {"missed": 0}
    rules = RuleSet(read_document(settings.rules), directory=settings.directory, sources=settings.sources)
    client = new_client("dynamodb", config=_CONFIG)
    missed = list(missed_objects(client, settings.ledger_table, rules, now=now()))
    for each in missed[:_MOST_LOGGED]:
        about = {"object": each.name, "status": each.status, "due": int(each.due)}
        _log.error("missed its cut-off: %s (%s)", each.name, each.status, extra=about)
    telemetry.missed_cut_off(len(missed))
    return {"missed": len(missed)}


def missed_objects(client: Any, table: str, rules: RuleSet, *, now: float) -> Iterator[Missed]:
    """Yield the objects whose cut-off was within the last day, and that are not delivered.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:Query` on the index `by-status`.
        table: The ledger's table.
        rules: Of the partner.
        now: Seconds since 1970.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    for status in _NOT_DELIVERED:
        for item in _items(client, table, status):
            bucket, slash, key = item["pk"]["S"].removeprefix(_PREFIX).partition("/")
            came = _came_at(item)
            if not slash or not item["pk"]["S"].startswith(_PREFIX) or came is None:
                continue
            written = rules.of(ObjectRef(bucket=bucket, key=key)).rules
            due = None if written is None else hours_of(written).due_at(came)
            if due is not None and due <= now < due + _TOLD_FOR_SECONDS:
                yield Missed(name=f"s3://{bucket}/{key}", due=due, status=status)


def _items(client: Any, table: str, status: str) -> Iterator[Mapping[str, Any]]:
    request: dict[str, Any] = {
        "TableName": table,
        "IndexName": "by-status",
        "KeyConditionExpression": "#status = :status",
        "ProjectionExpression": "pk, first_seen, event_time, #plan",
        "ExpressionAttributeNames": {"#status": "status", "#plan": "plan"},
        "ExpressionAttributeValues": {":status": {"S": status}},
    }
    while True:
        try:
            answer = client.query(**request)
        except (ClientError, BotoCoreError) as error:
            raise LedgerError(
                f"The ledger's index by-status could not be read: {quoted(error)}.",
                hint="Allow the function's role dynamodb:Query on the index.",
            ) from None
        yield from answer["Items"]
        if not answer.get("LastEvaluatedKey"):
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _came_at(item: Mapping[str, Any]) -> float | None:
    """Return when the object was put; where neither plan nor event say, when it was first seen."""
    if plan := item.get("plan", {}).get("S"):
        try:
            return PlanFacts.from_text(plan).event_time
        except ValueError:
            pass
    try:
        if "event_time" in item:
            return float(item["event_time"]["N"])
        return datetime.fromisoformat(item["first_seen"]["S"]).timestamp()
    except (KeyError, ValueError):
        return None
