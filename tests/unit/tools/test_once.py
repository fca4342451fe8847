"""What several workers need is made by one of them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.once import made_once


def test_it_is_made_once_for_all_that_ask_at_a_time(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    found: list[str] = []
    monkeypatch.setattr(tmp_path_factory, "getbasetemp", lambda: tmp_path / "worker")

    def make(place: Path) -> None:
        made.append(place)
        place.write_text("finished")

    (tmp_path / "worker").mkdir()
    asked = [
        threading.Thread(target=lambda: found.append(made_once(tmp_path_factory, "a", make).read_text()))
        for _ in range(8)
    ]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    assert found == ["finished"] * 8
    assert len(made) == 1


def test_what_failed_half_way_is_made_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    def fail(place: Path) -> None:
        place.write_text("half")
        raise KeyError(place)

    def make(place: Path) -> None:
        place.write_text("all")

    with pytest.raises(KeyError):
        made_once(tmp_path_factory, "half-way", fail)
    assert made_once(tmp_path_factory, "half-way", make).read_text() == "all"
