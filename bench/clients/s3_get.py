"""Reads the object with one plain GET and discards it: the limit that S3 sets."""

from __future__ import annotations

from bench.clients.job import Job, Phases
from bench.payload import MIB


def main() -> None:
    """Does the job of the command line."""
    job = Job.from_command_line()
    s3 = job.s3()
    phases = Phases()
    body = s3.get_object(Bucket=job.bucket, Key=job.key)["Body"]
    phases.ready()
    got = sum(len(block) for block in body.iter_chunks(MIB))
    phases.print_done()
    if got != job.size:
        raise SystemExit(f"got {got} bytes of {job.size}")


if __name__ == "__main__":
    main()
