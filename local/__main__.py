"""`python -m local demo` delivers sample files; `python -m local run` keeps everything running."""

from __future__ import annotations

import argparse
import signal
import sys

from local.cloud import REGION
from local.demo import demonstrate
from local.deployment import missing_tool
from local.harness import Harness, set_up
from local.processes import CannotRun, end_on_signals
from local.progress import Progress


def main() -> int:
    """Returns the exit status: 0 if every file arrived complete."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument(
        "what", choices=["demo", "run"], help="demo ends after the table, run waits for Ctrl-C"
    )
    what = parser.parse_args().what
    lacking = missing_tool()
    if lacking:
        return _give_up(lacking)
    end_on_signals()
    progress = Progress()
    try:
        with set_up(progress) as harness:
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


def _stay(harness: Harness) -> None:
    bucket = harness.deployment.bucket
    credentials = "aws_access_key_id='test', aws_secret_access_key='test'"
    client = (
        f"boto3.client('s3', endpoint_url='{harness.cloud.endpoint}', region_name='{REGION}', {credentials})"
    )
    print(
        f"""Put a file:

    {sys.executable} -c "import boto3; {client}.upload_file('README.md', '{bucket}', 'README.md')"

or, where the AWS command line is installed:

    AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION={REGION} \\
        aws --endpoint-url {harness.cloud.endpoint} s3 cp README.md s3://{bucket}/README.md

It appears as:

    {harness.landing_place("README.md")}

The function's log: (same credentials) aws --endpoint-url {harness.cloud.endpoint} \\
        logs tail /aws/lambda/{harness.deployment.function}
Press Ctrl-C to stop everything.""",
        flush=True,
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


def _give_up(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
