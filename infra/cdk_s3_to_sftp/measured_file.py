"""Reads what a server showed: the file of `s3-to-sftp doctor --save`."""

from pathlib import Path

from cdk_s3_to_sftp.arguments import InvalidArgument
from s3_to_sftp.measured_server import MeasuredServer
from s3_to_sftp.rules.delivery_rules import DeliveryRules

_MEASURE = "write it with `s3-to-sftp doctor --save FILE`"


def read_measured(profile: object) -> MeasuredServer | None:
    """Return what a server showed; None: nothing is given.

    Args:
        profile: A path, relative to the working directory, or the content.

    Raises:
        InvalidArgument: There is no such file, or it holds something else.
    """
    if profile is None or isinstance(profile, MeasuredServer):
        return profile
    if isinstance(profile, DeliveryRules):
        raise InvalidArgument(
            "profile",
            "must be a file of `s3-to-sftp doctor --save`, got DeliveryRules: write them as rules=",
        )
    try:
        text = Path(str(profile)).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidArgument(
            "profile", f"must be a file that can be read, got {profile!r} ({why}): {_MEASURE}"
        ) from None
    try:
        return MeasuredServer.from_text(text)
    except ValueError as error:
        raise InvalidArgument(
            "profile", f"must be a file of `s3-to-sftp doctor --save`, got {profile!r}, {error}: {_MEASURE}"
        ) from None
