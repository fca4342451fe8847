"""Objects as people name them: `in/a.csv`, or `s3://bucket/in/a.csv`."""

from s3_to_sftp_cli.errors import CliError, ExitCode

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
