"""paramiko as its documentation shows it: `putfo`, one file after the other."""

from __future__ import annotations

import io
from typing import BinaryIO, cast

import paramiko

from bench.clients.job import Job, Phases
from bench.clients.paramiko_login import connect
from bench.payload import PayloadReader, small_file, small_name


def main() -> None:
    """Does the job of the command line."""
    job = Job.from_command_line()
    phases = Phases()
    ssh, sftp = connect(job)
    phases.ready()
    _send(sftp, job)
    phases.print_done()
    ssh.close()


def _send(sftp: paramiko.SFTPClient, job: Job) -> None:
    if job.files == 1:
        source = cast("BinaryIO", PayloadReader(job.payload))
        sftp.putfo(source, f"{job.directory}/large", job.size)
        return
    for number in range(job.files):
        data = small_file(number, job.size)
        sftp.putfo(io.BytesIO(data), f"{job.directory}/{small_name(number)}", job.size)


if __name__ == "__main__":
    main()
