"""What reasons call the files of a delivery: the same words for alike failures."""

from __future__ import annotations

import pytest

from s3_to_sftp.sftp.temporary_names import (
    aside_name,
    described,
    names_of_attempt,
    probe_name,
    resume_probe_name,
    temporary_path,
    void_name,
)

PATH = "in/box/report.csv"
ONE, OTHER = (temporary_path(PATH, token=token * 8) for token in ("0a", "7f"))


@pytest.mark.parametrize("number", range(len(names_of_attempt(ONE))))
def test_names_of_two_attempts_are_shown_alike(number: int) -> None:
    one, other = names_of_attempt(ONE)[number], names_of_attempt(OTHER)[number]
    assert one != other
    assert described(one) == described(other)
    assert "0a0a" not in described(one)


def test_names_of_two_objects_in_a_directory_are_shown_alike() -> None:
    assert described(temporary_path("in/a", token="1")) == described(temporary_path("in/b", token="2"))


def test_role_and_directory_of_a_name_are_said() -> None:
    assert described(ONE) == described(void_name(ONE)) == "the temporary file in 'in/box'"
    assert described(probe_name(ONE)) == described(resume_probe_name(ONE)) == "a test file in 'in/box'"
    assert described(aside_name(ONE, 3)) == "the old file moved aside in 'in/box'"
    assert described(temporary_path("report.csv", token="1")) == "the temporary file where the login starts"


@pytest.mark.parametrize(
    "path", [PATH, "in/.0a1b2c3d.part", "in/.secret.part", "in/.0a1b2c3d-1.part.bak", "", "/", "in/it's"]
)
def test_other_names_are_quoted(path: str) -> None:
    assert described(path) == repr(path)
