"""`s3-to-sftp plan`: what a delivery of an object would do, before it is sent."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from rich.console import Console
from rich.text import Text

from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import labelled, printable
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.object_name import parse_object_name
from s3_to_sftp_cli.object_selection import possible_buckets, versions_by_bucket
from s3_to_sftp_cli.operator_request import bucket_option
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.sizes import size_text
from s3_to_sftp_cli.times import from_epoch, in_zone_of, local_now

_ANSWER_SECONDS = 60
_LABEL = 12
_GONE = "ObjectGone"
_RULES = {
    "none": "none: the key gives the name",
    "partner": "of the partner",
    "source": "of the source",
}


@click.command("plan")
@click.argument("key", type=NOT_EMPTY)
@bucket_option
@click.option(
    "--version", "version_id", type=NOT_EMPTY, metavar="ID", help="VersionId. Default: the current version."
)
@shared_options
def plan_command(context: Context, key: str, bucket: str | None, version_id: str | None) -> int:
    """Show what a delivery of an object would do now: names, order, and files beside it.

    The function is asked, and makes the plan as its deliveries do. Nothing is written, no number of a
    sequence is taken, and nobody connects to the partner. The object need not have been delivered.
    """
    bucket, key = parse_object_name(key, bucket)
    answers = [_ask(context, each, key, version_id) for each in possible_buckets(context, bucket)]
    answer = _only_one(answers, key)
    refused = answer["refused"]
    if refused is not None and refused["error"] == _GONE:
        raise _not_there(context, answer, bucket, key)
    found = answer["object"] or {"bucket": bucket or "", "key": key}
    if not context.output.as_json and not _is_watched(context, found["bucket"], key):
        context.output.note("note: this delivery does not watch the object; nothing announces it.")

    def show(console: Console) -> None:
        for line in plan_lines(answer, now=local_now(), width=console.width):
            console.print(line)

    context.output.result("plan", {"delivery": context.delivery.as_json(), **_as_json(answer)}, show)
    return ExitCode.OK if refused is None else ExitCode.FAILED


def _not_there(context: Context, answer: dict[str, Any], bucket: str | None, key: str) -> CliError:
    buckets, refused = possible_buckets(context, bucket), answer["refused"]
    if context.delivery.table is not None and not versions_by_bucket(context, buckets, key):
        return CliError(
            f"S3 has no object {printable(key)!r} in {', '.join(buckets)}, and the ledger has never had one.",
            hint="Check the key.",
            code=ExitCode.NOT_FOUND,
        )
    return CliError(printable(refused["reason"]), hint=printable(refused["hint"]), code=ExitCode.NOT_FOUND)


def _is_watched(context: Context, bucket: str, key: str) -> bool:
    sources = context.delivery.sources
    return not sources or any(source.watches(bucket, key) for source in sources)


def _only_one(answers: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return the answer about the bucket that has the object; where none has, the first one.

    Raises:
        CliError: Several have.
    """
    there = [each for each in answers if each["refused"] is None or each["refused"]["error"] != _GONE]
    if len(there) > 1:
        named = ", ".join(each["object"]["bucket"] for each in there if each["object"])
        raise CliError(
            f"{key!r} is in several buckets: {named}.", hint="Name one with --bucket.", code=ExitCode.USAGE
        )
    return there[0] if there else answers[0]


def _ask(context: Context, bucket: str, key: str, version_id: str | None) -> dict[str, Any]:
    """Return the function's answer about an object in this bucket.

    Raises:
        CliError: It has none.
    """
    return ask_for_plan(context, bucket, key, **_version(context, bucket, key, version_id))


def ask_for_plan(context: Context, bucket: str, key: str, **about: str | int) -> dict[str, Any]:
    """Return the function's answer about an object.

    Args:
        context: Of the command.
        bucket: Where it is, or will be.
        key: Its key.
        about: What else the request says of it.

    Raises:
        CliError: The function does not answer, or with no plan.
    """
    function = context.delivery.function
    event = {"operation": "plan", "bucket": bucket, "key": key, **about}
    client = context.aws.client_without_retries("lambda", read_timeout=_ANSWER_SECONDS)
    said: Any = None
    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        said = json.loads(answer["Payload"].read())
    except (ReadTimeoutError, ConnectTimeoutError):
        raise CliError(
            f"{function} has not answered within {_ANSWER_SECONDS} s.", hint="Repeat the command."
        ) from None
    except ValueError:
        pass
    if answer.get("FunctionError") or not isinstance(said, dict) or "plan" not in said:
        kind = answer.get("FunctionError") or "its answer is not a plan"
        raise CliError(
            f"{function} failed ({printable(kind)}).",
            hint="`s3-to-sftp logs` says why. A function that was deployed before this command cannot plan: "
            "deploy it again.",
        )
    return said


