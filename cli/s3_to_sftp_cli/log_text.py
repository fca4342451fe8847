"""Lines of the log for people."""

import json
from datetime import datetime
from typing import Any

from rich.text import Text

from s3_to_sftp_cli.checksums import hexadecimal
from s3_to_sftp_cli.layout import printable
from s3_to_sftp_cli.log_reader import LogLine
from s3_to_sftp_cli.times import in_zone_of

_STYLES = {"ERROR": "bold red", "CRITICAL": "bold red", "WARNING": "yellow"}
_HIDDEN = {
    "location",
    "timestamp",
    "service",
    "cold_start",
    "function_name",
    "function_memory_size",
    "function_arn",
    "sampling_rate",
    "xray_trace_id",
    "exception",
    "stack_trace",
}


def log_text(line: LogLine, *, now: datetime, with_object: bool = True, with_request: bool = True) -> Text:
    """Return `time level message  key=value ...`; a traceback follows in lines of its own.

    Args:
        line: What to show.
        now: With the time zone of the reader.
        with_object: Whether to show which object it is about.
        with_request: Whether to show the id of the invocation.
    """
    at = in_zone_of(now, line.at)
    text = Text(f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}")
    text.append(f" {line.level or '-':<8}", style=_STYLES.get(line.level, ""))
    text.append(f"{printable(line.message)}")
    fields = {**line.fields, **_in_short(line.fields.get("report"))}
    shown = {
        name: value
        for name, value in fields.items()
        if name not in _HIDDEN and value not in (None, "") and not _is_in(value, line.message)
    }
    if with_object and line.object_name and line.object_name not in line.message:
        shown = {"object": line.object_name, **shown}
    if with_request and line.request_id:
        shown["request"] = line.request_id
    if isinstance(shown.get("checksum"), str):
        algorithm, colon, checksum = shown["checksum"].rpartition(":")
        shown["checksum"] = f"{algorithm}{colon}{hexadecimal(checksum)}"  # as receipts show it
    pairs = [f"{printable(name)}={_value(value)}" for name, value in shown.items()]
    if pairs:
        text.append("  " + " ".join(pairs), style="dim")
    for below in str(line.fields.get("exception", "")).splitlines():
        text.append(f"\n         {printable(below)}")
    return text


def _in_short(report: Any) -> dict[str, Any]:
    """Return what is shown of the report of an examination, which fills screens. `logs --json` has it all."""
    if not isinstance(report, dict) or not isinstance(report.get("checks"), list):
        return {}
    checks = [each for each in report["checks"] if isinstance(each, dict)]
    failed = next((each for each in checks if each.get("outcome") == "failed"), {})
    return {
        "report": None,
        "healthy": report.get("healthy"),
        "failed": failed.get("name"),
        "reason": failed.get("text"),
    }


def _is_in(value: Any, message: str) -> bool:
    return isinstance(value, str) and len(value) > 10 and value in message


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and (" " in value or '"' in value):
        text = json.dumps(value, ensure_ascii=False)
    return printable(text)
