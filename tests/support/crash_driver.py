"""The function in processes of its own, one per invocation, each killed at the step that a test names.

A test starts `python -m tests.support.crash_driver` once. That process imports everything and then forks
for each line that it reads, so that an invocation costs milliseconds. A fork has no connection and nothing
else that an earlier invocation has made. The function does not know of this: the steps are where its own
modules call each other, and are wrapped here.
"""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import json
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

from botocore.exceptions import ClientError

from s3_to_sftp import app, handler
from s3_to_sftp.queue.message_queue import MessageQueue
from s3_to_sftp.rules.after_actions import AfterActions
from s3_to_sftp.rules.after_record import AfterRecord
from s3_to_sftp.rules.sequence_numbers import SequenceNumbers
from s3_to_sftp.s3.object_reader import ObjectReader
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.ssh.stream import NOT_READY, Piece
from s3_to_sftp.state.dynamodb_ledger import DynamoLedger
from tests.support.partner import tuned

WRITE_BYTES = 64 * 1024
"""The limit of a WRITE that the server states, and the range of a stream: many steps, few bytes."""

_OF_RULES = (
    "pysequoia",
    "s3_to_sftp.rules.after_execution",
    "s3_to_sftp.rules.execution",
    "s3_to_sftp.rules.open_pgp_stream",
)
"""What a function loads when its rules need it: here each fork would."""

_MOST_SECONDS = 600
_STREAMS_SECONDS = 120.0

