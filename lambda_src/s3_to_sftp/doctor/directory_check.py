"""The remote directory: whether it is there, and whether it is the one that is meant."""

from s3_to_sftp.doctor.checklist import Finding
from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.sftp.directory_names import require_no_other_spelling
from s3_to_sftp.sftp.protocol import NOTHING_THERE, FileAttributes
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import require_unambiguous_directory


def look_at_directory(session: SftpSession, directory: str, home: str) -> Finding:
    """Look at one remote directory, without changing anything.

    Args:
        session: To the partner.
        directory: As configured; empty: where the login starts.
        home: Where that is; empty: the server does not tell.

    Raises:
        DeliveryError: Deliveries to it would fail.
    """
    session.directories = (directory,)
    shown = directory or home or "."
    try:
        attributes = session.run_one(_attributes(session, directory or "."))
    except RequestRefused as refused:
        if refused.code not in NOTHING_THERE:
            return Finding(text=f"{shown}: the server does not show it, as drop boxes do")
        return _missing(session, directory, shown)
    if attributes.is_directory is False:
        return Finding(
            text=f"{shown} is not a directory",
            warning="something else has this name",
            advice="Check SSH_DIR; ask the partner what it is.",
        )
    return Finding(text=f"{shown} is there")


def _missing(session: SftpSession, directory: str, shown: str) -> Finding:
    if directory:
        session.run_one(require_unambiguous_directory(session, directory))
        session.run_one(require_no_other_spelling(session, directory))
    return Finding(
        text=f"{shown} is missing",
        warning="the first delivery makes it",
        advice="Check SSH_DIR for a typing error, if the partner says that it is there.",
    )


async def _attributes(session: SftpSession, path: str) -> FileAttributes:
    return await session.stat(path)
