"""What a delivery does at the partner, with a small file of our own that is removed at the end."""

import posixpath
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from s3_to_sftp.diagnosis import requests
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.doctor.checklist import Finding
from s3_to_sftp.errors import DeliveryError, Disposition, RequestRefused
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp.sftp.publish import NoJournal, is_removed, look, publish
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import aside_name, temporary_path
from s3_to_sftp.sftp.upload import create

NAME_PREFIX = "s3-to-sftp-doctor-"
_SIZES = (1, 4 * 1024, 64 * 1024)
"""Of single WRITEs: some servers close the connection over a large one."""


class WriteProbe:
    """Creates, writes, renames, replaces and removes a file.

    Args:
        session: To the partner.
        server: Its name in errors.

    Attributes:
        profile: Step -> what came of it.
    """

    def __init__(self, session: SftpSession, server: str) -> None:
        self.profile: dict[str, str] = {}
        self._session = session
        self._server = server
        self._names: list[str] = []

    def run(self, directory: str) -> Finding:
        """Try all steps in a directory.

        Returns:
            What worked; a warning where something of it could not be removed.

        Raises:
            DeliveryError: The first step that failed. Files that could not be removed are named in it.
        """
        path = posixpath.join(directory, f"{NAME_PREFIX}{secrets.token_hex(4)}.txt")
        try:
            self._deliver(path)
            self._deliver(path, replaces=True)
        except DeliveryError as error:
            self._name_leftovers(error)
            raise
        left = self._clean_up()
        where = directory or "the directory that the login starts in"
        done = f"created, wrote, renamed and replaced a file in {where}"
        if not left:
            return Finding(text=f"{done}, and removed it")
        cause = requests.REMOVE_REFUSED
        return Finding(
            text=done,
            warning=f"{cause.summary.format(server=self._server)} What stays: {', '.join(left)}",
            advice=cause.advice,
            to_partner=cause.to_partner.format(server=self._server),
            cause=cause.name,
        )

    def _deliver(self, path: str, *, replaces: bool = False) -> None:
        temporary = temporary_path(path, token=secrets.token_hex(8))
        self._names += [temporary, path]
        handle = self._create(temporary, path)
        offset = 0
        try:
            for size in _SIZES[:1] if replaces else _SIZES:
                with self._noted(f"write {size} bytes"):
                    written = self._session.write(handle, offset, bytes(size), path=temporary)
                    self._session.wait_for(written)
                offset += size
        except DeliveryError:
            # A server on Windows does not remove a file that is open.
            with suppress(DeliveryError):
                self._close(handle, temporary)
            raise
        with self._noted("close"):
            self._close(handle, temporary)
        with self._noted("look"):
            self._session.run_one(self._seen(temporary, offset))
        aside = aside_name(temporary, 1)
        self._names.append(aside)
        with self._noted("replace" if replaces else "rename"):
            journal = NoJournal()
            self._session.run_one(publish(self._session, temporary, path, aside=aside, journal=journal))

    def _create(self, temporary: str, path: str) -> bytes:
        """Open the temporary file; where that is refused, find out whether it is because of its name.

        Raises:
            DeliveryError: It is refused.
        """
        try:
            with self._noted("create"):
                return self._session.run_one(create(self._session, temporary))
        except RequestRefused as refused:
            taken = [each for each in _other_names(temporary, path) if self._takes(each)]
            if not taken:
                raise
            shown = " and ".join(repr(posixpath.basename(name)) for name in taken)
            seen = f"It takes {shown}, and not {posixpath.basename(temporary)!r}. {refused.answer}"
            cause = requests.TEMPORARY_NAME_REFUSED
            raise _refused(cause, seen, self._server, refused.code, "create") from None

    def _takes(self, name: str) -> bool:
        """Return whether the server lets a file of this name be created."""
        self._names.append(name)
        try:
            with self._noted(f"create {_form(name)}"):
                handle = self._session.run_one(create(self._session, name))
            with self._noted("close"):
                self._close(handle, name)
        except RequestRefused:
            return False
        return True

    def _close(self, handle: bytes, name: str) -> None:
        self._session.wait_for(self._session.close_file(handle, path=name))

    @contextmanager
    def _noted(self, name: str) -> Iterator[None]:
        """Note in the profile what comes of the block."""
        try:
            yield
        except DeliveryError as error:
            answer = f"status {error.code}" if isinstance(error, RequestRefused) else type(error).__name__
            self.profile[name] = answer
            raise
        self.profile[name] = "ok"

    async def _seen(self, temporary: str, size: int) -> None:
        """Require that the server shows the file, if it shows any.

        Raises:
            DeliveryError: It is gone, or has another size.
        """
        status = await look(self._session, temporary)
        if status.absent:
            gone = f"{posixpath.basename(temporary)!r} is gone as soon as it was written."
            raise _refused(requests.TEMPORARY_REMOVED, gone, self._server, Status.NO_SUCH_FILE, "stat")
        shown = status.attributes.size if status.attributes else None
        if shown not in {None, size}:
            raise DeliveryError(
                f"{self._server} shows {shown} bytes of a file to which {size} were written.",
                hint="Tell the partner: files are cut or changed on arrival.",
            )

    def _clean_up(self) -> list[str]:
        """Remove what was written; return the names that stay."""
        left = []
        for name in dict.fromkeys(self._names):
            try:
                gone = self._session.run_one(is_removed(self._session, name))
            except DeliveryError:
                gone = False
            if not gone:
                left.append(name)
        self.profile["remove"] = "refused" if left else "ok"
        self._names = []
        return left

    def _name_leftovers(self, error: DeliveryError) -> None:
        if left := self._clean_up():
            error.hint += f" These test files may be left: {', '.join(left)}."


def _refused(cause: Cause, seen: str, server: str, code: int, request: str) -> RequestRefused:
    error = RequestRefused(
        cause.reason(seen, server=server),
        hint=cause.advice,
        code=code,
        disposition=Disposition.RETRY,
        request=request,
    )
    return cause.explain(error, server=server)


def _other_names(temporary: str, path: str) -> list[str]:
    """Return names that lack one peculiarity of temporary names each, and the final name."""
    directory, name = posixpath.split(temporary)
    plain = name.removeprefix(".")
    return [posixpath.join(directory, plain), posixpath.join(directory, f"{name[:-5]}.txt"), path]


def _form(name: str) -> str:
    """Return what a name looks like, without what is random in it."""
    base = posixpath.basename(name)
    dot = "." if base.startswith(".") else ""
    return f"{dot}*{posixpath.splitext(base)[1]}"
