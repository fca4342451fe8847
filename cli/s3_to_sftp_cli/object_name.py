"""Objects as people name them: `in/a.csv`, or `s3://bucket/in/a.csv`."""

import glob

from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import typed
from s3_to_sftp_cli.ledger import Record

_SCHEME = "s3://"


def parse_object_name(text: str, bucket: str | None) -> tuple[str | None, str]:
    """Return bucket (None: not named) and key.

    Args:
        text: A key, or `s3://bucket/key`.
        bucket: As named beside it; None: it is not.

    Raises:
        CliError: There is no key in it, or two buckets are named.
    """
    if not text.startswith(_SCHEME):
        return bucket, text
    named, _, key = text.removeprefix(_SCHEME).partition("/")
    if not named or not key:
        raise CliError(
            f"{text!r} names no object.", hint="Write KEY or s3://BUCKET/KEY.", code=ExitCode.USAGE
        )
    if bucket not in (None, named):
        raise CliError(
            f"{text!r} is in the bucket {named!r}, and --bucket says {bucket!r}.",
            hint="Name the bucket once.",
            code=ExitCode.USAGE,
        )
    return named, key


def typed_object(record: Record) -> str:
    """Return the arguments that name this version in a command that is shown: `in/a.csv --version V1`."""
    version = f" --version {typed(record.version or record.etag)}" if record.has_newer else ""
    return typed_key(record) + version


def typed_key(record: Record) -> str:
    """Return the argument that names the object in a command that is shown."""
    is_no_option = not record.key.startswith(("-", _SCHEME))
    return typed(record.key if is_no_option else f"{_SCHEME}{record.bucket}/{record.key}")


def typed_pattern(record: Record) -> str:
    """Return the pattern that no other key matches, as far as it can be typed, in a command that is shown."""
    pattern = glob.escape(record.key)
    return typed("".join(letter if letter.isprintable() else "?" for letter in pattern))
