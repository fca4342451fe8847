"""The page about partners' rules: its Python runs, and its tables say what the code does."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import aws_cdk as cdk
import pysequoia
import pytest

import cdk_s3_to_sftp
from s3_to_sftp.rules import profiles
from s3_to_sftp.rules.companion import CONTENT_FIELDS
from s3_to_sftp.rules.delivery_rules import NAME_FIELDS, TEMPORARY_FIELDS, DeliveryRules
from s3_to_sftp.rules.explanation import steps_of
from s3_to_sftp.rules.plan import PlannedObject, plan
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.times import KNOWN

PAGE = (Path(__file__).parents[2] / "docs/guides/partner-rules.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
DEMANDS, _, REST = PAGE.partition("## One line for each demand")[2].partition("### Not yet")
PROFILES = REST.partition("## Profiles")[2].partition("## Reference")[0]
NAMES: dict[str, Any] = {
    **{name: getattr(cdk_s3_to_sftp, name) for name in cdk_s3_to_sftp.__all__},
    # What the page says that it stands for.
    "our_key": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:bank/signing-key-AbCdEf",
    **{
        name: str(pysequoia.Tsk.generate(name).extract_certificate())
        for name in ("partner_key", "second_key")
    },
}
"""What users import from the construct's package."""
NOW = 1_795_860_000
"""When the examples of the page are put and delivered: 2026-11-28 10:00 UTC."""
DOCUMENTS = (
    "Worldpay", "Valitor", "Adyen", "Goldman Sachs", "DDEX", "Google", "PayGears", "BCB", "Relay", "WA HCA",
    "YourCause", "Illinois DHS", "Azupay", "IEHP",
)  # fmt: skip


def rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] not in {"demand", "profile"}:
            yield cells


def code(cell: str) -> str:
    assert cell.startswith("`"), cell
    assert cell.endswith("`"), cell
    return cell.strip("`")


def rules_of(cell: str) -> DeliveryRules:
    text = code(cell)
    made: DeliveryRules = eval(
        text if text.startswith("profiles.") else f"DeliveryRules({text})", dict(NAMES)
    )
    return made


def planned(rules: DeliveryRules, key: str, *, number: int | None = 1) -> Any:
    facts = PlanFacts(event_time=NOW, delivery_time=NOW, size=3, sequence=number)
    return plan(rules, PlannedObject(bucket="b", key=key), facts)


@pytest.fixture
def construct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The construct's package with the names of the rules, as users import them."""
    package = ModuleType("cdk_s3_to_sftp")
    vars(package).update(vars(cdk_s3_to_sftp))
    vars(package).update(NAMES)
    monkeypatch.setitem(sys.modules, "cdk_s3_to_sftp", package)


@pytest.fixture
def written(
    construct: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the snippets of the page define."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "bank.asc").write_text(NAMES["partner_key"])
    monkeypatch.chdir(folder)
    namespace: dict[str, Any] = {"self": cdk.Stack(), "Path": Path}
    for snippet in SNIPPETS:
        exec(snippet, namespace)
    return namespace


def test_snippets_run_as_users_write_them(written: dict[str, Any]) -> None:
    assert len(SNIPPETS) == 3
    assert written["older_worldpay"].max_name_length == 100
    assert [planned(written["rules"], key).file.path for key in written["rules"].examples] == [
        "SALARIES_20261128_000001.CSV"
    ]
    assert planned(written["encrypted"], "salaries.xml").file.path == "salaries.xml.pgp"


def test_steps_on_the_page_are_those_of_the_plan(written: dict[str, Any]) -> None:
    (block,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert steps_of(planned(written["rules"], "payments/salaries.xml", number=None)) == block.splitlines()


@pytest.mark.parametrize("cells", list(rows(DEMANDS)), ids=lambda cells: cells[0])
def test_python_of_a_demand_is_a_rule(cells: list[str]) -> None:
    _demand, _who, python = cells
    rules = rules_of(python)
    assert rules != DeliveryRules() or python in {
        '`name="{key}"`',
        "`if_exists=IfExists.REPLACE`",
        "`temporary=None`",
        "`after_delivery=AfterDelivery.keep()`",
    }


@pytest.mark.parametrize("cells", list(rows(PROFILES)), ids=lambda cells: cells[0])
def test_profile_gives_the_names_on_the_page(cells: list[str]) -> None:
    python, example = cells
    key, *names = re.findall("`([^`]+)`", example)
    made = planned(rules_of(python), key)
    before = [each.path for each in made.companions_before]
    assert [*before, made.file.path, *(each.path for each in made.companions_after)] == names


def test_every_profile_is_on_the_page() -> None:
    shown = {code(cells[0]).removeprefix("profiles.").partition("(")[0] for cells in rows(PROFILES)}
    assert shown == set(profiles.__all__) - {"Period"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_document_has_a_line(document: str) -> None:
    before_profiles = PAGE.partition("## Profiles")[0]
    assert document in before_profiles


def test_page_shows_every_rule() -> None:
    shown = set(re.findall(r"\b(\w+)=", PAGE))
    assert {each.name for each in fields(DeliveryRules)} <= shown


def test_page_lists_every_field_and_directive() -> None:
    table = PAGE.partition("### Fields of names")[2].partition("`case`")[0]
    shown = {re.split(r"[\[:}]", field)[0] for field in re.findall(r"`\{([^`]+)\}`", table)}
    assert shown >= NAME_FIELDS | TEMPORARY_FIELDS | CONTENT_FIELDS
    directives = re.search(r"Times take `([^`]+)`", table)
    assert directives is not None
    assert directives[1].split() == KNOWN.split(", ")
