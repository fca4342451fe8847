"""Every listed mutant can be applied, and the tests that must detect it exist."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.chosen_mutants import function_of, module_of, pattern_for, selection
from tests.mutants.copy_of_the_code import REPOSITORY, SOURCE
from tests.mutants.named_mutants import NamedMutant, _Case, named_mutants

NAMED = named_mutants()
CHOSEN = selection()


@pytest.mark.parametrize("mutant", NAMED, ids=lambda mutant: mutant.name)
def test_named_mutant_can_be_applied_and_parsed(mutant: NamedMutant) -> None:
    assert ast.parse(mutant.applied()).body


@pytest.mark.parametrize(
    "test",
    sorted(
        {test for mutant in NAMED for test in mutant.tests}
        | {test for group in CHOSEN.groups for test in group.tests}
    ),
)
def test_tests_of_every_mutant_exist(test: str) -> None:
    path, _, name = test.partition("::")
    text = (REPOSITORY / path).read_text()
    assert f"def {name.partition('[')[0] or 'test_'}" in text


@pytest.mark.parametrize(
    ("test", "is_it"),
    [
        ("tests/unit/test_a.py", True),
        ("tests/unit/test_a.py::TestIt::test_one", True),
        ("tests/unit/test_a.py::test_one", False),
        ("tests/unit/test_a.py::TestIt::test_two", False),
        ("tests/unit/test.py", False),
    ],
)
def test_test_of_a_class_counts_for_its_file(test: str, *, is_it: bool) -> None:
    """How long the tests of a mutant may take follows from it."""
    case = _Case(module="tests.unit.test_a.TestIt", name="test_one[1]", seconds=1, failed=False)
    assert case.is_of(test) is is_it


def test_named_mutants_have_unique_names() -> None:
    assert Counter(mutant.name for mutant in NAMED).most_common(1)[0][1] == 1


@pytest.mark.parametrize("count", [0, 2])
def test_mutant_must_match_exactly_once(count: int, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("call()\n" * count)
    mutant = NamedMutant(name="m", file="a.py", before="call()", after="pass", tests=())
    with pytest.raises(ValueError, match=f"{count} times"):
        mutant.applied(tmp_path)


def test_mutant_must_change_the_code(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("call()\n")
    mutant = NamedMutant(name="m", file="a.py", before="call()", after="call()", tests=())
    with pytest.raises(ValueError, match="changes nothing"):
        mutant.applied(tmp_path)


def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    methods = {
        f"{node.name}.{method.name}"
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, kinds)
    }
    return methods | {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize("function", [each for group in CHOSEN.groups for each in group.functions])
def test_chosen_function_exists_and_maps_to_its_mutmut_name(function: str) -> None:
    module = module_of(function)
    assert function.removeprefix(f"{module}.") in functions_in(SOURCE / f"{module.replace('.', '/')}.py")
    assert function_of(pattern_for(function)) == function


def test_no_function_is_chosen_twice() -> None:
    functions = Counter(each for group in CHOSEN.groups for each in group.functions)
    assert functions.most_common(1)[0][1] == 1


def test_equivalent_mutants_belong_to_chosen_functions() -> None:
    chosen = {function for group in CHOSEN.groups for function in group.functions}
    assert [known for known in CHOSEN.equivalent if known.function not in chosen] == []