def _version(context: Context, bucket: str, key: str, version_id: str | None) -> dict[str, str]:
    """Return what finds the version in the ledger: without VersionId the object's last put that it has."""
    if version_id is not None:
        return {"version_id": version_id}
    if context.delivery.table is None:
        return {}
    last: Record | None = next(iter(context.ledger.versions(bucket, key)), None)
    if last is None or last.version:
        return {}
    _, etag, sequencer = str(last.item["sk"]).split("#", 2)
    return {"etag": etag, "sequencer": sequencer}


def _as_json(answer: Mapping[str, Any]) -> dict[str, Any]:
    plan, facts = answer["plan"], answer["facts"]
    return {
        "object": answer["object"],
        "state": answer["state"],
        "rules": answer["rules"],
        "facts": facts
        and {**facts, **{name: from_epoch(facts[name]) for name in ("event_time", "delivery_time")}},
        "plan": plan
        and {
            **plan,
            "modified": _instant(plan["modified"]),
            "timing": _timing(plan.get("timing")),
        },
        "waits": _waits(answer.get("waits")),
        "sequence": answer["sequence"],
        "refused": answer["refused"],
    }


def _timing(timing: Mapping[str, Any] | None) -> dict[str, Any] | None:
    times = ("not_before", "due")
    return None if timing is None else {**timing, **{name: _instant(timing[name]) for name in times}}


def _waits(waits: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if waits is None else {**waits, "until": _instant(waits["until"])}


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else from_epoch(seconds)


def plan_lines(answer: Mapping[str, Any], *, now: datetime, width: int) -> Iterator[Text]:
    """Yield an answer as lines for people.

    Args:
        answer: Of the function.
        now: With the time zone of the reader.
        width: Columns of the terminal.
    """
    if about := answer["object"]:
        version = f" (version {about['version_id']})" if about["version_id"] else ""
        name = printable(f"s3://{about['bucket']}/{about['key']}{version}")
        yield Text(f"{name}, {size_text(about['bytes'])}", style="bold")
    for label, parts in _parts(answer, now):
        yield labelled(label, [printable(part) for part in parts], width=width, label_width=_LABEL)
    if refused := answer["refused"]:
        yield labelled(
            "no plan", [Text(printable(refused["reason"]), "bold red")], width=width, label_width=_LABEL
        )
        if refused["hint"]:
            yield labelled("", [printable(f"→ {refused['hint']}")], width=width, label_width=_LABEL)
        return
    for number, step in enumerate(answer["plan"]["steps"], 1):
        label = f"{number:>{_LABEL - 2}}. "
        yield labelled(label, [printable(step)], width=width, label_width=_LABEL)


def _parts(answer: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, list[str]]]:
    if rules := answer["rules"]:
        source = rules["source"]
        named = f" s3://{source['bucket']}/{source['prefix']}*{source['suffix']}" if source else ""
        yield "rules", [_RULES[rules["of"]] + (named if rules["of"] == "source" else "")]
    if answer["state"]:
        yield "ledger", [answer["state"]]
    if facts := answer["facts"]:
        yield "put", [_time(facts["event_time"], now)]
        for kind in ("metadata", "tags"):
            if facts[kind]:
                yield kind, [f"{name}={value}" for name, value in facts[kind].items()]
    if plan := answer["plan"]:
        yield "name", [plan["remote_path"]]
        timing = plan.get("timing")
        if timing and timing["due"] is not None:
            yield "due", [_time(timing["due"], now)]
    if waits := answer.get("waits"):
        until = "" if waits["until"] is None else f"until {_time(waits['until'], now)}: "
        yield "WAITS", [f"{until}{waits['reason']}"]
    if sequence := answer["sequence"]:
        yield "number", list(_number(sequence))
        yield "names then", sequence["remote_paths"]


def _number(sequence: Mapping[str, Any]) -> Iterator[str]:
    what = "is its own" if sequence["is_taken"] else "would be next"
    yield f"{sequence['number']} of the sequence {sequence['name']!r} {what}"
    if sequence["held_by"]:
        yield f"it waits for {sequence['held_by']}, which has the last one and is not delivered"


def _time(seconds: float, now: datetime) -> str:
    return f"{in_zone_of(now, from_epoch(seconds)):%Y-%m-%d %H:%M:%S}"
