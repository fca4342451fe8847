"""The name until a file is complete, as its plan says it."""

from s3_to_sftp.delivery_plan import PlannedFile
from s3_to_sftp.sftp.temporary_names import temporary_path, with_marker

_TOKEN = "{token}"  # noqa: S105 - of a template


def temporary_name(file: PlannedFile, *, token: str, is_first: bool = True) -> str:
    """Return the name to write to.

    Args:
        file: As it is planned.
        token: Another one for each name.
        is_first: Whether no other attempt may have written to the name that the plan gives. Otherwise a name
            of the same form is returned: whatever a dead attempt still does, it does to its own file.
    """
    if not file.temporary:
        return temporary_path(file.path, token=token)
    if _TOKEN in file.temporary:
        return file.temporary.replace(_TOKEN, token)
    return file.temporary if is_first or file.is_direct else with_marker(file.temporary, token)
