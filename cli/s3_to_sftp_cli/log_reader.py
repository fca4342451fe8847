"""Reads the function's log: JSON lines of Powertools, and what Lambda itself writes about failures."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from s3_to_sftp_cli.aws import is_missing
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.times import from_epoch

_POLL_SECONDS = 2.0
_MOST_PATTERN = 1024
"""Length that CloudWatch Logs accepts (FilterLogEvents, filterPattern)."""

_LATE_SECONDS = 30.0
"""Lines may reach CloudWatch Logs in another order: so much is read again while following."""

_LAMBDA_TEXT = (
    "START RequestId:",
    "END RequestId:",
    "REPORT RequestId:",
    "INIT_START ",
    "EXTENSION\t",
    "XRAY ",
)
_TIMED_OUT = re.compile(r"(?:\S+ )?([0-9a-f-]{36}) (Task timed out after .*|Error: Runtime exited.*)")
_LEVELLED = re.compile(
    r"\[(?P<level>[A-Z]+)\]\t[^\t]*\t(?P<request>[0-9a-f-]{36})\t(?P<message>.*)", re.DOTALL
)
"""A line of Python's own logging in Lambda's text format."""

_VERSION = re.compile(r" \(version [^()]*\)$")
_QUOTABLE = re.compile(r'[^"\\\x00-\x1f]*')


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line of the log.

    Attributes:
        at: When it was written.
        level: `INFO`, `WARNING`, `ERROR` ...; empty: not known.
        message: Its text.
        request_id: Of the invocation; empty: not known.
        object_name: The object version that it is about, as `s3://bucket/key (version id)`; empty: none.
        fields: All others.
    """

    at: datetime
    level: str
    message: str
    request_id: str = ""
    object_name: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def is_about(self, bucket: str | None, key: str) -> bool:
        """Return whether it is about an object.

        Args:
            bucket: None: any.
            key: Of the object.
        """
        named = _VERSION.sub("", self.object_name)
        if named:
            found = named.removeprefix("s3://").partition("/")
            return found[2] == key and bucket in (None, found[0])
        where = f"s3://{bucket}/{key}" if bucket else f"/{key}"
        after = re.escape(where) + r"""(?=$|[\s,.:;'")])"""
        return re.search(after, self.message) is not None

    def as_json(self) -> dict[str, Any]:
        """Return the fields of its JSON document."""
        return {
            "time": self.at,
            "level": self.level or None,
            "message": self.message,
            "request_id": self.request_id or None,
            "object": self.object_name or None,
            "fields": dict(self.fields),
        }


