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
            of the same form is returned: it would publish half a file. So it is where a newer version may be
            under way with that name: two that are sent in several invocations would start each other over.
    """
    if not file.temporary:
        return temporary_path(file.path, token=token)
    if _TOKEN in file.temporary:
        return file.temporary.replace(_TOKEN, token)
    if names is None or file.is_direct:
        return file.temporary
    # The second name, too: this attempt may come to need it, and it would be the same.
    earlier = (names.get(file.temporary), names.get(another_name(file.temporary)))
    is_pending = any(entry is not None and entry.rename_pending for entry in earlier)
    is_in_use = is_pending or names.may_be_of_a_newer(file.temporary)
    return with_marker(file.temporary, token) if is_in_use else file.temporary


def second_name(file: PlannedFile, temporary: str) -> str:
    """Return the name of a second try within an attempt: the same where the partner prescribes it."""
    return temporary if temporary == file.temporary else another_name(temporary)
