"""Pages that list what the code has: all of it, and nothing else."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from cdk_s3_to_sftp import partner_file
from cdk_s3_to_sftp.template_parameters import PARAMETERS
from s3_to_sftp import configured_by, errors, outcomes
from s3_to_sftp.diagnosis import catalogue
from s3_to_sftp.settings import VARIABLES
from s3_to_sftp.state.items import State
from tests.docs import error_reference, troubleshooting

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"


def first_cells(page: str, heading: str) -> list[str]:
    """What is in code in the first column of the table with this heading."""
    _, _, below = (DOCS / page).read_text().partition(f"\n| {heading} |")
    rows = [line for line in below.partition("\n\n")[0].splitlines() if line.startswith("| ")]
    return [name for row in rows for name in re.findall("`([^`]+)`", row.split("|")[1])]


@pytest.mark.parametrize("generator", [troubleshooting, error_reference], ids=lambda each: each.PAGE.stem)
def test_page_is_what_its_generator_writes(generator: ModuleType) -> None:
    assert generator.PAGE.read_text() == generator.page(), f"run python -m {generator.__name__}"


ERRORS = {**vars(errors), **vars(outcomes)}
"""Names of both modules -> what they stand for."""


def error_sections() -> dict[str, str]:
    """Name of an error -> what the reference says of it."""
    parts = re.split(r"^### `(\w+)`$", error_reference.PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_error_has_a_section() -> None:
    named = {
        name
        for name, each in ERRORS.items()
        if isinstance(each, type) and issubclass(each, errors.DeliveryError) and not name.startswith("_")
    }
    assert error_sections().keys() == named - {"DeliveryError"}


def test_every_error_that_is_raised_has_a_remedy() -> None:
    kinds = {each.__name__ for each in error_reference.error_classes() if error_reference.kinds_below(each)}
    without = {
        name
        for name, section in error_sections().items()
        if "**What to do:**" not in section and "| what to do |" not in section
    }
    assert without <= kinds


def test_every_cause_stands_below_an_error() -> None:
    listed = re.findall(r"^\| \[`([\w-]+)`\]", error_reference.PAGE.read_text(), re.MULTILINE)
    assert set(listed) == catalogue.causes().keys()


def test_disposition_of_every_error_is_the_one_listed() -> None:
    listed = {
        name: found[1]
        for name, section in error_sections().items()
        if (found := re.search(r"^Disposition: `(\w+)`\.$", section, re.MULTILINE))
    }
    wrong = [name for name in listed if ERRORS[name].disposition != errors.Disposition(listed[name])]
    assert wrong == []
    assert error_sections().keys() - listed.keys() == error_reference.NOT_OF_THE_CLASS.keys()


def test_remedies_are_about_errors() -> None:
    known = {each.__name__ for each in error_reference.error_classes()}
    assert {*error_reference.REMEDIES, *error_reference.NOT_OF_THE_CLASS} <= known


def test_every_disposition_is_listed() -> None:
    listed = first_cells("reference/errors.md", "`disposition`")
    assert listed == [each.value for each in errors.Disposition]


@pytest.mark.parametrize("page", ["architecture.md", "reference/ledger.md"])
def test_every_state_is_named(page: str) -> None:
    named = set(re.findall("`([A-Z]+)`", (DOCS / page).read_text()))
    assert {*State} - named == set()


def test_every_variable_of_a_plain_lambda_is_listed() -> None:
    listed = first_cells("guides/plain-lambda.md", "variable")
    # The secret is named beside the login that it replaces.
    assert sorted(listed) == sorted({*VARIABLES, configured_by.VARIABLE} - {"SSH_SECRET_ARN"})


def test_every_setting_is_in_the_table_of_the_configuration() -> None:
    page = (DOCS / "reference/configuration.md").read_text()
    listed = {word for code in re.findall("`([^`]+)`", page) for word in re.findall(r"\w+", code)}
    settings = {*VARIABLES, configured_by.VARIABLE, *partner_file.EXAMPLES, *PARAMETERS}
    assert settings - listed == set()


def test_every_key_of_a_partner_is_listed() -> None:
    assert set(first_cells("guides/stock-app.md", "key")) == partner_file.EXAMPLES.keys()


@pytest.mark.parametrize("tree", ["lambda_src/s3_to_sftp", "infra/cdk_s3_to_sftp"])
def test_modules_on_the_map_exist(tree: str) -> None:
    paths = first_cells("architecture.md", f"`{tree}/`")
    assert len(paths) > 10
    assert [path for path in paths if not (REPOSITORY / tree / path).exists()] == []
