"""Writes the function as a zip, for people who upload by hand: `python -m cdk_s3_to_sftp.package`."""

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

from aws_cdk import aws_lambda as lambda_

from cdk_s3_to_sftp.bundling import LARGEST_BUNDLE, MEGABYTE, RUNTIME, Bundling, bundle, unzipped_size
from cdk_s3_to_sftp.recipe import CannotBuild

_ARCHITECTURES = {each.name: each for each in (lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64)}
_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE_READABLE_BY_ALL = 0o100644 << 16


def write_zip(directory: Path, output: Path) -> None:
    """Zip the files of `directory`: same names, order, dates and modes wherever it runs."""
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), _OLDEST_DATE)
                entry.create_system = 3  # Unix, also when written elsewhere: the mode below is one
                entry.external_attr = _REGULAR_FILE_READABLE_BY_ALL
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())


def main() -> None:
    """Build, zip, and say where it is and how large."""
    parser = argparse.ArgumentParser(prog="python -m cdk_s3_to_sftp.package", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("package.zip"))
    parser.add_argument("--architecture", choices=_ARCHITECTURES, default="x86_64")
    parser.add_argument("--bundling", type=Bundling, choices=list(Bundling), default=Bundling.AUTO)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        directory = Path(work, "bundle")
        directory.mkdir()
        architecture = _ARCHITECTURES[options.architecture]
        try:
            bundle(directory, architecture=architecture, bundling=options.bundling)
        except CannotBuild as reason:
            sys.exit(f"Cannot bundle the function: {reason}")
        write_zip(directory, options.output)
        unzipped = unzipped_size(directory)
    zipped = options.output.stat().st_size / MEGABYTE
    print(  # noqa: T201 -- a command for people
        f"{options.output}: {zipped:.1f} MB, {unzipped:.0f} MB unzipped (Lambda takes "
        f"{LARGEST_BUNDLE}), for {RUNTIME.name} on {options.architecture}, "
        "handler s3_to_sftp.handler.lambda_handler"
    )


if __name__ == "__main__":
    main()