class LogReader:
    """The log group of a function.

    Args:
        client: Of CloudWatch Logs; needs `logs:FilterLogEvents`.
        group: Name of the log group.
    """

    def __init__(self, client: Any, group: str) -> None:
        self._client = client
        self._group = group

    def lines(
        self, *, since: datetime, until: datetime | None = None, terms: Sequence[str] = ()
    ) -> Iterator[LogLine]:
        """Yield the lines of a time, in order; without metrics, and without Lambda's reports of success.

        Args:
            since: From then on.
            until: Before then; None: up to now.
            terms: Lines have at least one of these texts; none: any line.

        Raises:
            CliError: There is no such log group.
            ClientError, BotoCoreError: CloudWatch Logs refused, or did not answer.
        """
        events = self._events(since.timestamp(), until.timestamp() if until else None, terms)
        return (line for event in events if (line := parse_line(event)) is not None)

    def follow(self, *, since: datetime, terms: Sequence[str] = ()) -> Iterator[LogLine]:
        """Yield lines as they are written, without end.

        Raises:
            CliError: There is no such log group.
            ClientError, BotoCoreError: CloudWatch Logs refused, or did not answer.
        """
        first = start = since.timestamp()
        seen: dict[str, float] = {}
        while True:
            for event in self._events(start, None, terms):
                identity, at = str(event.get("eventId")), event["timestamp"] / 1000
                first = max(first, at)
                if identity not in seen and (line := parse_line(event)) is not None:
                    yield line
                seen[identity] = at
            start = max(since.timestamp(), first - _LATE_SECONDS)
            seen = {identity: at for identity, at in seen.items() if at >= start - 1}
            _wait(_POLL_SECONDS)

    def _events(self, since: float, until: float | None, terms: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        request: dict[str, Any] = {"logGroupName": self._group, "startTime": max(int(since * 1000), 0)}
        if until is not None:
            request["endTime"] = int(until * 1000)
        if pattern := filter_pattern(terms):
            request["filterPattern"] = pattern
        while True:
            try:
                answer = self._client.filter_log_events(**request)
            except ClientError as error:
                if is_missing(error):
                    raise CliError(
                        f"There is no log group {self._group!r}.",
                        hint="The function has not run yet, or its log was deleted or is kept elsewhere.",
                        code=ExitCode.NOT_FOUND,
                    ) from None
                raise
            yield from answer["events"]
            if not answer.get("nextToken"):
                return
            request["nextToken"] = answer["nextToken"]


def filter_pattern(terms: Sequence[str]) -> str:
    """Return the filter pattern for lines with at least one of these texts.

    A text is cut where the log has an escape instead of the character, and where all together would be longer
    than CloudWatch Logs allows: the caller has to compare the lines.
    """
    for most in (_MOST_PATTERN, 200, 60):
        quoted = [f'"{match[0][:most]}"' for each in terms if (match := _QUOTABLE.match(each)) and match[0]]
        pattern = quoted[0] if len(quoted) == 1 else " ".join(f"?{each}" for each in quoted)
        if len(pattern.encode()) <= _MOST_PATTERN:
            return pattern
    return ""


def parse_line(event: Mapping[str, Any]) -> LogLine | None:
    """Return the line; None: it tells nothing to people.

    Args:
        event: As FilterLogEvents returns it.
    """
    at, text = from_epoch(event["timestamp"] / 1000), str(event["message"]).rstrip("\n")
    try:
        fields = json.loads(text)
    except ValueError:
        return _parse_text(at, text)
    if not isinstance(fields, dict):
        return LogLine(at=at, level="", message=text)
    if "_aws" in fields:
        return None
    if str(fields.get("type", "")).startswith("platform."):
        return _parse_platform(at, fields)
    message = fields.pop("message", "")
    return LogLine(
        at=at,
        level=str(fields.pop("level", "")),
        message=message if isinstance(message, str) else json.dumps(message, ensure_ascii=False),
        request_id=_request_id(fields),
        object_name=str(fields.pop("object", "")),
        fields=fields,
    )


def _request_id(fields: dict[str, Any]) -> str:
    """Return the id that Powertools, or Lambda's own JSON format, has added; it is no longer a field then."""
    found = [fields.pop(name, None) for name in ("function_request_id", "AWSRequestId", "requestId")]
    return str(next(filter(None, found), ""))


def _parse_text(at: datetime, text: str) -> LogLine | None:
    if not text.strip() or text.startswith(_LAMBDA_TEXT):
        return None
    if ended := _TIMED_OUT.match(text):
        return LogLine(at=at, level="ERROR", message=ended[2], request_id=ended[1])
    if found := _LEVELLED.fullmatch(text):
        return LogLine(at=at, level=found["level"], message=found["message"], request_id=found["request"])
    return LogLine(at=at, level="", message=text)


def _parse_platform(at: datetime, fields: Mapping[str, Any]) -> LogLine | None:
    record = fields.get("record") or {}
    status = record.get("status", "success")
    if status == "success":
        return None
    kind = str(record.get("errorType", ""))
    return LogLine(
        at=at,
        level="ERROR",
        message=f"the invocation ended with {status}" + (f" ({kind})" if kind else ""),
        request_id=str(record.get("requestId", "")),
    )


def _wait(seconds: float) -> None:
    time.sleep(seconds)
