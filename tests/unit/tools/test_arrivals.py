"""The demonstration reports other files at the partner: those that stay, not those that are about to go."""

from __future__ import annotations

import threading
from pathlib import Path

from local.arrivals import others_left


def test_file_that_goes_meanwhile_is_not_reported(tmp_path: Path) -> None:
    (expected := tmp_path / "a.csv").touch()
    (probe := tmp_path / ".a.csv.part.probe").touch()
    tidying = threading.Timer(0.05, probe.unlink)
    tidying.start()
    assert others_left(tmp_path, [expected], seconds=120) == set()
    tidying.join()


def test_file_that_stays_is_reported(tmp_path: Path) -> None:
    (expected := tmp_path / "a.csv").touch()
    (other := tmp_path / "b.csv").touch()
    assert others_left(tmp_path, [expected], seconds=0) == {other}
