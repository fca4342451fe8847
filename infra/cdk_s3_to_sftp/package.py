"""Writes the function as a zip to upload by other means: `python -m cdk_s3_to_sftp.package`."""

import argparse
import sys
import tempfile
from pathlib import Path

from aws_cdk import aws_lambda as lambda_

from cdk_s3_to_sftp.archive import write_zip
from cdk_s3_to_sftp.bundle_builder.target import CannotBuild
from cdk_s3_to_sftp.bundling import (
    LARGEST_BUNDLE,
    MEGABYTE,
    RUNTIME,
    RUNTIMES,
    Bundling,
    bundle,
    unzipped_size,
)
from cdk_s3_to_sftp.output_paths import file_to_write, writing

_RUNTIMES = {each.name.removeprefix("python"): each for each in RUNTIMES}
ARCHITECTURES = {each.name: each for each in (lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64)}


def main() -> None:
    """Build and zip the function, and print where it is and how large."""
    parser = argparse.ArgumentParser(prog="python -m cdk_s3_to_sftp.package", description=__doc__)
    parser.add_argument("--output", type=file_to_write, default=Path("package.zip"))
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="x86_64")
    parser.add_argument("--python", choices=_RUNTIMES, default=RUNTIME.name.removeprefix("python"))
    parser.add_argument("--bundling", type=Bundling, choices=list(Bundling), default=Bundling.AUTO)
    options = parser.parse_args()
    runtime = _RUNTIMES[options.python]
    try:
        unzipped = write_package(
            options.output,
            architecture=ARCHITECTURES[options.architecture],
            runtime=runtime,
            bundling=options.bundling,
        )
    except CannotBuild as reason:
        sys.exit(f"Cannot bundle the function: {reason}")
    zipped = options.output.stat().st_size / MEGABYTE
    print(  # noqa: T201 -- a command for people
        f"{options.output}: {zipped:.1f} MB, {unzipped:.0f} MB unzipped (Lambda's limit is "
        f"{LARGEST_BUNDLE}), for {runtime.name} on {options.architecture}, handler "
        "s3_to_sftp.handler.lambda_handler"
    )


def write_package(
    output: Path, *, architecture: lambda_.Architecture, runtime: lambda_.Runtime, bundling: Bundling
) -> float:
    """Build the function and zip it: the same bytes on every machine.

    Returns:
        Its size in megabytes, unzipped.

    Raises:
        CannotBuild: It cannot be built in the requested way, or not be written.
    """
    with tempfile.TemporaryDirectory() as work:
        directory = Path(work, "bundle")
        directory.mkdir()
        bundle(directory, architecture=architecture, runtime=runtime, bundling=bundling)
        is_new = not output.exists()
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            try:
                write_zip(directory, output)
            except OSError:
                if is_new:
                    output.unlink(missing_ok=True)
                raise
        return unzipped_size(directory)


if __name__ == "__main__":
    main()
