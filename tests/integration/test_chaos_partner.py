"""The partner of the chaos run: what it does to files, and that its records are right."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.partner import INBOX, Partner
from chaos.records import Renamed, Taken, final_names, temporary_names
from s3_to_sftp.errors import ConnectionLost, RequestRefused
from s3_to_sftp.sftp.publish import NoJournal, publish
from tests.support.faults.sftp_server import PERMISSION_DENIED
from tests.support.ledger_harness import KEY, SHORT
from tests.support.partner import client_for

DATA = b"some bytes"
TEMPORARY = ".1.part"


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Partner]:
    partner = Partner(tmp_path / "partner")
    yield partner
    partner.stop()


def put(partner: Partner, name: str = TEMPORARY) -> Path:
    path = partner.inbox / name
    path.write_bytes(DATA)
    return path


def publish_at(partner: Partner) -> None:
    client = client_for(partner.server, port=partner.port, timeouts=SHORT)
    try:
        client.run(
            lambda session: publish(
                session,
                f"{INBOX}/{TEMPORARY}",
                f"{INBOX}/{KEY}",
                aside=f"{INBOX}/{TEMPORARY}.1.old",
                journal=NoJournal(),
            )
        )
    finally:
        client.close()


def recorded_events(partner: Partner) -> list[tuple[type, str, bool]]:
    return [
        (type(event), event.file.key, isinstance(event, Renamed) and event.late)
        for event in partner.records.events
    ]


def test_delayed_rename_is_completed_later_and_recorded_as_late(partner: Partner) -> None:
    put(partner)
    partner.server_faults.hanging = 1
    with pytest.raises(ConnectionLost):
        publish_at(partner)
    assert recorded_events(partner) == []
    partner.complete_delayed_renames()
    assert recorded_events(partner) == [(Renamed, KEY, True)]
    assert (partner.inbox / KEY).read_bytes() == DATA


def test_delayed_rename_of_a_removed_file_is_not_recorded(partner: Partner) -> None:
    put(partner)
    partner.server_faults.hanging = 1
    with pytest.raises(ConnectionLost):
        publish_at(partner)
    partner.remove_temporary_files(random.Random(0))
    partner.complete_delayed_renames()
    assert recorded_events(partner) == []
    assert partner.records.removed == {TEMPORARY}


@pytest.mark.parametrize("empty", [False, True])
def test_replaced_disk_is_empty_or_older_and_lost_files_are_recorded(
    partner: Partner,
    empty: bool,  # noqa: FBT001 - a parameter
) -> None:
    put(partner)
    put(partner, "older")
    partner.back_up()
    publish_at(partner)
    partner.replace_disk(empty=empty)
    assert {path.name for path in final_names(partner.inbox)} == (set() if empty else {"older"})
    assert {path.name for path in temporary_names(partner.inbox)} == (set() if empty else {TEMPORARY})
    assert partner.records.brought_back == (set() if empty else {TEMPORARY})
    assert {key for kind, key, _ in recorded_events(partner) if kind is Taken} == {KEY, "older"}
    put(partner)
    publish_at(partner)
    assert (partner.inbox / KEY).read_bytes() == DATA


def test_power_failure_truncates_only_temporary_files_and_keeps_their_times(partner: Partner) -> None:
    temporary, final = put(partner), put(partner, KEY)
    before = temporary.stat().st_mtime_ns
    partner.lose_power(random.Random(1))
    assert temporary.stat().st_size < len(DATA)
    assert temporary.stat().st_mtime_ns == before
    assert final.read_bytes() == DATA


def test_refused_rename_is_not_recorded(partner: Partner) -> None:
    put(partner)
    partner.server_faults.refusing = {"rename": PERMISSION_DENIED}
    with pytest.raises(RequestRefused):
        publish_at(partner)
    assert recorded_events(partner) == []


def test_old_file_is_moved_aside_while_there_is_no_posix_rename(partner: Partner) -> None:
    old, _ = put(partner, KEY), put(partner)
    old.write_bytes(b"old")
    partner.hide_posix_rename()
    publish_at(partner)
    partner.show_posix_rename()
    assert recorded_events(partner) == [(Renamed, KEY, False)]
    assert [path.name for path in partner.inbox.iterdir()] == [KEY]
