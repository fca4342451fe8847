"""A small client that executes the plan of an object, step by step, and nothing else."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import paramiko

from local.sftp_server import RunningServer
from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists, PlannedFile
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.plan import PlannedObject, plan
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.sftp.temporary_names import temporary_path

NOW = 1_795_860_000
"""When objects were put, and when they are delivered: 2026-11-28 10:00 UTC."""

Change = Callable[[DeliveryPlan], DeliveryPlan]


def as_planned(plan: DeliveryPlan) -> DeliveryPlan:
    """Change nothing."""
    return plan


@dataclass
class PlanClient:
    """Delivers by plan, over one connection.

    Attributes:
        now: Seconds since 1970, of the objects and of their delivery.
        numbers: The next number of each sequence that has given one.
        tail_first: Whether the second half of the data is written before the first.
        directory: Remote directory of the server or source.
    """

    sftp: paramiko.SFTPClient
    now: int = NOW
    numbers: dict[str, int] = field(default_factory=dict)
    tail_first: bool = False
    directory: str = ""
    _tokens: Iterator[int] = field(default_factory=itertools.count)

    def deliver(
        self,
        rules: DeliveryRules,
        key: str,
        data: bytes,
        *,
        change: Change = as_planned,
        number: int | None = None,
    ) -> None:
        """Deliver an object as the rules say.

        Args:
            rules: Of the partner.
            key: Of the object.
            data: Its bytes.
            change: What is done otherwise than planned.
            number: Used instead of the next one.

        Raises:
            FileExistsError: Something has the name, and the rules say to refuse.
            OSError: The server has refused a step.
        """
        item = PlannedObject(bucket="outgoing", key=key, directory=self.directory)
        digests = {name: hashlib.new(name, data).hexdigest() for name in ("sha256", "md5")}
        facts = PlanFacts(event_time=self.now, delivery_time=self.now, size=len(data), digests=digests)
        planned = change(plan(rules, item, facts))
        temporary = self._write(planned, planned.file, data)
        if planned.modified is not None:
            self.sftp.utime(temporary, (planned.modified, planned.modified))
        if rules.sequence is not None:
            facts = replace(facts, sequence=self._number(rules, number))
            planned = change(plan(rules, item, facts))
        for companion in planned.companions_before:
            self._put(planned, companion, companion.content)
        self._publish(planned, temporary, planned.file.path)
        for companion in planned.companions_after:
            self._put(planned, companion, companion.content)

    def _number(self, rules: DeliveryRules, number: int | None) -> int:
        assert rules.sequence is not None
        name = rules.sequence.name
        used = self.numbers.get(name, rules.sequence.start) if number is None else number
        self.numbers[name] = used + 1
        return used

    def _put(self, planned: DeliveryPlan, file: PlannedFile, content: bytes | None) -> None:
        assert content is not None, f"nothing is known of {file.path}"
        self._publish(planned, self._write(planned, file, content), file.path)

    def _write(self, planned: DeliveryPlan, file: PlannedFile, data: bytes) -> str:
        token = f"{next(self._tokens):x}"
        temporary = file.temporary.replace("{token}", token) or temporary_path(file.path, token=token)
        half = len(data) // 2 if self.tail_first else 0
        with self.sftp.open(temporary, "wb") as remote:
            for start, piece in ((half, data[half:]), (0, data[:half])):
                if piece:
                    remote.seek(start)
                    remote.write(piece)
        if planned.mode is not None:
            self.sftp.chmod(temporary, planned.mode)
        return temporary

    def _publish(self, planned: DeliveryPlan, temporary: str, path: str) -> None:
        if temporary == path:
            return
        if planned.if_exists is IfExists.REPLACE:
            self.sftp.posix_rename(temporary, path)
            return
        assert planned.if_exists is IfExists.REFUSE, "the other ways are not needed here"
        with suppress(FileNotFoundError):
            self.sftp.stat(path)
            raise FileExistsError(path)
        self.sftp.rename(temporary, path)


@contextmanager
def plan_client(server: RunningServer) -> Iterator[PlanClient]:
    """Connects to a server until the block ends."""
    transport = paramiko.Transport((server.host, server.port))
    try:
        key = paramiko.Ed25519Key.from_private_key(io.StringIO(server.private_key))
        transport.connect(username=server.username, pkey=key)
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        yield PlanClient(sftp)
    finally:
        transport.close()