Seam = Callable[[], None]
"""Wraps a step of the function."""


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """What one process does.

    Attributes:
        environment: Environment variables of the function.
        event: The event of Lambda.
        request_id: The request id of Lambda.
        dies: The step at which it is killed; empty: it is not killed.
        clock_ahead: Seconds by which its clock is ahead of ours.
        seconds: The time limit of the invocation.
        layer: The folder of a layer; empty: there is none.
        streams: Streams that write a large object; each sends a WRITE before any sends its second.
        pause_after: WRITEs after which the time of the invocation is over; None: no such limit.
    """

    environment: dict[str, str]
    event: dict[str, Any]
    request_id: str
    dies: str = ""
    clock_ahead: float = 0.0
    seconds: float = 900.0
    layer: str = ""
    streams: int = 1
    pause_after: int | None = None

    def as_line(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class _Writes:
    """The WRITEs of this process, those of probes left out."""

    count: int = 0
    of_session: Counter[int] = field(default_factory=Counter)


# --- where an invocation can die ---


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("no process survives SIGKILL")


def _before(owner: Any, name: str) -> Seam:
    def wrapped(_call: Callable[..., Any], *_args: Any, **_more: Any) -> Any:
        _die()

    return functools.partial(_wrap, owner, name, wrapped)


def _after(owner: Any, name: str) -> Seam:
    def wrapped(call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        call(*args, **more)
        _die()

    return functools.partial(_wrap, owner, name, wrapped)


def _nth(owner: Any, name: str, nth: int, *, done: bool) -> Seam:
    """Kill at the nth call of a process, before it or after it."""
    calls = itertools.count(1)

    def wrapped(call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        is_due = next(calls) == nth
        if is_due and not done:
            _die()
        result = call(*args, **more)
        if is_due:
            _die()
        return result

    return functools.partial(_wrap, owner, name, wrapped)


def _sftp(when: str, *names: str, nth: int = 1, probe: bool = False) -> Seam:
    """Kill at one of these requests, the nth of its connection: unsent, sent or answered."""
    asked: Counter[int] = Counter()

    def wrapped(call: Callable[..., Any], sftp: SftpSession, *args: Any, **more: Any) -> Any:
        asked[id(sftp)] += _is_of_probe(*args, **more) is probe
        if _is_of_probe(*args, **more) is not probe or asked[id(sftp)] != nth:
            return call(sftp, *args, **more)
        if when == "unsent":
            sftp._wire.flush("die")  # earlier requests are on their way
            _die()
        pending = call(sftp, *args, **more)
        if when == "sent":
            sftp._wire.flush("die")
            _die()
        pending._decode = lambda _reply, _doing: _die()
        return pending

    def install() -> None:
        for name in names:
            _wrap(SftpSession, name, wrapped)

    return install


def _wrap(owner: Any, name: str, wrapped: Callable[..., Any]) -> None:
    call = getattr(owner, name)

    @functools.wraps(call)
    def replacement(*args: Any, **more: Any) -> Any:
        return wrapped(call, *args, **more)

    setattr(owner, name, replacement)


def _is_of_probe(*args: Any, **more: Any) -> bool:
    return any(mark in str(more.get("path", args[0])) for mark in ("-probe", "-resume"))


STEPS: dict[str, Seam] = {
    "before the lease": _before(DynamoLedger, "acquire"),
    "after the lease": _after(DynamoLedger, "acquire"),
    "before OPEN": _sftp("unsent", "create", "open_existing"),
    "OPEN is sent": _sftp("sent", "create", "open_existing"),
    "after OPEN": _sftp("answered", "create", "open_existing"),
    "mid-write": _sftp("sent", "write", nth=2),
    "before CLOSE": _sftp("unsent", "close_file"),
    "CLOSE is sent": _sftp("sent", "close_file"),
    "after CLOSE, before the commit": _before(DynamoLedger, "commit"),
    "after the commit, before RENAME": _after(DynamoLedger, "commit"),
    "RENAME is sent": _sftp("sent", "rename"),
    "after RENAME, before the record": _before(DynamoLedger, "delivered"),
    "after the record": _after(DynamoLedger, "delivered"),
    "before the acknowledgement": _after(handler, "lambda_handler"),
}
"""Every step of a delivery."""

PAUSING_STEPS: dict[str, Seam] = {
    "before the checkpoint": _before(DynamoLedger, "checkpoint"),
    "after the checkpoint": _after(DynamoLedger, "checkpoint"),
    "before the continuation is sent": _before(MessageQueue, "send_continuation"),
    "after the continuation, before the acknowledgement": _after(MessageQueue, "send_continuation"),
}
"""Further steps of an invocation that ends before the object is complete."""

PROBING_STEPS: dict[str, Seam] = {
    "the probe file is created": _sftp("answered", "create", probe=True),
    "the probe is written": _sftp("sent", "write", probe=True),
    "the probe is about to be removed": _sftp("unsent", "remove", probe=True),
}
"""Further steps of the first delivery over several streams."""

REPLACING_STEPS: dict[str, Seam] = {
    "RENAME onto the old file is sent": _sftp("sent", "rename"),
    "RENAME onto the old file is refused": _sftp("answered", "rename"),
    "the old file is moved aside": _sftp("answered", "rename_without_replacing"),
    "the new file has its name": _sftp("answered", "rename_without_replacing", nth=2),
    "the old file is about to be removed": _sftp("unsent", "remove"),
}
"""Further steps where a RENAME does not replace a file."""

FILES_OF_RULES = ("the descriptor", "the data", "the checksum", "the marker")

RULES_STEPS: dict[str, Seam] = {
    "before the number": _before(SequenceNumbers, "take"),
    "after the number": _after(SequenceNumbers, "take"),
    **{
        f"RENAME of {file} is {when}": _sftp(when, "rename", nth=place)
        for place, file in enumerate(FILES_OF_RULES, 1)
        for when in ("unsent", "sent", "answered")
    },
    **{
        f"{'after' if done else 'before'} step {place} is recorded": _nth(
            DynamoLedger, "note_step", place, done=done
        )
        for place in range(1, 6)
        for done in (False, True)
    },
}
"""Further steps of an object with a number and files beside it."""

MOVE_STEPS: dict[str, Seam] = {
    "before the copy": _before(AfterActions, "copy"),
    "after the copy, before its record": _after(AfterActions, "copy"),
    "after the record of the copy": _after(AfterRecord, "move_on"),
    "after the deletion, before its record": _after(AfterActions, "delete"),
}
"""Further steps of an object that is moved after its delivery."""

_ALL_STEPS = {**STEPS, **RULES_STEPS, **MOVE_STEPS, **PAUSING_STEPS, **PROBING_STEPS, **REPLACING_STEPS}


# --- one invocation ---


class _Context:
    function_name = "s3-to-sftp"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:s3-to-sftp"

    def __init__(self, invocation: Invocation, writes: _Writes) -> None:
        self.aws_request_id = invocation.request_id
        self._milliseconds = round(invocation.seconds * 1000)
        self._pause_after = invocation.pause_after
        self._writes = writes

    def get_remaining_time_in_millis(self) -> int:
        is_over = self._pause_after is not None and self._writes.count >= self._pause_after
        return 0 if is_over else self._milliseconds


def _invoke(invocation: Invocation) -> Any:
    signal.alarm(_MOST_SECONDS)
    os.environ.update(invocation.environment)
    if invocation.layer:
        sys.path.append(invocation.layer)
    _set_clock_ahead(invocation.clock_ahead)
    if invocation.dies:
        _ALL_STEPS[invocation.dies]()
    writes = _Writes()
    _count(writes, gather=invocation.streams)
    _construct_with(app, "MessageQueue", max_delay_seconds=0)  # SQS does not know our clock
    if invocation.streams > 1:
        _construct_with(app, "SftpClient", tuning=tuned(WRITE_BYTES))
    context: Any = _Context(invocation, writes)
    return handler.lambda_handler(invocation.event, context)


def _set_clock_ahead(seconds: float) -> None:
    def clock() -> float:
        return time.time() + seconds

    for module, name in ((app, "DynamoLedger"), (app, "DynamoCircuitBreaker"), (handler, "Deadline")):
        _construct_with(module, name, clock=clock)


def _construct_with(module: Any, name: str, **arguments: Any) -> None:
    """Let the module construct this class with further arguments."""
    setattr(module, name, functools.partial(getattr(module, name), **arguments))


def _count(writes: _Writes, *, gather: int) -> None:
    """Count WRITEs, and send no second one before each stream has sent its first."""

    def counted(call: Callable[..., Any], sftp: SftpSession, *args: Any, **more: Any) -> Any:
        if not _is_of_probe(*args, **more):
            writes.of_session[id(sftp)] += 1
            writes.count += 1
        return call(sftp, *args, **more)

    def gathered(
        call: Callable[..., Any], reader: ObjectReader, *args: Any, **more: Any
    ) -> Iterator[tuple[int, Piece]]:
        until = time.monotonic() + _STREAMS_SECONDS
        for number, block in enumerate(call(reader, *args, **more)):
            while number == 1 and len(writes.of_session) < gather:
                assert time.monotonic() < until
                time.sleep(0.001)
                yield (
                    block[0],
                    NOT_READY,
                )  # the others join when the first stream has done its part of the probe
            yield block

    _wrap(SftpSession, "write", counted)
    if gather > 1:
        _wrap(ObjectReader, "blocks", gathered)


# --- the process that forks ---

_KEY = {"pk": {"S": "missing"}, "sk": {"S": "missing"}}
_UPDATE = {
    "TableName": "missing",
    "Key": _KEY,
    "UpdateExpression": "SET #a = :a",
    "ConditionExpression": "#a = :a",
    "ExpressionAttributeNames": {"#a": "a"},
    "ExpressionAttributeValues": {":a": {"M": {"a": {"S": "a"}}}},
}
_REQUESTS_OF_DYNAMODB: dict[str, dict[str, Any]] = {
    "get_item": {"TableName": "missing", "Key": _KEY, "ConsistentRead": True},
    "put_item": {"TableName": "missing", "Item": _KEY},
    "update_item": _UPDATE,
    "transact_get_items": {"TransactItems": [{"Get": {"TableName": "missing", "Key": _KEY}}]},
    "transact_write_items": {"TransactItems": [{"Update": _UPDATE}]},
}
_REQUESTS_OF_S3: dict[str, dict[str, Any]] = {
    "head_object": {},
    "get_object": {},
    "get_object_tagging": {},
    "put_object_tagging": {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}},
}


def _prepare() -> None:
    """Make what a fork inherits, since that takes longer than a delivery: clients, and what they learn."""
    for module in _OF_RULES:
        importlib.import_module(module)
    vars(handler)["new_client"] = functools.cache(handler.new_client)
    s3 = handler.new_client("s3", config=app._S3_CONFIG)
    dynamodb, sqs = (handler.new_client(name, config=app._SMALL_ANSWERS) for name in ("dynamodb", "sqs"))
    for request in _REQUESTS_OF_S3:
        _ask(s3, request, Bucket="missing", Key="missing", **_REQUESTS_OF_S3[request])
    for request in _REQUESTS_OF_DYNAMODB:
        _ask(dynamodb, request, **_REQUESTS_OF_DYNAMODB[request])
    _ask(sqs, "send_message", QueueUrl="missing", MessageBody="{}")
    for client in (s3, dynamodb, sqs):
        client.close()  # a fork makes its own connections
    gc.freeze()  # a collection in a fork would copy the pages of all that it inherits


def _ask(client: Any, request: str, **arguments: Any) -> None:
    """Let the client learn how the request is written and its answer read: nothing of that name exists."""
    with suppress(ClientError):
        getattr(client, request)(**arguments)


def _serve() -> None:
    _prepare()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the function logs to stderr
    for line in sys.stdin:
        print(json.dumps(_answer_of(Invocation(**json.loads(line)))), file=answers, flush=True)


def _answer_of(invocation: Invocation) -> dict[str, Any]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _run_in_fork(invocation, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        response = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {"status": status, "response": json.loads(response) if response else None}


def _run_in_fork(invocation: Invocation, answer: int) -> NoReturn:
    status = 1
    try:
        response = json.dumps(_invoke(invocation))
        sys.stdout.flush()
        os.write(answer, response.encode())
        status = 0
    except BaseException:  # noqa: BLE001 - the fork must not continue with the code of its parent
        traceback.print_exc()
    os._exit(status)


if __name__ == "__main__":
    _serve()
