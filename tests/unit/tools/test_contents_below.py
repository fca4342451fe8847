"""What stands on a partner's disk, while its server still carries out what it was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.partner import contents_below


def test_file_that_is_removed_after_it_was_listed_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.csv").write_bytes(b"complete")
    (tmp_path / ".report.part").write_bytes(b"half")
    read = Path.read_bytes

    def read_after_the_server(path: Path) -> bytes:
        if path.name == ".report.part":
            path.unlink()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_after_the_server)
    assert contents_below(tmp_path) == {"report.csv": b"complete"}


def test_file_that_is_renamed_after_it_was_listed_has_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".report.part").write_bytes(b"complete")
    read = Path.read_bytes

    def read_after_the_server(path: Path) -> bytes:
        if path.name == ".report.part":
            path.rename(tmp_path / "report.csv")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_after_the_server)
    assert contents_below(tmp_path) == {"report.csv": b"complete"}
