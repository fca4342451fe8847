"""What earlier attempts have left at the partner: kept from doing harm, and removed when that is possible."""

import contextlib
import itertools
import posixpath
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import replace

from s3_to_sftp.delivery.half_written import half_written, remove_half_written
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.publish import block_aside, is_removed, restore_first, void_temporary
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import another_name, aside_name, names_of_attempt
from s3_to_sftp.state.items import is_older, version_key
from s3_to_sftp.state.key_item import name_entry
from s3_to_sftp.state.ledger import BEGUN, Checkpoint, Commit, Lease, Ledger
from s3_to_sftp.state.remote_names import NameKind, RemoteName

_BLOCKERS_FOR_SECONDS = 86_400.0
"""So long does an empty file keep a delayed RENAME from moving a delivered file aside."""


def own_names(lease: Lease, kind: NameKind) -> list[str]:
    """Return the names of this kind that attempts at the version have used."""
    mine = version_key(lease.ref)
    return [name for name, entry in lease.names.items() if entry.version == mine and entry.kind is kind]


def unused_aside(lease: Lease, temporary: str, *, path: str) -> str:
    """Return where a file of the partner's is moved while it is replaced: no earlier one is known there.

    Where rules give one temporary name to all versions of a key, the attempt's number does not distinguish
    them.

    Args:
        lease: Of the version.
        temporary: Of the file that replaces it.
        path: The final name.
    """
    names = (aside_name(temporary, number, path=path) for number in itertools.count(lease.attempt))
    return next(name for name in names if name not in lease.names)


class NameJournal:
    """Tells the ledger of names before they are used."""

    def __init__(
        self,
        lease: Lease,
        ledger: Ledger,
        executor: Executor,
        *,
        account: Callable[[], str],
        now: Callable[[], float],
    ) -> None:
        """Keep the journal of one delivery.

        Args:
            lease: Of the object.
            ledger: Where it is written down.
            executor: Writes it down.
            account: Returns where the names stand, `user@host:port`.
            now: Seconds since 1970.
        """
        self._lease = lease
        self._ledger = ledger
        self._executor = executor
        self._account = account
        self._now = now

    def will_move_aside(self, name: str, path: str) -> "Future[None]":
        """Write down the name before the partner's file with this final name gets it."""
        entry = RemoteName(
            version=version_key(self._lease.ref),
            sequencer=self._lease.ref.padded_sequencer,
            server=self._account(),
            kind=NameKind.ASIDE,
            rename_pending=True,
            since=int(self._now()),
            path=path,
        )
        self._lease.names.put(name, entry)
        return self._executor.submit(self._ledger.note_names, self._lease)

    def rename_resolved(self, name: str) -> None:
        """No RENAME that uses the name can still happen, unless a new file of ours gets it."""
        entry = self._lease.names.get(name)
        if entry is not None and entry.kind is NameKind.TEMPORARY and name in self._lease.names.given_again:
            self._lease.names.must_stay_unused(name, since=self._now())
        else:
            self._lease.names.rename_resolved(name)

    def blocked(self, name: str) -> None:
        """The same, because an empty file of ours has the name, from now on."""
        if entry := self._lease.names.get(name):
            blocker = replace(entry, rename_pending=False, kind=NameKind.BLOCKER, since=int(self._now()))
            self._lease.names.put(name, blocker)

    def gone(self, name: str) -> None:
        """Nothing stands under the name."""
        self._lease.names.remove(name)


