"""Servers of the tests list a folder while another connection removes a file or gives it its final name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import paramiko
import pytest

from local.twin_files import TwinFiles
from tests.support.faults.paramiko_folder import ParamikoFolder
from tests.support.measured_servers import SERVERS, stored


@pytest.mark.parametrize("kind", SERVERS)
def test_twin_leaves_out_what_is_gone_since_the_folder_was_opened(kind: str, tmp_path: Path) -> None:
    names = [f"{number:03}.csv" for number in range(250)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    files = TwinFiles(stored(kind), tmp_path)
    handle = files.open_directory("/")
    for name in names[:-1]:
        (tmp_path / name).unlink()
    assert [name for name, _ in files.entries(handle)] == names[-1:]
    assert files.entries(handle) == []


def test_folder_of_paramiko_leaves_out_what_goes_while_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".report.part").write_bytes(b"half")
    (tmp_path / "report.csv").write_bytes(b"complete")
    lstat = Path.lstat

    def lstat_after_another_connection(path: Path) -> Any:
        if path.name == ".report.part":
            path.unlink()
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", lstat_after_another_connection)
    listed = ParamikoFolder(paramiko.ServerInterface(), root=tmp_path).list_folder("/")
    assert [each.filename for each in listed] == ["report.csv"]
