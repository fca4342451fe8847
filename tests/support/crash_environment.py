"""A partner, a local AWS and a function whose invocations are killed: the environment of the crash matrix."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from local.cloud import REGION, LocalCloud
from local.environments import REPOSITORY
from local.processes import read
from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.s3.envelopes import objects_in_message
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.key_item import read_key
from tests.support.crash_driver import WRITE_BYTES, Invocation
from tests.support.faults.sftp_server import Fault, WatchedServer, faulty, stating_write_limit
from tests.support.lambda_events import s3_notification, s3_record, sqs_record
from tests.support.ledger_environment import LedgerEnvironment, create_table
from tests.support.partner import connections, contents_below
from tests.support.watch import never_partial

INBOX = "inbox"
OLD = b"the old file, complete"
LONGER_THAN_A_LEASE = 1000.0
_MOST_INVOCATIONS = 8
_numbers = count(1)
_client = functools.cache(LocalCloud.client)


class CrashingFunction:
    """A function, each of whose invocations is a process of its own."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    @contextmanager
    def started(cls, cloud: LocalCloud, log: Path) -> Iterator[CrashingFunction]:
        """A function that logs to this file."""
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.crash_driver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                cwd=REPOSITORY,
                env=cloud.environment(),
            ) as process,
        ):
            yield cls(process, log)
            process.stdin.close()  # type: ignore[union-attr] # it is a pipe

    def invoke(self, invocation: Invocation) -> dict[str, Any] | None:
        """Return its response; None when it was killed.

        Any other end of the process fails the test.
        """
        assert self._process.stdin
        assert self._process.stdout
        print(invocation.as_line(), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, self.log()
        answer = json.loads(line)
        assert answer["status"] == (-signal.SIGKILL if invocation.dies else 0), (answer, self.log())
        response: dict[str, Any] | None = answer["response"]
        return response

    def log(self) -> str:
        """Return the end of what the function has logged so far."""
        return read(self._log)[-8000:]


class _RecordingServer(WatchedServer):
    """Records the names that files got, and the names that were opened."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault, seen: Seen) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._seen = seen

    async def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
        self._seen.opened.add(path.decode())
        return await super().open(path, pflags, attrs)

    async def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        await super().rename(oldpath, newpath)
        self._seen.arrivals[newpath.decode()] += 1

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        await super().posix_rename(oldpath, newpath)
        self._seen.arrivals[newpath.decode()] += 1


@dataclass
class Seen:
    """What the partner has seen.

    Attributes:
        arrivals: Name -> how often a file got it by a RENAME.
        opened: Names that were opened.
    """

    arrivals: Counter[str] = field(default_factory=Counter)
    opened: set[str] = field(default_factory=set)


class CrashEnvironment:
    """Announced objects, and invocations that receive their messages as from an event source mapping."""

    def __init__(
        self,
        cloud: LocalCloud,
        function: CrashingFunction,
        server: RunningServer,
        seen: Seen,
        streams: int,
        *,
        rules: str = "",
        layer: str = "",
    ) -> None:
        name = f"crash-{os.getpid()}-{next(_numbers)}"
        self._s3, self._sqs, dynamodb = (_client(cloud, service) for service in ("s3", "sqs", "dynamodb"))
        self._function = function
        self._server = server
        self._seen = seen
        self._streams = streams
        self._rules = rules
        self._layer = layer
        self._bucket = self._table = name
        self._s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        create_table(dynamodb, name)
        self._ledger = LedgerEnvironment(dynamodb, name)
        self._queue, self._dead_letters = (
            self._sqs.create_queue(QueueName=f"{name}{end}")["QueueUrl"] for end in ("", "-dlq")
        )
        self._objects: dict[str, bytes] = {}
        self._refs: list[ObjectRef] = []
        self._invocations = 0

    def announce(self, objects: Mapping[str, bytes]) -> None:
        """Put objects into the bucket, and their events into the queue."""
        for place, (key, data) in enumerate(objects.items()):
            etag = self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)["ETag"].strip('"')
            record = s3_record(self._bucket, key, size=len(data), etag=etag)
            record["s3"]["object"]["sequencer"] = f"0055AED6DCD9{place:04X}"
            body = json.dumps(s3_notification(record))
            self._sqs.send_message(QueueUrl=self._queue, MessageBody=body)
            self._refs += objects_in_message(body)
            self._objects[key] = data

    @contextmanager
    def no_partial_file_is_seen(self) -> Iterator[None]:
        """Polls the final names, and asserts that no partial file is ever visible."""
        with ExitStack() as watchers:
            for key, data in self._objects.items():
                watchers.enter_context(never_partial(self._server.root / INBOX / key, data, OLD))
            yield

    def put_old_files(self) -> None:
        """Put an old file under the final name of each object."""
        for key in self._objects:
            (self._server.root / INBOX / key).write_bytes(OLD)

    def invoke(self, *, dies: str = "", pause_after: int | None = None, seconds: float = 900.0) -> int:
        """Give one invocation all messages of the queue; return their number.

        The clock of each invocation is later than all leases of the earlier ones. Messages that are not
        acknowledged can be received again at once.
        """
        messages = self._receive()
        self._invocations += 1
        invocation = Invocation(
            environment=self._environment(),
            event={"Records": [sqs_record(message) for message in messages]},
            request_id=f"invocation {self._invocations}",
            dies=dies,
            clock_ahead=self._invocations * LONGER_THAN_A_LEASE,
            seconds=seconds,
            layer=self._layer,
            streams=self._streams,
            pause_after=pause_after,
        )
        response = self._function.invoke(invocation) if messages else {"batchItemFailures": []}
        returned = {message["MessageId"] for message in messages}
        if response is not None:
            returned = {failure["itemIdentifier"] for failure in response["batchItemFailures"]}
        for message in messages:
            self._end(message, returned=message["MessageId"] in returned)
        return len(messages)

    def redeliver(self) -> None:
        """Invoke until the queue is empty."""
        for _ in range(_MOST_INVOCATIONS):
            if not self.invoke():
                return
        raise AssertionError(f"messages are redelivered indefinitely\n{self._function.log()}")

    def assert_delivered_once(self) -> None:
        """Assert that each object arrived once, that no other file exists, and that the ledger records it."""
        files = contents_below(self._server.root)
        final_names = {f"{INBOX}/{key}" for key in self._objects}
        assert set(files) == final_names, f"{sorted(files)}\n{self._function.log()}"
        # Not `assert a == b`: pytest would explain the difference of megabytes.
        different = [key for key, data in self._objects.items() if files[f"{INBOX}/{key}"] != data]
        assert not different
        arrivals = {name: count for name, count in self._seen.arrivals.items() if name in final_names}
        assert arrivals == dict.fromkeys(final_names, 1)
        assert not self._seen.opened & final_names
        assert self._receive(self._dead_letters) == []
        for ref in self._refs:
            self._assert_recorded(ref)

    def remove_rules(self) -> None:
        """Let later invocations be of a function without rules."""
        self._rules = ""

    def objects(self) -> dict[str, bytes]:
        """Return what is in the bucket, by key."""
        listed = self._s3.list_objects_v2(Bucket=self._bucket).get("Contents", [])
        keys = [each["Key"] for each in listed]
        return {key: self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read() for key in keys}

    def files(self) -> dict[str, bytes]:
        """Return what stands at the partner, by path."""
        return contents_below(self._server.root)

    def arrivals(self) -> dict[str, int]:
        """Return how often each final name was given, in the order in which they were given first."""
        return {name: count for name, count in self._seen.arrivals.items() if "partial" not in name}

    def assert_recorded(self) -> None:
        """Assert that the ledger records each object as delivered, and that nothing is dead-lettered."""
        assert self._receive(self._dead_letters) == []
        for ref in self._refs:
            self._assert_recorded(ref)

    def receipt(self, key: str) -> dict[str, Any]:
        """Return the receipt of a delivered object from the ledger."""
        (ref,) = (ref for ref in self._refs if ref.key == key)
        receipt: dict[str, Any] = self._ledger.item(ref)["receipt"]["M"]
        return receipt

    def connections(self) -> int:
        """Return the number of connections that the partner has seen."""
        return connections(self._server)

    def _assert_recorded(self, ref: ObjectRef) -> None:
        assert self._ledger.state(ref) == "DELIVERED"
        receipt = self.receipt(ref.key)
        size = receipt.get("source_bytes", receipt["bytes"])  # changed on its way, it has another size
        assert size == {"N": str(len(self._objects[ref.key]))}
        key = self._ledger.key_item(ref)
        assert "owner" not in key
        # A prescribed name stays unused for a day where a RENAME of it may be under way at the partner.
        known = read_key(key).names.values()
        assert [entry for entry in known if not entry.rename_pending] == []
        assert {entry.kind for entry in known} <= ({"blocker"} if self._rules else set())

    def _environment(self) -> dict[str, str]:
        return {
            "SSH_HOST": self._server.host,
            "SSH_PORT": str(self._server.port),
            "SSH_HOST_KEY": self._server.host_key,
            "SSH_USERNAME": self._server.username,
            "SSH_PASSWORD": str(self._server.password),
            "SSH_DIR": INBOX,
            "SSH_MAX_CONNECTIONS": str(self._streams),
            "LEDGER_TABLE": self._table,
            "QUEUE_URL": self._queue,
            "DEAD_LETTER_QUEUE_URL": self._dead_letters,
            **({"SSH_RULES": self._rules} if self._rules else {}),
        }

    def _receive(self, queue: str | None = None) -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = []
        while found := self._sqs.receive_message(
            QueueUrl=queue or self._queue,
            MaxNumberOfMessages=10,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages"):
            received += found
        return received

    def _end(self, message: Mapping[str, Any], *, returned: bool) -> None:
        named = {"QueueUrl": self._queue, "ReceiptHandle": message["ReceiptHandle"]}
        # The function deletes what it has sent again; unlike AWS, the emulator refuses a second deletion.
        with suppress(self._sqs.exceptions.ReceiptHandleIsInvalid):
            if returned:
                self._sqs.change_message_visibility(**named, VisibilityTimeout=0)
            else:
                self._sqs.delete_message(**named)


@contextmanager
def crash_environment(
    cloud: LocalCloud,
    function: CrashingFunction,
    root: Path,
    *,
    streams: int,
    rules: str = "",
    layer: str = "",
) -> Iterator[CrashEnvironment]:
    """An environment with its own partner, bucket, queue and table.

    Args:
        cloud: Where bucket, queue and table are.
        function: What is invoked.
        root: Folder of the partner.
        streams: Streams that write a large object.
        rules: Digest of the rules; empty: there are none.
        layer: The folder of the layer that has them.
    """
    (root / INBOX).mkdir()  # streams are not probed in a directory that is being made
    seen = Seen()
    factory = faulty(functools.partial(_RecordingServer, seen=seen), Fault(broken=False))
    with stating_write_limit(WRITE_BYTES), start_asyncssh_server(root, sftp_factory=factory) as server:
        yield CrashEnvironment(cloud, function, server, seen, streams, rules=rules, layer=layer)
