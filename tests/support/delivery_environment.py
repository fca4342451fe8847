"""S3, a partner and a ledger, and one function after the other that delivers from here to there."""

from __future__ import annotations

import base64
import dataclasses
import math
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.s3.checksum import RangeChecksum
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.state.ledger import Ledger
from s3_to_sftp.state.receipt import Receipt
from tests.support.ledger_environment import LEASE_SECONDS, LedgerEnvironment
from tests.support.memory_s3 import MemoryS3
from tests.support.scripted_server import NOTHING, Asked, Script, status
from tests.support.sftp_environment import SftpEnvironment

PLENTY = 900.0


class OneAtATime:
    """A client whose requests are atomic, as DynamoDB's are and moto's are not."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)

        def alone(**request: Any) -> Any:
            with self._lock:
                return operation(**request)

        return alone


class DeliveryEnvironment:
    """Everything that outlives a function.

    Attributes:
        s3: Where objects come from.
        env: The partner; connections are slow enough for a budget of a few blocks.
        ledger: The table and its clock, which is that of all functions.
    """

    def __init__(self, dynamodb: Any, objects: dict[str, bytes] | None = None) -> None:
        self.s3 = MemoryS3(objects)
        self.env = SftpEnvironment()
        self.env.disk.directories.add("inbox")
        self.ledger = LedgerEnvironment(OneAtATime(dynamodb))
        self._tokens = count(1)

    def ref(self, key: str = "a", sequencer: str | None = "0A") -> ObjectRef:
        """Announce the object as it is now."""
        return dataclasses.replace(self.s3.ref(key), sequencer=sequencer)

    def _new_token(self) -> str:
        return f"token{next(self._tokens)}"  # of a counter: several threads may ask at a time

    def function(
        self,
        name: str = "f",
        *,
        partner: SftpClient | None = None,
        max_connections: int = 1,
        has_ledger: bool = True,
        ledger: Ledger | None = None,
        **more: Any,
    ) -> Delivery:
        """A function that has just been started, with its own view of the ledger unless one is given."""
        return Delivery(
            s3=self.s3,
            sftp=partner or self.env.client(max_connections),
            directory="inbox",
            ledger=(ledger or self.ledger.function(name)) if has_ledger else None,
            new_token=self._new_token,
            **more,
        )

    def deliver(
        self, ref: ObjectRef, *, name: str = "f", deadline: Deadline | None = None, **more: Any
    ) -> Receipt:
        """Deliver one object with a function that has just been started."""
        return self.function(name, **more).deliver(ref, Invocation(deadline or self.deadline(), name))

    def deadline(
        self,
        *,
        budget: int | None = None,
        left: float = PLENTY,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Deadline:
        """The end of an invocation: after that many bytes at the partner, or as soon as `is_over` says so."""
        end = math.inf if budget is None else self.written + budget
        begun = False

        def remaining() -> float:
            return 0 if begun and (self.written >= end or is_over()) else left

        deadline = Deadline(remaining, clock=self.ledger.clock)
        begun = True
        return deadline

    def invocation(self, name: str = "", **about: Any) -> Invocation:
        """An invocation with this deadline."""
        return Invocation(self.deadline(**about), name)

    @property
    def written(self) -> int:
        """Bytes that the partner has taken so far, over all connections; those of a proof are not counted."""
        return sum(size for connection in list(self.env.made) for size in connection.server.sizes if size > 2)

    @property
    def whole(self) -> dict[str, bytes]:
        """What stands under final names."""
        return {path: bytes(data) for path, data in self.env.files.items() if not path.endswith(".part")}

    @property
    def partial(self) -> list[str]:
        """The names of what does not."""
        return [path for path in self.env.files if path.endswith(".part")]

    def paths(self, kind: Request) -> list[list[str]]:
        """The strings of every request of this kind, over all connections."""
        return [texts for connection in self.env.made for texts in connection.server.paths(kind)]

    def item(self, ref: ObjectRef) -> Any:
        """What the ledger has of the version."""
        return self.ledger.item(ref)

    def state(self, ref: ObjectRef) -> str:
        return self.ledger.state(ref)

    def has_lease(self, ref: ObjectRef) -> bool:
        return "owner" in self.ledger.item(ref) or "owner" in self.ledger.key_item(ref)

    def temporaries(self, ref: ObjectRef) -> set[str]:
        """The names that the ledger remembers of the key."""
        return self.ledger.names(ref)

    def dies_after(self, ref: ObjectRef, data: bytes = b"part", **about: Any) -> str:
        """What a function leaves that is killed while it writes; return the temporary name."""
        name = f"inbox/.dead-{self._new_token()}.part"
        about = {"remote_path": f"inbox/{ref.key}", "temporary": name, **about}
        self.ledger.lease(ref, self.ledger.function("dead"), **about)
        self.env.files[name] = bytearray(data)
        self.ledger.clock.now += LEASE_SECONDS
        return name

    def cut_at_rename(self, *, done: bool) -> Script:
        """A partner that is lost when it is asked for the final name, having given it or not."""

        def script(asked: Asked) -> bytes | None:
            if not is_rename(asked):
                return None
            if done:
                self.env.connection(0).server.healthy(asked)
            return NOTHING

        return script


def is_rename(asked: Asked) -> bool:
    return asked.kind == Request.EXTENDED and asked.texts[0].startswith("posix-rename")


def silent_after(writes: int) -> Script:
    """A partner that answers so many WRITEs, and nothing from then on."""
    seen = 0

    def script(asked: Asked) -> bytes | None:
        nonlocal seen
        seen += asked.kind == Request.WRITE
        return NOTHING if seen > writes else None

    return script


def vague(asked: Asked, env: SftpEnvironment) -> bytes | None:
    """For a script: FAILURE, not NO_SUCH_FILE, where a file to be renamed is missing."""
    is_missing = is_rename(asked) and asked.texts[1] not in env.files
    return status(asked, Status.FAILURE) if is_missing else None


def crc_of(data: bytes) -> str:
    """The CRC64NVME of all bytes, as S3 writes it."""
    crc = RangeChecksum("CRC64NVME").of(data)
    return base64.b64encode(crc.to_bytes(8, "big")).decode()
