"""A naive Lambda function: `download_fileobj` into `sftp.file(name, "w")`."""

from __future__ import annotations

import paramiko

from bench.clients.job import Job, Phases
from bench.clients.paramiko_login import connect
from bench.payload import small_file, small_name

# The pieces in which `download_fileobj` writes to its file object (s3transfer's io_chunksize).
_PIECE = 256 * 1024


def main() -> None:
    """Does the job of the command line."""
    job = Job.from_command_line()
    s3 = job.s3() if job.endpoint or job.boto3 else None
    phases = Phases()
    ssh, sftp = connect(job)
    phases.ready()
    if job.endpoint and s3:
        with sftp.file(f"{job.directory}/large", "w") as file:
            s3.download_fileobj(job.bucket, job.key, file)
    else:
        _send_from_memory(sftp, job)
    phases.print_done()
    ssh.close()


def _send_from_memory(sftp: paramiko.SFTPClient, job: Job) -> None:
    if job.files == 1:
        with sftp.file(f"{job.directory}/large", "w") as file:
            for block in job.payload.blocks(0, job.size, _PIECE):
                file.write(bytes(block))
        return
    for number in range(job.files):
        with sftp.file(f"{job.directory}/{small_name(number)}", "w") as file:
            file.write(small_file(number, job.size))


if __name__ == "__main__":
    main()
