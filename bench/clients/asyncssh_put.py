"""asyncssh's own `put` of local files; small ones concurrently."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncssh

from bench.clients.job import Job, Phases
from bench.payload import small_name

_AT_A_TIME = 32


async def _main() -> None:
    job = Job.from_command_line()
    cipher: dict[str, Any] = {"encryption_algs": [job.cipher]} if job.cipher else {}
    phases = Phases()
    async with (
        asyncssh.connect(
            job.host,
            job.port,
            username=job.username,
            client_keys=[job.key_file],
            known_hosts=None,
            config=None,
            agent_path=None,
            **cipher,
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        phases.ready()
        await _send(sftp, job)
        phases.print_done()


async def _send(sftp: asyncssh.SFTPClient, job: Job) -> None:
    if job.files == 1:
        await sftp.put(job.local, f"{job.directory}/large")
        return
    free = asyncio.Semaphore(_AT_A_TIME)

    async def send_one(name: str) -> None:
        async with free:
            await sftp.put(f"{job.local}/{name}", f"{job.directory}/{name}")

    await asyncio.gather(*(send_one(small_name(number)) for number in range(job.files)))


if __name__ == "__main__":
    asyncio.run(_main())
