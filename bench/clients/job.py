"""The job of a client and its report: the only contract between the harness and its Python clients.

Only the standard library is imported here, since the imports of a client are part of the measurement.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench.payload import Payload


@dataclass(frozen=True, kw_only=True)
class Job:
    """One upload.

    Attributes:
        host: Address of the server, or of the link in front of it.
        port: Its port.
        host_key: Its public key, `type base64`.
        username: The login.
        key_file: Private key of the login.
        directory: Absolute remote directory, which exists.
        size: Bytes of each file.
        files: 1: the file is called `large`; more: each has the name that `bench.payload` gives it.
        local: The same file, or the folder with the same files, for clients that read from disk.
        connections: How many connections the client may open.
        warm: Send this first, and measure from there: a `tiny` file, or the `same` file under another name.
            `known` sends the same file, closes all connections, and keeps what was learned of the server.
        boto3: Load boto3 and make an S3 client, as the function does, so that it counts in the memory.
        checksum: Compute this of the bytes, as the function does of an object: `crc`, or both.
        cipher: Prefer this cipher; empty: the default of the client.
        endpoint: Read from this S3 instead of from memory.
        certificate: What a client of that S3 trusts; empty: it speaks plain HTTP.
        bucket: Where the object is.
        key: Its key.
    """

    host: str = ""
    port: int = 0
    host_key: str = ""
    username: str = ""
    key_file: str = ""
    directory: str = ""
    size: int = 0
    files: int = 1
    local: str = ""
    connections: int = 1
    warm: Literal["", "tiny", "same", "known"] = ""
    boto3: bool = False
    checksum: Literal["", "crc", "crc and sha256"] = ""
    cipher: str = ""
    endpoint: str = ""
    certificate: str = ""
    bucket: str = ""
    key: str = ""

    @classmethod
    def from_command_line(cls) -> Job:
        """The job of this process."""
        return cls(**json.loads(sys.argv[1]))

    def command(self, client: str) -> list[str]:
        """The command that starts the client with this module name for the job."""
        return [sys.executable, "-m", f"bench.clients.{client}", json.dumps(asdict(self))]

    @property
    def payload(self) -> Payload:
        """The bytes of the large file."""
        return Payload(self.size)

    @property
    def private_key(self) -> str:
        """Text of the private key."""
        return Path(self.key_file).read_text()

    def s3(self, **config: Any) -> Any:
        """A client of the local S3, with boto3's defaults except for `config`."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint or None,
            verify=self.certificate or None,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the local S3 accepts any
            config=Config(proxies={}, s3={"addressing_style": "path"}, **config),
        )


class Phases:
    """Measures the times of set-up (connect, log in, open the session) and of the transfer."""

    def __init__(self) -> None:
        self._begun = self._mark()
        self._ready = self._begun

    def ready(self) -> None:
        """Call it when everything but the transfer is done."""
        self._ready = self._mark()

    def print_done(self, **more: object) -> None:
        """Call it when the last byte is acknowledged; reports to the harness."""
        done = self._mark()
        told = {
            "setup_s": self._ready[0] - self._begun[0],
            "transfer_s": done[0] - self._ready[0],
            "setup_cpu_s": self._ready[1] - self._begun[1],
            "transfer_cpu_s": done[1] - self._ready[1],
        }
        print(json.dumps({**told, **more}), flush=True)

    @staticmethod
    def _mark() -> tuple[float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return time.perf_counter(), used.ru_utime + used.ru_stime