class Leftovers:
    """Names that are in the ledger, at one partner. Of those at other servers nothing is touched."""

    def __init__(self, sftp: SftpClient, *, now: Callable[[], float]) -> None:
        self._sftp = sftp
        self._now = now

    def journal(self, lease: Lease, ledger: Ledger, executor: Executor) -> NameJournal:
        """Return the journal of the names that the object uses; the executor writes it down."""
        return NameJournal(
            lease, ledger, executor, account=lambda: self._sftp.identity.account, now=self._now
        )

    async def prevent_renames(
        self, session: SftpSession, lease: Lease, commit: Commit, journal: NameJournal
    ) -> None:
        """Keep RENAMEs that were sent for this version or an older one, and not answered, from happening now.

        Args:
            session: To the partner.
            lease: After `commit`: older versions are no longer delivered.
            commit: The file that is about to be renamed.
            journal: Told what has become of each name.

        Raises:
            EarlierRenamePending: The server does not let one be prevented.
            DeliveryError: The server is lost.
        """
        # What became of the files beside the data is found out later: theirs are no leftovers.
        beside = (step for step in lease.steps.values() if step.remote_path != commit.remote_path)
        in_use = {commit.temporary, *(step.temporary for step in beside)}
        pending = [
            (name, entry)
            for name, entry in lease.names.items()
            if entry.rename_pending and name not in in_use and _is_earlier(lease, entry)
        ]
        here = dict(self._here(lease))
        # Files before names: what a RENAME would move aside next is decided by what it can still rename.
        for name, entry in sorted(pending, key=lambda item: item[1].kind is NameKind.ASIDE):
            if name not in here:
                # Another host or login may lead to the same server. The name is random: a file there is ours.
                if entry.kind is NameKind.TEMPORARY:
                    for each in names_of_attempt(name):
                        await is_removed(session, each)
            elif entry.kind is NameKind.TEMPORARY:
                await void_temporary(session, name, journal)
            elif entry.kind is NameKind.ASIDE:
                await block_aside(session, name, journal)

    async def restore(self, session: SftpSession, lease: Lease, path: str, journal: NameJournal) -> None:
        """Give a file of the partner's that was moved aside its name back, as far as that works.

        Args:
            session: To the partner.
            lease: Of the version whose earlier attempts have moved it.
            path: The final name. Where something has it, nothing is moved.
            journal: Told what has become of each name.
        """
        with contextlib.suppress(DeliveryError):  # why the file has no final name is what counts
            asides = self._own_asides(lease, otherwise=path).get(path, [])
            await restore_first(session, asides, path, journal)

    def places_to_restore(self, lease: Lease) -> list[str]:
        """Return the final names of files of the partner's that attempts at the version have moved aside."""
        return list(self._own_asides(lease, otherwise=lease.remote_path))

    def _own_asides(self, lease: Lease, *, otherwise: str) -> dict[str, list[str]]:
        own = own_names(lease, NameKind.ASIDE)
        return _by_place(((name, entry) for name, entry in self._here(lease) if name in own), otherwise)

    def remove_dead(self, lease: Lease, resume: Checkpoint | None) -> bool:
        """Remove what dead attempts at the version have left, but for what leads to the file to resume.

        Returns:
            Whether the partner has answered.

        Raises:
            DeliveryError: The server is lost.
        """
        begun = [step.temporary for step in lease.steps.values()]
        # The second name stays known as this version's: the attempt may come to need it.
        of_attempt = (lease.temporary, another_name(lease.temporary))
        in_use = {*of_attempt, *begun, *([resume.temporary] if resume else [])}
        dead = [
            name for name in own_names(lease, NameKind.TEMPORARY) if not {name, another_name(name)} & in_use
        ]
        if dead:
            self._sftp.connect()
            self.remove(lease, dead)
        return bool(dead)

    def without_half_written(self, lease: Lease, path: str = "") -> Lease:
        """Remove what an earlier attempt has begun under a final name that the object no longer gets.

        Args:
            lease: Of the version.
            path: The final name that it gets now; empty: none.

        Returns:
            The lease, or another one where there was such a name.

        Raises:
            DeliveryError: The server is lost.
        """
        begun = half_written(lease, path)
        if begun is None:
            return lease
        self._sftp.connect()
        if begun.server.account == self._sftp.identity.account:
            left = self._sftp.run(lambda session: remove_half_written(session, lease, begun))
            if left != begun.remote_path:
                lease.names.remove(begun.remote_path)
            if left and left not in lease.names:
                account = self._sftp.identity.account
                lease.names.put(left, name_entry(lease.ref, account=account, since=self._now()))
        return replace(lease, steps={name: step for name, step in lease.steps.items() if name != BEGUN})

    def remove_all(self, lease: Lease) -> None:
        """Remove all that attempts at the version have sent.

        Raises:
            DeliveryError: The server is lost.
        """
        if names := own_names(lease, NameKind.TEMPORARY):
            self._sftp.connect()
            self.remove(lease, names)

    def remove(self, lease: Lease, names: Iterable[str]) -> None:
        """Remove files of ours, and forget the names that are gone.

        Raises:
            DeliveryError: The server is lost.
        """
        here = dict(self._here(lease))
        if reachable := [name for name in names if name in here and here[name].kind is not NameKind.FINAL]:
            for name in self._sftp.remove(*reachable):
                if here[name].kind is NameKind.TEMPORARY and name in lease.names.given_again:
                    lease.names.must_stay_unused(name, since=self._now())
                else:
                    lease.names.remove(name)

    def sweep(self, lease: Lease, path: str, journal: NameJournal) -> None:
        """Remove what is no longer needed once the version is delivered, as far as that works.

        Args:
            lease: Of the version.
            path: The final name.
            journal: Told what has become of each name.
        """
        unneeded = [name for name, entry in self._here(lease) if self._is_unneeded(lease, entry)]
        earlier = ((name, entry) for name, entry in self._here(lease) if _is_earlier(lease, entry))
        asides = _by_place(earlier, path)
        with contextlib.suppress(DeliveryError):  # it is never what counts
            if unneeded:
                self.remove(lease, unneeded)
            for place, names in asides.items():
                self._sftp.remove_asides(names, place, journal)

    def note_server(self, lease: Lease) -> None:
        """Note where the names are that were written down before anybody had logged in."""
        account = self._sftp.identity.account
        for name, entry in lease.names.items():
            if not entry.server and entry.version == version_key(lease.ref):
                lease.names.put(name, replace(entry, server=account))

    def _is_unneeded(self, lease: Lease, entry: RemoteName) -> bool:
        if entry.kind is NameKind.BLOCKER:
            return entry.since < self._now() - _BLOCKERS_FOR_SECONDS
        return entry.kind is NameKind.TEMPORARY and _is_earlier(lease, entry)

    def _here(self, lease: Lease) -> list[tuple[str, RemoteName]]:
        account = self._sftp.identity.account
        return [(name, entry) for name, entry in lease.names.items() if entry.server in {"", account}]


def _is_earlier(lease: Lease, entry: RemoteName) -> bool:
    """Return whether it belongs to this version, or to one that is surely older."""
    is_mine = entry.version == version_key(lease.ref)
    return is_mine or is_older(entry.sequencer, lease.ref.padded_sequencer)


def _by_place(names: Iterable[tuple[str, RemoteName]], otherwise: str) -> dict[str, list[str]]:
    """Return the names of files that were moved aside, by the final name that each had.

    Args:
        names: Of files of all kinds.
        otherwise: The final name of those in its directory of which none is recorded.
    """
    places: dict[str, list[str]] = {}
    for name, entry in names:
        # One that may still be moved has its name, or will be looked for by the next attempt.
        if entry.kind is not NameKind.ASIDE or entry.rename_pending:
            continue
        is_beside = posixpath.dirname(name) == posixpath.dirname(otherwise)
        if place := entry.path or (otherwise if is_beside else ""):
            places.setdefault(place, []).append(name)
    return places
