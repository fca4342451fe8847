"""What the bundle and the layer ship: their SBOM, and the licences of all that is in them."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import aws_lambda as lambda_
from cyclonedx.schema import SchemaVersion
from packaging.utils import canonicalize_name

from cdk_s3_to_sftp import bundle_builder
from cdk_s3_to_sftp.archive import write_zip
from cdk_s3_to_sftp.bundling import find_source, layer_target_of
from release.components import STATED_OTHERWISE, Component, components_of
from release.licences import refused, without_text
from release.project import REPOSITORY, NotReady
from release.sbom import sbom

PAGE = REPOSITORY / "docs" / "reference" / "supply-chain.md"
DAY = date(2027, 1, 1)


@pytest.fixture(scope="module")
def libraries(bundle: Path) -> list[Component]:
    return components_of(bundle)


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> list[Component]:
    """The libraries in the layer for OpenPGP."""
    output = tmp_path_factory.mktemp("layer")
    bundle_builder.build(find_source(), output, layer_target_of(lambda_.Architecture.X86_64))
    return components_of(output)


@pytest.fixture(scope="module")
def bill(bundle: Path, libraries: list[Component], tmp_path_factory: pytest.TempPathFactory) -> str:
    zipped = tmp_path_factory.mktemp("zip") / "function.zip"
    write_zip(bundle, zipped)
    return sbom(zipped, libraries, version="1.2.3", released=DAY)


def locked(name: str) -> set[tuple[str, str]]:
    text = (find_source() / name).read_text()
    return set(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


class TestSbom:
    def test_it_is_valid_cyclonedx(self, bill: str) -> None:
        # Importing it takes a second, for the grammars of its formats.
        from cyclonedx.validation.json import JsonStrictValidator

        validator = JsonStrictValidator(SchemaVersion.V1_6)
        assert validator.validate_str(bill) is None
        assert validator.validate_str(bill.replace('"library"', '"book"')) is not None

    def test_it_lists_what_the_lock_pins_and_nothing_else(self, bill: str) -> None:
        components = json.loads(bill)["components"]
        listed = {(canonicalize_name(each["name"]), each["version"]) for each in components}
        assert listed == locked("requirements.txt")

    def test_it_lists_what_wheels_say_is_compiled_into_them(self, bill: str) -> None:
        (cryptography,) = (each for each in json.loads(bill)["components"] if each["name"] == "cryptography")
        assert "openssl" in {each["name"] for each in cryptography["components"]}

    def test_it_says_what_needs_what(self, bill: str) -> None:
        needs = {
            each["ref"].partition("@")[0]: each.get("dependsOn", [])
            for each in json.loads(bill)["dependencies"]
        }
        assert "pkg:pypi/paramiko" in {each.partition("@")[0] for each in needs["function.zip"]}
        assert "pkg:pypi/bcrypt" in {each.partition("@")[0] for each in needs["pkg:pypi/paramiko"]}

    def test_it_names_the_bundle_by_its_hash(self, bill: str) -> None:
        root: dict[str, Any] = json.loads(bill)["metadata"]["component"]
        assert root["version"] == "1.2.3"
        assert re.fullmatch("[0-9a-f]{64}", root["hashes"][0]["content"])

    def test_same_bundle_has_the_same_sbom(self, bundle: Path, bill: str, tmp_path: Path) -> None:
        zipped = tmp_path / "function.zip"
        write_zip(bundle, zipped)
        assert sbom(zipped, components_of(bundle), version="1.2.3", released=DAY) == bill

    def test_folder_that_is_no_bundle_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(NotReady, match="Is it an unpacked bundle"):
            components_of(tmp_path)


class TestLicences:
    def test_licences_of_all_that_is_shipped_are_allowed(
        self, libraries: list[Component], layer: list[Component]
    ) -> None:
        assert refused([*libraries, *layer]) == []
        assert sum(len(each.inside) for each in [*libraries, *layer]) > 100

    def test_every_library_brings_the_text_of_its_licence(
        self, libraries: list[Component], layer: list[Component]
    ) -> None:
        assert without_text([*libraries, *layer]) == []

    def test_licences_stated_by_us_are_of_libraries_that_are_shipped(
        self, libraries: list[Component], layer: list[Component]
    ) -> None:
        parts = [part for each in [*libraries, *layer] for part in each.inside]
        shipped = {canonicalize_name(each.name) for each in [*libraries, *layer, *parts]}
        assert {name for name, _ in STATED_OTHERWISE} - shipped == set()

    def test_page_lists_the_libraries_and_their_licences(
        self, libraries: list[Component], layer: list[Component]
    ) -> None:
        table = PAGE.read_text().partition("## Libraries in the function")[2]
        rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", table, re.MULTILINE)
        assert dict(rows) == {canonicalize_name(each.name): each.licence for each in [*libraries, *layer]}
