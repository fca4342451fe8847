"""The name until a file is complete, as its plan says it."""

from s3_to_sftp.delivery_plan import PlannedFile
from s3_to_sftp.sftp.temporary_names import another_name, temporary_path, with_marker
from s3_to_sftp.state.remote_names import RemoteNames

_TOKEN = "{token}"  # noqa: S105 - of a template


def temporary_name(file: PlannedFile, *, token: str, names: RemoteNames | None = None) -> str:
    """Return the name to write to.

    Args:
        file: As it is planned.
        token: Another one for each name.
        names: What may be at the partner. Where a RENAME from the planned name may still happen, another name
            of the same form is returned: it would publish half a file.
    """
    if not file.temporary:
        return temporary_path(file.path, token=token)
    if _TOKEN in file.temporary:
        return file.temporary.replace(_TOKEN, token)
    earlier = names.get(file.temporary) if names is not None else None
    is_pending = earlier is not None and earlier.rename_pending
    return with_marker(file.temporary, token) if is_pending else file.temporary


def second_name(file: PlannedFile, temporary: str) -> str:
    """Return the name of a second try within an attempt: the same where the partner prescribes it."""
    return temporary if temporary == file.temporary else another_name(temporary)
