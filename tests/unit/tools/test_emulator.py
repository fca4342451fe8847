"""MiniStack unpacks the code of a function once, and each process of the function has all files of it."""

import zipfile
from pathlib import Path

import pytest

from local.emulator import unpack_once


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(zipfile.ZipFile, "extractall", zipfile.ZipFile.extractall)
    folder = tmp_path / "kept"
    unpack_once(folder)
    return folder


def archive(file: Path, contents: dict[str, str]) -> Path:
    with zipfile.ZipFile(file, "w") as packed:
        for name, text in contents.items():
            packed.writestr(name, text)
    return file


def unpacked(file: Path, folder: Path) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(file) as packed:
        packed.extractall(folder)
    return folder


def files(folder: Path) -> dict[str, str]:
    return {str(each.relative_to(folder)): each.read_text() for each in folder.rglob("*") if each.is_file()}


CODE = {"handler.py": "one", "package/__init__.py": "", "package/data/names.json": "{}"}


def test_every_process_has_all_files(kept: Path, tmp_path: Path) -> None:
    code = archive(tmp_path / "code.zip", CODE)
    first, second = unpacked(code, tmp_path / "first"), unpacked(code, tmp_path / "second")
    assert files(first) == files(second) == CODE
    assert (first / "handler.py").samefile(second / "handler.py")
    assert len(list(kept.iterdir())) == 1


def test_files_stay_for_the_next_process_when_one_has_ended(kept: Path, tmp_path: Path) -> None:
    code = archive(tmp_path / "code.zip", CODE)
    for name in ("first", "second"):
        folder = unpacked(code, tmp_path / name)
        assert files(folder) == CODE
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert [files(each) for each in kept.iterdir()] == [CODE]


def test_new_code_is_unpacked(kept: Path, tmp_path: Path) -> None:
    unpacked(archive(tmp_path / "old.zip", CODE), tmp_path / "old")
    new = unpacked(archive(tmp_path / "new.zip", {**CODE, "handler.py": "two"}), tmp_path / "new")
    assert files(new) == {**CODE, "handler.py": "two"}
    assert len(list(kept.iterdir())) == 2


def test_broken_archive_leaves_nothing_that_counts_as_unpacked(kept: Path, tmp_path: Path) -> None:
    code = archive(tmp_path / "code.zip", CODE)
    code.write_bytes(code.read_bytes().replace(b"one", b"two"))
    with pytest.raises(zipfile.BadZipFile):
        unpacked(code, tmp_path / "first")
    assert list(kept.iterdir()) == []


def test_chosen_members_are_unpacked_as_ever(kept: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive(tmp_path / "code.zip", CODE)) as packed:
        packed.extractall(tmp_path / "some", members=["handler.py"])
    assert files(tmp_path / "some") == {"handler.py": "one"}
    assert not kept.exists()
