"""The zip of a bundle: complete, reproducible, and readable by Lambda."""

import hashlib
import os
import stat
import zipfile
from pathlib import Path

from cdk_s3_to_sftp.archive import write_zip
from tests.support.infra.bundles import hashes


class TestArchive:
    def test_holds_what_the_asset_holds(self, bundle: Path, tmp_path: Path) -> None:
        write_zip(bundle, tmp_path / "package.zip")
        with zipfile.ZipFile(tmp_path / "package.zip") as archive:
            packed = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
        assert packed == hashes(bundle)

    def test_is_the_same_whenever_and_from_wherever_it_is_written(self, tmp_path: Path) -> None:
        for place, names in (("one", "ab"), ("two", "ba")):
            (tmp_path / place).mkdir()
            for name in names:
                (tmp_path / place / name).write_text(name)
        os.utime(tmp_path / "two" / "a", (0, 0))
        (tmp_path / "two" / "a").chmod(0o600)
        for place in ("one", "two"):
            write_zip(tmp_path / place, tmp_path / f"{place}.zip")
        assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()

    def test_can_be_read_by_lambda(self, tmp_path: Path) -> None:
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "handler.py").touch(mode=0o600)
        write_zip(tmp_path / "bundle", tmp_path / "package.zip")
        with zipfile.ZipFile(tmp_path / "package.zip") as archive:
            (entry,) = archive.infolist()
        assert stat.filemode(entry.external_attr >> 16) == "-rw-r--r--"
