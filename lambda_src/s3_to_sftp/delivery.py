"""One object, from S3 to its final name at the partner: the story of the program."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from s3_to_sftp.errors import ConnectionLost
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.remote_path import remote_path, temporary_path
from s3_to_sftp.sftp.connection import Connection
from s3_to_sftp.sftp.upload import upload
from s3_to_sftp.sftp.warm import WarmConnection
from s3_to_sftp.source import OpenObject


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was delivered.

    Attributes:
        ref: The object version.
        remote_path: Its final name at the partner.
        size: Bytes.
        seconds: From the first request to the rename.
        host_key_fingerprint: Of the server that took it, `SHA256:...`.
    """

    ref: ObjectRef
    remote_path: str
    size: int
    seconds: float
    host_key_fingerprint: str


class Delivery:
    """Delivers objects over one warm connection."""

    def __init__(
        self,
        *,
        s3: Any,
        connection: WarmConnection,
        directory: str,
        new_token: Callable[[], str] = lambda: secrets.token_hex(8),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._s3 = s3
        self._connection = connection
        self._directory = directory
        self._new_token = new_token
        self._clock = clock

    def deliver(self, ref: ObjectRef) -> Receipt:
        """Deliver the announced bytes: when it returns, they stand under their final name.

        Raises:
            DeliveryError: They do not, and nothing half-written stands there either.
        """
        started = self._clock()
        path = remote_path(directory=self._directory, key=ref.key)
        try:
            size, connection = self._attempt(ref, path)
        except ConnectionLost:
            if not self._connection.reused:
                raise
            # An old connection may have died of its age; that says nothing about the partner.
            size, connection = self._attempt(ref, path)
        return Receipt(
            ref=ref,
            remote_path=path,
            size=size,
            seconds=self._clock() - started,
            host_key_fingerprint=connection.host_key_fingerprint,
        )

    def _attempt(self, ref: ObjectRef, path: str) -> tuple[int, Connection]:
        # The object first: nobody logs in at the partner for one that is gone.
        source = OpenObject(self._s3, ref)
        try:
            connection = self._connection.get()
            size = upload(
                connection.session,
                source.blocks(),
                path=path,
                temporary=temporary_path(path, token=self._new_token()),
                complete=source.insist_on_size,
            )
        finally:
            source.close()
        self._connection.used()
        return size, connection
