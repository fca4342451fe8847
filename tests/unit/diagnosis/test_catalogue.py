"""The causes: each has a name of its own, texts that can be filled in, and a place that finds it."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from s3_to_sftp import diagnosis
from s3_to_sftp.diagnosis.catalogue import ERRORS, STAGES, causes, causes_of
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.untrusted_text import MOST_REASON_BYTES

FUNCTION = Path(diagnosis.__file__).parents[1]
ALL = [cause for stage in STAGES.values() for cause in causes_of(stage)]
TEXTS = [(cause, text) for cause in ALL for text in (cause.summary, cause.advice, cause.to_partner)]


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_names_are_unique_and_kebab_case() -> None:
    names = [cause.name for cause in ALL]
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []
    assert list(causes()) == names


@pytest.mark.parametrize("cause", ALL, ids=lambda cause: cause.name)
def test_texts_are_sentences_that_hold_named_fields_only(cause: Cause) -> None:
    for text in (cause.summary, cause.advice, cause.to_partner):
        assert all(name.isidentifier() for name in names_in(text)), text
        assert text == text.strip()
        assert "  " not in text
    assert cause.summary.endswith(".")
    assert cause.sign
    assert cause.advice


@pytest.mark.parametrize("cause", ALL, ids=lambda cause: cause.name)
def test_partner_is_told_which_server_is_meant(cause: Cause) -> None:
    assert not cause.to_partner or "server" in names_in(cause.to_partner)


@pytest.mark.parametrize("cause", ALL, ids=lambda cause: cause.name)
def test_error_of_a_cause_has_no_field_left(cause: Cause) -> None:
    class Any(float):
        """Fits every format that a text uses."""

        def __repr__(self) -> str:
            return "x"

    named = set().union(*(names_in(text) for each, text in TEXTS if each is cause))
    error = cause.error(DeliveryError, **dict.fromkeys(named, Any(1)))
    assert (error.cause, bool(error.to_partner)) == (cause.name, bool(cause.to_partner))
    assert "{" not in f"{error} {error.to_partner}"


def test_text_to_the_partner_is_one_line_of_bounded_size() -> None:
    cause = Cause(name="a", sign="a", summary="{x}.", advice="Do.", to_partner="Dear {x},\nsee {x}.")
    assert cause.error(DeliveryError, x="a\n\x1bb").to_partner == "Dear a\ufffdb, see a\ufffdb."
    assert len(cause.error(DeliveryError, x="ü" * 10_000).to_partner.encode()) <= MOST_REASON_BYTES


def test_every_cause_is_used() -> None:
    constants = {
        name for stage in STAGES.values() for name, each in vars(stage).items() if isinstance(each, Cause)
    }
    used = {
        node.id if isinstance(node, ast.Name) else node.attr
        for path in FUNCTION.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    assert constants - used == set()


def test_every_cause_belongs_to_an_error() -> None:
    assert {cause.name for each in ERRORS.values() for cause in each} == causes().keys()


def errors_made_in_the_code() -> set[tuple[str, str]]:
    """Constant and class of each `CONSTANT.error(Class, ...)` and `self._error(CONSTANT, Class, ...)`."""
    found = set()
    for path in FUNCTION.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            parts = [node.func.value, *node.args] if node.func.attr == "error" else node.args
            if node.func.attr in {"error", "_error"} and len(parts) > 1:
                found.add((ast.unparse(parts[0]), ast.unparse(parts[1])))
    return {(cause, kind) for cause, kind in found if cause.split(".")[-1].isupper() and kind.isidentifier()}


def test_errors_of_a_cause_are_those_that_the_code_makes() -> None:
    by_constant = {
        (name, kind.__name__)
        for stage in STAGES.values()
        for name, each in vars(stage).items()
        if isinstance(each, Cause)
        for kind, those in ERRORS.items()
        if each in those
    }
    made = {(cause.split(".")[-1], kind) for cause, kind in errors_made_in_the_code()}
    assert len(made) > 12
    assert made - by_constant == set()
