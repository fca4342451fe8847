"""`s3-to-sftp selftest`: a small file through the whole way, removed afterwards."""

import json
import posixpath
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError
from rich.console import Console

from s3_to_sftp.selftest import NAME_PREFIX, OPERATION
from s3_to_sftp_cli.aws import explained
from s3_to_sftp_cli.commands.plan import ask_for_plan
from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import printable
from s3_to_sftp_cli.ledger import FINAL_STATES, Record
from s3_to_sftp_cli.object_dead_letters import remove_dead_letters
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.partner_attempt import require_not_paused
from s3_to_sftp_cli.selftest_action import copy_of, in_words, is_under_way
from s3_to_sftp_cli.selftest_run import IN_WORDS, Run, Step
from s3_to_sftp_cli.times import in_words as time_in_words
from s3_to_sftp_cli.times import parse_duration

_LOOK_EVERY_SECONDS = 0.5
_SIZE = 200
"""Bytes, about: what filters are asked with."""
_FILTERED = "Filtered"
_sleep = time.sleep
_clock = time.monotonic


@click.command("selftest")
@click.option(
    "--bucket",
    type=NOT_EMPTY,
    metavar="NAME",
    help="Into this bucket. Default: the first one that is watched.",
)
@click.option("--keep", is_flag=True, help="Leave the object, and the file at the partner.")
@click.option(
    "--spend-number", is_flag=True, help="Where the partner's rules number files: let the test file take one."
)
@click.option("--timeout", default="5m", show_default=True, metavar="DURATION", help="How long to wait.")
@shared_options
def selftest_command(
    context: Context, *, bucket: str | None, keep: bool, spend_number: bool, timeout: str
) -> int:
    """Send a small file through the whole way, and remove it.

    Puts an object into a watched bucket, and waits for its receipt. Then the object is deleted, and the
    function removes the partner's file: it shows up there for a moment, as s3-to-sftp-selftest-...
    """
    seconds = parse_duration(timeout).total_seconds()
    context.delivery.require_table()
    source = _source(context, bucket)
    run = Run(bucket=source.bucket, key=_key(source, keep=keep))
    require_not_paused(context)
    _require_its_turn(context, run, spends_number=spend_number)
    started = _put(context, run)
    with _deleting(context, run, started, keep=keep):
        _wait(context, run, started, seconds=seconds)
        if run.state == "DELIVERED" and not keep:
            _remove_file(context, run, started)
        _wait_for_action(context, run, started, seconds=seconds)
    _tell(context, run, timeout=seconds)
    return ExitCode.OK if run.state == "DELIVERED" else ExitCode.FAILED


def _source(context: Context, bucket: str | None) -> WatchedSource:
    """Return the source that the object is put into.

    Raises:
        CliError: There is none.
    """
    sources = context.delivery.sources
    if not sources and bucket is not None:
        context.output.note("The function's configuration does not tell which keys of the bucket it watches.")
        return WatchedSource(bucket=bucket)
    for source in sources:
        if bucket is None or source.bucket == bucket:
            return source
    if bucket is None:
        raise CliError(
            f"The configuration of {context.delivery.function} does not tell what it watches.",
            hint="Name the bucket with --bucket.",
            code=ExitCode.USAGE,
        )
    raise CliError(
        f"{context.delivery.function} does not watch {bucket}, but {', '.join(context.delivery.buckets())}.",
        hint="Name one of these with --bucket.",
        code=ExitCode.NOT_FOUND,
    )


def _key(source: WatchedSource, *, keep: bool) -> str:
    """Return a key that the source watches.

    Raises:
        CliError: Its prefix or suffix leaves no room for the name of a self-test.
    """
    name = f"{NAME_PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    key = f"{source.prefix}{name}{source.suffix}"
    if keep or posixpath.basename(key).startswith(NAME_PREFIX):
        return key
    raise CliError(
        f"{source.bucket} is watched for '{source.prefix}*{source.suffix}': the name of such a file cannot "
        f"begin with {NAME_PREFIX}, and only a file that does may be removed at the partner.",
        hint="Add --keep, and ask the partner to remove the file; or name another bucket with --bucket.",
        code=ExitCode.CONFLICT,
    )


