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
        names: What may be at the partner. Where an earlier attempt has used the planned name, another name of
            the same form is returned: a server that hangs may still carry out its OPEN, which would empty the
            new file, or its RENAME, which would publish half of it.
    """
    if not file.temporary:
        return temporary_path(file.path, token=token)
    if _TOKEN in file.temporary:
        return file.temporary.replace(_TOKEN, token)
    if names is None or file.is_direct:
        return file.temporary
    # The second name, too: this attempt may come to need it, and it would be the same.
    is_used = file.temporary in names or another_name(file.temporary) in names
    return with_marker(file.temporary, token) if is_used else file.temporary
