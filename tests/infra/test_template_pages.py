"""The guides for use without CDK name only existing parameters, outputs and files."""

import re

import pytest

from cdk_s3_to_sftp import template
from cdk_s3_to_sftp.template_parameters import CONNECTIONS, PARAMETERS
from tests.infra.conftest import REPOSITORY
from tests.infra.templates import OUTPUT_NAMES

PAGES = ("without-cdk.md", "terraform.md", "service-catalog.md")
FILES = {template.TEMPLATE, template.BUNDLE}

NOT_OURS = {"Stacks", "Outputs", "Parameters", "Default", "Name", "Type", "Info", "LoadTemplateFromURL"}
"""Names of AWS."""


def page(name: str) -> str:
    return (REPOSITORY / "docs" / "guides" / name).read_text()


def names_in(text: str) -> set[str]:
    """Return what may be a parameter or an output: words in CamelCase in code."""
    code = "\n".join([*re.findall(r"```\w+\n(.*?)```", text, re.DOTALL), *re.findall(r"`([^`\n]+)`", text)])
    words = set(re.findall(r"(?<![\w\"/.:-])([A-Z][a-z]+(?:[A-Z][a-z]+)*)(?==|\s*=|$)", code, re.MULTILINE))
    return words - NOT_OURS


@pytest.mark.parametrize("name", PAGES)
def test_names_on_the_page_exist_in_the_template(name: str) -> None:
    found = names_in(page(name))
    assert {"HostKey", "BundleKey"} <= found
    assert found - PARAMETERS.keys() - OUTPUT_NAMES == set()


def test_names_in_detects_unknown_names() -> None:
    assert names_in("```bash\n  Hostname=x MaxConnections=2\n```\n`FillCommand`") == {
        "Hostname",
        "MaxConnections",
        "FillCommand",
    }


def test_table_lists_every_parameter() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", page("without-cdk.md"), re.MULTILINE)
    assert [name for row in rows for name in re.findall("`(.+?)`", row)] == list(PARAMETERS)
    assert "1 to 10, 12, 16, 20, 24, 32, 48, 64, 96 or 128" in page("without-cdk.md")
    assert (*range(1, 11), 12, 16, 20, 24, 32, 48, 64, 96, 128) == CONNECTIONS


@pytest.mark.parametrize("name", PAGES)
def test_page_names_every_written_file(name: str) -> None:
    assert [file for file in FILES if file not in page(name)] == []


def test_page_names_the_size_limit() -> None:
    assert f"{template.LARGEST_IN_REQUEST:,} bytes" in page("without-cdk.md")
