"""Pages that list what the code has: all of it, and nothing else."""

import re
from pathlib import Path

import pytest

from cdk_s3_to_sftp import partner_file
from s3_to_sftp import configured_by, errors, outcomes
from s3_to_sftp.settings import VARIABLES
from tests.docs import troubleshooting

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"


def first_cells(page: str, heading: str) -> list[str]:
    """What is in code in the first column of the table with this heading."""
    _, _, below = (DOCS / page).read_text().partition(f"\n| {heading} |")
    rows = [line for line in below.partition("\n\n")[0].splitlines() if line.startswith("| ")]
    return [name for row in rows for name in re.findall("`([^`]+)`", row.split("|")[1])]


def test_troubleshooting_page_is_what_the_generator_writes() -> None:
    assert troubleshooting.PAGE.read_text() == troubleshooting.page(), (
        "run python -m tests.docs.troubleshooting"
    )


ERRORS = {**vars(errors), **vars(outcomes)}
"""Names of both modules -> what they stand for."""


def test_notes_of_the_troubleshooting_page_are_about_errors() -> None:
    known = {each.__name__ for each in troubleshooting.error_classes()}
    assert {*troubleshooting.MORE, *troubleshooting.NOT_OF_THE_CLASS} - known == set()
    assert troubleshooting.DISPOSITIONS.keys() == set(errors.Disposition)


def test_every_error_is_listed_once() -> None:
    named = {
        name
        for name, each in ERRORS.items()
        if isinstance(each, type) and issubclass(each, errors.DeliveryError) and not name.startswith("_")
    }
    listed = first_cells("guides/troubleshooting.md", "error")
    assert sorted(listed) == sorted(named - {"DeliveryError"})


def test_disposition_of_every_error_is_the_one_listed() -> None:
    rows = re.findall(
        r"^\| `([A-Z]\w+)` \| .* \| `(\w+)` \|$",
        (DOCS / "guides/troubleshooting.md").read_text(),
        re.MULTILINE,
    )
    wrong = [name for name, listed in rows if ERRORS[name].disposition != errors.Disposition(listed)]
    assert wrong == []
    assert len(rows) > 30


def test_every_disposition_is_listed() -> None:
    listed = first_cells("guides/troubleshooting.md", "`disposition`")
    assert listed == [each.value for each in errors.Disposition]


def test_every_variable_of_a_plain_lambda_is_listed() -> None:
    listed = first_cells("guides/plain-lambda.md", "variable")
    # The secret is named beside the login that it replaces.
    assert sorted(listed) == sorted({*VARIABLES, configured_by.VARIABLE} - {"SSH_SECRET_ARN"})


def test_every_key_of_a_partner_is_listed() -> None:
    assert set(first_cells("guides/stock-app.md", "key")) == partner_file.EXAMPLES.keys()


@pytest.mark.parametrize("tree", ["lambda_src/s3_to_sftp", "infra/cdk_s3_to_sftp"])
def test_modules_on_the_map_exist(tree: str) -> None:
    paths = first_cells("architecture.md", f"`{tree}/`")
    assert len(paths) > 10
    assert [path for path in paths if not (REPOSITORY / tree / path).exists()] == []
