"""`python -m local demo` delivers sample files; `python -m local run` keeps everything running."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from local.cloud import REGION
from local.demo import demonstrate
from local.deployment import missing_tool
from local.harness import Harness, set_up
from local.processes import CannotRun, end_on_signals
from local.progress import Progress
from s3_to_sftp.measured_server import MeasuredServer


def main() -> int:
    """Returns the exit status: 0 if every file arrived complete."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument(
        "what", choices=["demo", "run"], help="demo ends after the table, run waits for Ctrl-C"
    )
    parser.add_argument(
        "--partner",
        type=Path,
        metavar="FILE",
        help="what a server showed (s3-to-sftp doctor --save FILE): the SFTP server does the same",
    )
    arguments = parser.parse_args()
    what = arguments.what
    lacking = missing_tool()
    if lacking:
        return _give_up(lacking)
    end_on_signals()
    progress = Progress()
    try:
        with set_up(progress, partner=_measured(arguments.partner)) as harness:
            good = demonstrate(harness, progress)
            if what == "run" and good:
                _stay(harness)
    except KeyboardInterrupt:
        print("\nstopped, everything is cleaned up")
        return 130
    except CannotRun as error:
        return _give_up(str(error))
    progress.say("everything is stopped and cleaned up" if good else "FAILED: see above")
    return 0 if good else 1


def _measured(file: Path | None) -> MeasuredServer | None:
    """Returns what a server showed; None: no file is given.

    Raises:
        CannotRun: It is no such file.
    """
    if file is None:
        return None
    try:
        return MeasuredServer.from_text(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotRun(f"{file} is not what `s3-to-sftp doctor --save` writes: {error}") from None


def _stay(harness: Harness) -> None:
    print(_instructions(harness), flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


def _instructions(harness: Harness) -> str:
    """What to type in another terminal."""
    bucket = harness.deployment.bucket
    # Beside the interpreter, not on the PATH: another environment may be active there.
    programs = Path(sys.executable).parent
    return f"""In another terminal:

    export AWS_ENDPOINT_URL={harness.endpoint}
    export AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
    export S3_TO_SFTP_NAME={harness.deployment.function}
    export PATH={programs}:$PATH

Put a file, with Python or with the AWS command line:

    python -c "import boto3; boto3.client('s3').upload_file('README.md', '{bucket}', 'README.md')"
    aws s3 cp README.md s3://{bucket}/README.md

It appears as:

    {harness.landing_place("README.md")}

Operate the delivery:

    s3-to-sftp status
    s3-to-sftp logs --since 1h
    s3-to-sftp receipts README.md

An object that the partner refuses becomes a dead letter, and is sent again:

    python -c "import boto3; boto3.client('s3').put_object(Bucket='{bucket}', Key='a/../b', Body=b'')"
    s3-to-sftp redrive --dry-run
    s3-to-sftp redrive --error RemotePathRefused

`s3-to-sftp --help` lists all commands. Press Ctrl-C here to stop everything."""


def _give_up(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
