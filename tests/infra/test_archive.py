"""The zip of a bundle: complete, reproducible, and readable by Lambda."""

import hashlib
import os
import stat
import zipfile
from pathlib import Path

from cdk_s3_to_sftp.archive import write_zip
from tests.support.infra.bundles import hashes


class TestArchive:
    def test_zip_contains_every_file_of_the_bundle_unchanged(self, bundle: Path, tmp_path: Path) -> None:
        write_zip(bundle, tmp_path / "package.zip")
        with zipfile.ZipFile(tmp_path / "package.zip") as archive:
            packed = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
        assert packed == hashes(bundle)

    def test_zip_bytes_do_not_depend_on_path_order_time_or_mode(self, tmp_path: Path) -> None:
        for place, names in (("one", "ab"), ("two", "ba")):
            (tmp_path / place).mkdir()
            for name in names:
                (tmp_path / place / name).write_text(name)
        os.utime(tmp_path / "two" / "a", (0, 0))
        (tmp_path / "two" / "a").chmod(0o600)
        for place in ("one", "two"):
            write_zip(tmp_path / place, tmp_path / f"{place}.zip")
        assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()

    def test_zipped_files_are_world_readable(self, tmp_path: Path) -> None:
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "handler.py").touch(mode=0o600)
        write_zip(tmp_path / "bundle", tmp_path / "package.zip")
        with zipfile.ZipFile(tmp_path / "package.zip") as archive:
            (entry,) = archive.infolist()
        assert stat.filemode(entry.external_attr >> 16) == "-rw-r--r--"
