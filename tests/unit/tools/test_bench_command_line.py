"""What the command line of the benchmark refuses before it measures anything."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from bench import __main__ as bench
from bench.programs import REPOSITORY
from local.progress import Progress


@pytest.fixture(autouse=True)
def nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun() -> NoReturn:
        pytest.fail("It would measure now.")

    monkeypatch.setattr(bench, "end_on_signals", begun)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def said(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            bench.main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return said


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch):
    def parsed(*arguments: str) -> bench.Options:
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        return bench._parse()

    return parsed


@pytest.mark.parametrize("option", ["--runs", "--deployed"])
@pytest.mark.parametrize("text", ["0", "-1", "ten", "1.5"])
def test_what_is_no_number_from_1_on_is_refused(option: str, text: str, refused) -> None:
    assert f"not a number from 1 on: '{text}'" in refused(f"{option}={text}")


def test_number_of_objects_that_nothing_would_use_is_refused(refused) -> None:
    assert "--only names: cold-start" in refused("--only", "cold-start", "--deployed", "5")


@pytest.mark.parametrize("option", ["--output", "--plots"])
def test_place_below_a_file_is_refused(option: str, tmp_path: Path, refused) -> None:
    file = tmp_path / "file"
    file.touch()
    place = file / "folder" / "results"
    assert f"argument {option}: {place} cannot be written: {file} is no folder" in refused(option, str(place))


@pytest.mark.parametrize("option", ["--output", "--plots"])
def test_place_without_permission_is_refused(
    option: str, tmp_path: Path, refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    place = tmp_path / "new" / "results"
    assert f"argument {option}: {place} cannot be written: no permission in {tmp_path}" in refused(
        option, str(place)
    )


def test_folder_as_the_file_of_results_is_refused(tmp_path: Path, refused) -> None:
    assert f"argument --output: {tmp_path} is a folder" in refused("--output", str(tmp_path))


def test_file_as_the_folder_of_plots_is_refused(tmp_path: Path, refused) -> None:
    file = tmp_path / "file"
    file.touch()
    assert f"{file} is no folder" in refused("--plots", str(file))


def test_new_places_are_accepted(tmp_path: Path, options) -> None:
    new = tmp_path / "new"
    given = options("--output", str(new / "results.json"), "--plots", str(new / "plots"))
    assert (given.output, given.plots) == (new / "results.json", new / "plots")
    assert not new.exists()


@pytest.mark.parametrize("text", [None, "no JSON", "[]", "{}"])
def test_what_holds_no_results_cannot_be_drawn(text: str | None, tmp_path: Path, refused) -> None:
    file = tmp_path / "results.json"
    if text is not None:
        file.write_text(text)
    assert f"argument --draw: {file} holds no results of a run" in refused("--draw", str(file))


def test_results_can_be_drawn(tmp_path: Path, options) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"rows": []}))
    assert options("--draw", str(file)).draw == file


@pytest.mark.parametrize("groups", [["partners"], ["curves"], ["curves", "partners"]])
def test_quick_run_of_what_only_a_full_run_measures_is_refused(groups: list[str], refused) -> None:
    assert f"--quick measures nothing of: {', '.join(groups)}" in refused("--quick", "--only", *groups)


@pytest.mark.parametrize("group", sorted({*bench.GROUPS} - {"partners", "curves"}))
def test_quick_run_measures_the_other_groups(group: str, options) -> None:
    assert options("--quick", "--only", group).only == (group,)


def test_run_of_some_groups_replaces_neither_results_nor_plots_of_a_full_run(options) -> None:
    full, some = options(), options("--only", "small", "large")
    assert full.plots == REPOSITORY / "docs" / "bench"
    assert some.plots is None
    assert some.output == full.output.with_stem(f"{full.output.stem}-small-large")


@pytest.mark.parametrize(("groups", "is_listed"), [(["--only", "cold-start"], False), ([], True)])
def test_targets_that_were_not_measured_are_listed_after_a_full_run(
    groups: list[str], tmp_path: Path, options, capsys: pytest.CaptureFixture[str], *, is_listed: bool
) -> None:
    results = bench.Results()
    results.rows += [
        {"tool": tool, "work": "cold-start", "cold_start_ms": 100, "cold_start_cpu_ms": 100}
        for tool in ("s3-to-sftp", "naive")
    ]
    parsed = replace(options(*groups, "--output", str(tmp_path / "results.json")), plots=None)
    bench._finish(parsed, {}, results, Progress())
    printed = capsys.readouterr().out
    assert "cold start against naive" in printed
    assert ("not measured" in printed) == is_listed
