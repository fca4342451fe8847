"""No name that is derived from a temporary one is longer than the rules allow for."""

from __future__ import annotations

import pytest

from s3_to_sftp.delivery.temporary_name import temporary_name
from s3_to_sftp.delivery_plan import PlannedFile
from s3_to_sftp.rules.name_checks import ADDED_BYTES
from s3_to_sftp.sftp.temporary_names import another_name, aside_name, probe_name, resume_probe_name, void_name
from s3_to_sftp.state.remote_names import RemoteName, RemoteNames

PLANNED = PlannedFile(path="in/report.csv", temporary="in/report.csv.partial")
PENDING = RemoteName(version="v#1", sequencer="", rename_pending=True)


def beside_a_pending_rename() -> str:
    names = RemoteNames({PLANNED.temporary: PENDING})
    return temporary_name(PLANNED, token="0123456789abcdef", names=names)


@pytest.mark.parametrize("temporary", [PLANNED.temporary, beside_a_pending_rename()])
def test_derived_names_add_no_more_than_is_left_for_them(temporary: str) -> None:
    derived = [
        temporary,
        another_name(temporary),
        probe_name(temporary),
        resume_probe_name(temporary),
        void_name(temporary),
        void_name(another_name(temporary)),
        aside_name(another_name(temporary), 99_999),
    ]
    assert max(map(len, derived)) <= len(PLANNED.temporary) + ADDED_BYTES