def _require_its_turn(context: Context, run: Run, *, spends_number: bool) -> None:
    """Refuse a test that the partner's rules do not let through now, or that uses up a number.

    Raises:
        CliError: The rules filter it out, let it wait, or number files.
    """
    try:
        plan = ask_for_plan(context, run.bucket, run.key, size=_SIZE)
    except CliError:  # the delivery itself shows what is wrong with the function
        return
    refused, waits, number = plan.get("refused"), plan.get("waits"), plan.get("sequence")
    if refused and refused["error"] == _FILTERED:
        raise CliError(
            f"The partner's rules do not let the test file through: {printable(refused['reason'])}",
            hint="`s3-to-sftp doctor --write` tries the partner without an object.",
            code=ExitCode.CONFLICT,
        )
    if waits:
        raise CliError(
            f"The test file would wait: {printable(waits['reason'])}",
            hint="Try again then; `s3-to-sftp resume --until TIME --reason TEXT` opens a window by hand.",
            code=ExitCode.CONFLICT,
        )
    if number and not spends_number:
        raise CliError(
            f"The partner's rules number files. The test file would take {number['number']} of the sequence "
            f"{printable(number['name'])}, which no other file gets then.",
            hint="`s3-to-sftp doctor --write` tries the partner without a number. Add --spend-number if the "
            "partner knows that this number is a test.",
            code=ExitCode.CONFLICT,
        )


def _put(context: Context, run: Run) -> float:
    text = (
        f"A test of the delivery to {context.delivery.host}, sent by `s3-to-sftp selftest`. "
        f"{context.caller}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC. It may be deleted.\n"
    )
    where = f"s3://{run.bucket}/{run.key}"
    try:
        answer = context.aws.client("s3").put_object(
            Bucket=run.bucket, Key=run.key, Body=text.encode(), ContentType="text/plain; charset=utf-8"
        )
    except (KeyboardInterrupt, ReadTimeoutError, ConnectionClosedError):
        context.output.note(f"{where} may be there, and be delivered: S3 has not answered. Delete it.")
        raise
    run.version_id = answer.get("VersionId", "")
    started = _clock()
    _note(context, run, started, "put", where)
    return started


@contextmanager
def _deleting(context: Context, run: Run, started: float, *, keep: bool) -> Iterator[None]:
    """Delete the object at the end, also after Ctrl-C or an error."""
    try:
        yield
    finally:
        if not keep:
            _delete_copy(context, run, started)
            version = {"VersionId": run.version_id} if run.version_id else {}
            try:
                context.aws.client("s3").delete_object(Bucket=run.bucket, Key=run.key, **version)
            except (ClientError, BotoCoreError) as error:
                context.output.note(
                    f"the object s3://{run.bucket}/{run.key} stays: {explained(error).message}"
                )
            else:
                run.object_deleted = True
                _note(context, run, started, "object_deleted", "the object is deleted")


def _wait_for_action(context: Context, run: Run, started: float, *, seconds: float) -> None:
    """Wait until the rules' action in S3 has ended: what is deleted before could be moved away meanwhile."""
    while is_under_way(run.record) and _clock() - started < seconds:
        _sleep(_LOOK_EVERY_SECONDS)
        run.record = _record(context, run) or run.record
    if words := in_words(run.record):
        _note(context, run, started, "after_delivery", f"the object is {words}")


def _delete_copy(context: Context, run: Run, started: float) -> None:
    """Delete what the rules have moved elsewhere: the archive is no place for a test."""
    copy = copy_of(run.record)
    if not copy:
        return
    where = f"s3://{copy['Bucket']}/{copy['Key']}"
    try:
        context.aws.client("s3").delete_object(**copy)
    except (ClientError, BotoCoreError) as error:
        run.copy_deleted = False
        context.output.note(f"the moved object {where} stays, delete it there: {explained(error).message}")
    else:
        run.copy_deleted = True
        _note(context, run, started, "copy_deleted", f"{where} is deleted")


def _wait(context: Context, run: Run, started: float, *, seconds: float) -> None:
    """Look into the ledger until the object has a final state, or the time is over."""
    seen = ("", "")
    while True:
        run.record = _record(context, run)
        if run.record is not None and (now := (run.record.state, run.record.reason)) != seen:
            seen = now
            text = run.record.remote_path if run.state == "DELIVERED" else run.record.reason
            _note(context, run, started, run.state, text)
        if run.state == "DELIVERED" or run.state in FINAL_STATES or _clock() - started >= seconds:
            return
        _sleep(_LOOK_EVERY_SECONDS)


def _record(context: Context, run: Run) -> Record | None:
    versions = context.ledger.versions(run.bucket, run.key)
    return versions[0] if versions else None


