"""Cache of bundles that this machine has built: shared by all stacks and checkouts, not one per new cdk.out.

Each is one zip, named by the bundle's fingerprint. A rename publishes it when it is complete, so concurrent
synths find all of it or nothing; two that build the same bundle write the same file. A zip holds the
checksum of every file: a damaged one is detected and rebuilt.
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

from cdk_s3_to_sftp.archive import write_zip
from cdk_s3_to_sftp.bundle_builder.files import empty, normalise
from cdk_s3_to_sftp.bundle_builder.target import MANIFEST, MANIFESTS
from cdk_s3_to_sftp.standard_error import say

VARIABLE = "CDK_S3_TO_SFTP_CACHE"
"""Sets another directory. Empty: the cache is off."""

_MOST = 10
"""Bundles to keep, each of some 15 MB: both architectures, and the last few versions."""

_UNFINISHED = "unfinished-"

_ABANDONED_AFTER = 24 * 3600
"""Seconds after which an incomplete file counts as abandoned."""


def take(fingerprint: str, output: Path) -> Path | None:
    """Fill the empty directory `output` from the cache. Return the cached file, or None."""
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
        say(f"Cannot use the bundle {kept}: {error}. Building it again.")
        empty(output)
        return None
    normalise(output)
    with suppress(OSError):
        os.utime(kept)  # the least recently used are removed first
    return kept


def _check(archive: zipfile.ZipFile, fingerprint: str) -> None:
    names = set(archive.namelist())
    manifest = next((name for name in MANIFESTS if name in names), MANIFEST)
    if json.loads(archive.read(manifest))["fingerprint"] != fingerprint:
        raise zipfile.BadZipFile("it is another bundle")


def keep(fingerprint: str, bundle: Path) -> None:
    """Cache a bundle. A failure is no error: the next synth builds it again."""
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
        say(f"Cannot cache the bundle for other synths: {error}. {VARIABLE} can name another directory.")


def _tidy(directory: Path) -> None:
    """Remove the least recently used bundles, and the leftovers of killed synths."""
    bundles = sorted(directory.glob("*.zip"), key=_last_used, reverse=True)
    for old in bundles[_MOST:]:
        with suppress(OSError):  # another synth removed it, or has it open on Windows
            old.unlink()
    for work in directory.glob(f"{_UNFINISHED}*"):
        if time.time() - _last_used(work) > _ABANDONED_AFTER:
            with suppress(OSError):
                empty(work)
                work.rmdir()


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()  # gone, or being written


def _directory() -> Path | None:
    try:
        if (chosen := os.environ.get(VARIABLE)) is not None:
            # In a file of settings no shell expands it.
            return Path(chosen).expanduser() if chosen else None
        return _users_caches() / "cdk-s3-to-sftp"
    except RuntimeError:  # there is no home directory
        return None


def _users_caches() -> Path:
    """Return the user's cache directory by the convention of the operating system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
