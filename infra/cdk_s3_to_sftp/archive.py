"""Writes a bundle as one zip file."""

import zipfile
from pathlib import Path

_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE_READABLE_BY_ALL = 0o100644 << 16


def write_zip(directory: Path, output: Path) -> None:
    """Zip the files of `directory` reproducibly: same names, order, dates and modes on every machine."""
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), _OLDEST_DATE)
                entry.create_system = 3  # Unix, also when written elsewhere: the mode below is one
                entry.external_attr = _REGULAR_FILE_READABLE_BY_ALL
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
