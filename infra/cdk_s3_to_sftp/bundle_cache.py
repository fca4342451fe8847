"""Bundles that this machine has built before: one for all stacks and checkouts, not one per fresh cdk.out.

Each is one zip, named by the bundle's fingerprint. It appears by a rename when it is complete, so synths that
run at the same time find all of it or nothing; two that build the same both put the same thing there. A zip
knows the checksum of every file: a damaged one is noticed, and built again.
"""

import json
import os
import sys
import tempfile
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from cdk_s3_to_sftp import bundle_builder
from cdk_s3_to_sftp.archive import write_zip

VARIABLE = "CDK_S3_TO_SFTP_CACHE"
"""Names another directory; empty: nothing is kept."""

_MOST = 10
"""Bundles to keep, each of some 15 MB: both architectures, and the last few versions."""

_UNFINISHED = "unfinished-"

_ABANDONED_AFTER = 24 * 3600
"""Seconds after which nobody still writes a file that is not complete."""


def take(fingerprint: str, output: Path) -> Path | None:
    """Fill the empty directory `output` with the bundle, and return where it was; None if there is none."""
    directory = _directory()
    if directory is None:
        return None
    kept = directory / f"{fingerprint}.zip"
    try:
        with zipfile.ZipFile(kept) as archive:
            _check(archive, fingerprint)
            archive.extractall(output)
    except FileNotFoundError:
        return None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError) as error:
        bundle_builder.say(f"Cannot use the bundle {kept}: {error}. Building it again.")
        bundle_builder.empty(output)
        return None
    bundle_builder.normalise(output)
    with suppress(OSError):
        os.utime(kept)  # what was used last is kept longest
    return kept


def _check(archive: zipfile.ZipFile, fingerprint: str) -> None:
    if json.loads(archive.read(bundle_builder.MANIFEST))["fingerprint"] != fingerprint:
        raise zipfile.BadZipFile("it is another bundle")


def keep(fingerprint: str, bundle: Path) -> None:
    """Keep what was built. It is no error when that cannot be done: the next synth builds again."""
    directory = _directory()
    if directory is None:
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=_UNFINISHED) as work:
            write_zip(bundle, Path(work, "bundle.zip"))
            Path(work, "bundle.zip").replace(directory / f"{fingerprint}.zip")
        _tidy(directory)
    except OSError as error:
        bundle_builder.say(
            f"The bundle is not kept for other synths: {error}. {VARIABLE} can name another directory."
        )


def _tidy(directory: Path) -> None:
    """Remove what was not used for longest, and what a synth that was killed has left."""
    bundles = sorted(directory.glob("*.zip"), key=_last_used, reverse=True)
    for old in bundles[_MOST:]:
        with suppress(OSError):  # another synth was faster, or Windows holds it open for one
            old.unlink()
    for work in directory.glob(f"{_UNFINISHED}*"):
        if time.time() - _last_used(work) > _ABANDONED_AFTER:
            with suppress(OSError):
                bundle_builder.empty(work)
                work.rmdir()


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()  # gone, or being written


def _directory() -> Path | None:
    if (chosen := os.environ.get(VARIABLE)) is not None:
        return Path(chosen) if chosen else None
    try:
        return _users_caches() / "cdk-s3-to-sftp"
    except RuntimeError:  # there is no home directory
        return None


def _users_caches() -> Path:
    """Where programs keep what they can make again, as each system wants it."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
