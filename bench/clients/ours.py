"""Our transfer engine, fed from memory or from S3. No other module here knows its interface."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from bench.clients.job import Job, Phases
from bench.payload import Payload, small_file, small_name
from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.s3.checksum import DEFAULT_ALGORITHM, RangeChecksum
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.client import SftpClient, SmallFile
from s3_to_sftp.sftp.publish import NoJournal, publish
from s3_to_sftp.sftp.upload_request import UploadRequest
from s3_to_sftp.ssh.connect import Timeouts

WARM_UP = "warm-up"


class MemorySource:
    """The payload, as the engine reads an object, with the checksums that the function computes."""

    def __init__(self, payload: Payload, checksum: str = "") -> None:
        self._payload = payload
        self.size = payload.size
        self._crc = RangeChecksum(DEFAULT_ALGORITHM) if checksum else None
        self._sha256 = hashlib.sha256() if "sha256" in checksum else None

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, memoryview]]:
        """Yields offset and bytes of each block."""
        for offset, length in ranges:
            position = offset
            crc = 0
            for block in self._payload.blocks(offset, length, block_bytes):
                if self._crc:
                    crc = self._crc.update(crc, block)
                if self._sha256:
                    self._sha256.update(block)
                yield position, block
                position += len(block)


class Learned:
    """What was learned of the server, in place of the ledger's table."""

    def __init__(self) -> None:
        self._known: KnownServer | None = None

    def current(self) -> KnownServer | None:
        """Returns it."""
        return self._known

    def allows_streams_at_once(self) -> bool:
        """Returns whether anything was learned."""
        return self._known is not None

    def forget(self, reason: str, **_more: object) -> None:
        """Ends the run: it would not measure what it is to measure."""
        if self._known is not None:
            raise SystemExit(f"the server is not the known one: {reason}")

    def learn(self, shown: KnownServer | None) -> None:
        """Keeps it."""
        self._known = shown


def main() -> None:
    """Does the job of the command line."""
    job = Job.from_command_line()
    s3 = _s3(job) if job.endpoint or job.boto3 else None
    phases = Phases()
    learned = Learned() if job.warm == "known" else None
    partner = _client(job, learned)
    if job.warm:
        _warm_up(partner, job)
        if learned is not None:
            partner.end_of_invocation(keep_first=False)
            partner = _client(job, learned)
        phases.ready()
    streams = _send(partner, job, s3)
    phases.print_done(streams=streams)
    partner.close()


def _client(job: Job, learned: Learned | None) -> SftpClient:
    return SftpClient(
        Server(host=job.host, port=job.port, host_keys=(job.host_key,)),
        FixedCredentials(Credentials(username=job.username, private_key=job.private_key)),
        timeouts=Timeouts(),
        max_connections=job.connections,
        known=learned,
    )


def _s3(job: Job) -> Any:
    # As the function configures it.
    return job.s3(max_pool_connections=64, response_checksum_validation="when_required")


def _send(partner: SftpClient, job: Job, s3: Any) -> int:
    if job.endpoint:
        return _deliver(partner, job, s3)
    if job.files == 1:
        return _send_large(partner, job, "large")
    numbers = range(job.files)
    _send_small(partner, (_small(job, small_name(n), small_file(n, job.size)) for n in numbers))
    return 1


def _warm_up(partner: SftpClient, job: Job) -> None:
    if job.warm == "tiny":
        _send_small(partner, [_small(job, WARM_UP, b"x")])
    else:
        _send_large(partner, job, WARM_UP)


def _send_large(partner: SftpClient, job: Job, name: str) -> int:
    path, temporary = f"{job.directory}/{name}", f"{job.directory}/.{name}.part"
    sent = partner.upload(UploadRequest(source=MemorySource(job.payload, job.checksum), temporary=temporary))
    if not sent.complete:
        raise sent.lost or RuntimeError("not all was sent")
    partner.run(
        lambda session: publish(session, sent.temporary, path, aside=f"{temporary}.old", journal=NoJournal())
    )
    return sent.streams


def _deliver(partner: SftpClient, job: Job, s3: Any) -> int:
    from s3_to_sftp.delivery.delivery import Delivery
    from s3_to_sftp.s3.object_ref import ObjectRef

    delivery = Delivery(s3=s3, sftp=partner, directory=job.directory)
    return delivery.deliver(ObjectRef(bucket=job.bucket, key=job.key, size=job.size)).streams


def _small(job: Job, name: str, data: bytes) -> SmallFile[str]:
    temporary = f"{job.directory}/.{name}.part"
    path = f"{job.directory}/{name}"
    return SmallFile(name, path, temporary, data, aside=f"{temporary}.old")


def _send_small(partner: SftpClient, files: Iterable[SmallFile[str]]) -> None:
    for _, error in partner.send_small(files):
        if error is not None:
            raise error


if __name__ == "__main__":
    main()
