"""The names that are derived from a temporary one, and what reasons call them: alike failures alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from s3_to_sftp.sftp.temporary_names import (
    another_name,
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


def test_second_try_of_a_second_try_has_the_same_names() -> None:
    for first in (ONE, "in/report.partial", "in/2", "in/.x"):
        assert names_of_attempt(another_name(first))[1:4] == names_of_attempt(first)[1:4]


def first_aside_name(temporary: str) -> str:
    return aside_name(temporary, 1)


@pytest.mark.parametrize("derive", [another_name, probe_name, resume_probe_name, void_name, first_aside_name])
@pytest.mark.parametrize("form", ["in/{}.partial", "in/{}.csv.partial", "in/{}"])
def test_no_derived_name_is_the_prescribed_one_of_another_object(
    form: str, derive: Callable[[str], str]
) -> None:
    stems = ("a", *(f"a-{end}" for end in ("2", "probe", "resume", "void", "1-old")))
    prescribed = {form.format(stem) for stem in stems} | {
        form.format(f"a.csv-{end}") for end in ("2", "probe")
    }
    derived = {derive(name) for name in prescribed}
    assert derived.isdisjoint(prescribed)
    assert len(derived) == len(prescribed)


def test_derived_name_has_the_form_that_the_partner_ignores() -> None:
    assert all(name.endswith(".partial") for name in names_of_attempt("in/report.partial"))