def _remove_file(context: Context, run: Run, started: float) -> None:
    """Let the function remove the partner's file. That this fails is no failure of the delivery."""
    why_not = _ask_function(context, run)
    run.file_removed = not why_not
    if run.file_removed:
        _note(context, run, started, "file_removed", "the partner's file is removed")
    else:
        context.output.note(f"the partner's file stays: {why_not}")


def _ask_function(context: Context, run: Run) -> str:
    """Return why the file was not removed; empty: it was."""
    item = run.record.item if run.record else {}
    _, _, version = str(item.get("sk", "")).partition("#")
    request = {"operation": OPERATION, "bucket": run.bucket, "key": run.key}
    if run.record and run.record.version:
        request["version_id"] = run.record.version
    else:
        request["etag"], _, request["sequencer"] = version.partition("#")
    try:
        answer = context.aws.client("lambda").invoke(
            FunctionName=context.delivery.function, Payload=json.dumps(request).encode()
        )
        said = json.loads(answer["Payload"].read())
    except (ClientError, BotoCoreError) as error:
        return explained(error).message
    except ValueError:
        return "the function's answer cannot be read"
    if answer.get("FunctionError") or not isinstance(said, dict) or "removed" not in said:
        return f"the function failed ({answer.get('FunctionError') or 'no answer'}): see `s3-to-sftp logs`"
    return "" if said["removed"] else str(said.get("reason") or "the function does not say why")


def _note(context: Context, run: Run, started: float, step: str, text: str) -> None:
    seconds = round(_clock() - started, 1)
    run.steps.append(Step(seconds, step, text))
    shown = text if step in IN_WORDS else f"{step}  {text}".rstrip()
    if not context.output.as_json:
        context.output.console.print(f"{seconds:>7.1f} s  {shown}", markup=False)


def _tell(context: Context, run: Run, *, timeout: float) -> None:
    record = run.record
    reason, hint = _why(run, timeout=timeout)
    if run.state in {"FAILED", "UNKNOWN"} and record is not None and run.object_deleted:
        _remove_dead_letter(context, record)

    def show(console: Console) -> None:
        if run.state == "DELIVERED" and record is not None:
            stays = "" if run.file_removed else " (it is still there)"
            seconds = next(step.seconds for step in run.steps if step.step == "DELIVERED")
            where = f"{context.delivery.server} {record.remote_path}"
            console.print(f"delivered in {seconds:.1f} s to {where}{stays}", markup=False)
            return
        console.print(f"not delivered: {reason}", markup=False)
        if hint:
            console.print(hint, markup=False)

    result = {
        "delivery": context.delivery.as_json(),
        "bucket": run.bucket,
        "key": run.key,
        "version_id": run.version_id or None,
        "delivered": run.state == "DELIVERED",
        "state": run.state or None,
        "remote_path": record.remote_path if record and record.remote_path else None,
        "error": record.error if record and record.error else None,
        "reason": reason,
        "hint": hint,
        "steps": [vars(step) for step in run.steps],
        "file_removed": run.file_removed,
        "object_deleted": run.object_deleted,
        "copy_deleted": run.copy_deleted,
    }
    context.output.result("selftest", result, show)


def _why(run: Run, *, timeout: float) -> tuple[str, str]:
    """Return why it was not delivered, and what to do; both empty: it was."""
    if run.state == "DELIVERED":
        return "", ""
    if run.record is None:
        return (
            f"the function has not seen the object within {time_in_words(timeout)}.",
            "Check the trigger: `s3-to-sftp status`, the notifications of the bucket, `s3-to-sftp logs`.",
        )
    if run.state in FINAL_STATES:
        return run.record.reason or run.state, run.record.hint
    waiting = f"it is still {run.state} after {time_in_words(timeout)}"
    reason = f"{waiting}: {run.record.reason}" if run.record.reason else f"{waiting}."
    return reason, run.record.hint or "`s3-to-sftp status` shows what it waits for; --timeout waits longer."


def _remove_dead_letter(context: Context, record: Record) -> None:
    """Remove what names an object that is gone. That this fails is no failure of the test."""
    url = context.delivery.dead_letter_queue_url
    if url is None:
        return
    try:
        remove_dead_letters(context.aws.client("sqs"), url, record)
    except (ClientError, BotoCoreError) as error:
        context.output.note(f"its dead letter stays: {explained(error).message}")
