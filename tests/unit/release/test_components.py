"""The libraries in a bundle, as their metadata name them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdk_s3_to_sftp.bundle_builder.target import MANIFEST
from release.components import STATED_OTHERWISE, Component, components_of
from release.licences import refused


def library(
    folder: Path, name: str, *metadata: str, parts: list[dict[str, object]] | None = None
) -> Component:
    """A bundle with one library that says this of itself."""
    (folder / MANIFEST).parent.mkdir()
    (folder / MANIFEST).write_text(json.dumps({"python": "3.13"}))
    info = folder / f"{name}-4.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join([f"Name: {name}", "Version: 4.0.0", *metadata, "", ""]))
    if parts is not None:
        (info / "sboms").mkdir()
        (info / "sboms" / "parts.json").write_text(json.dumps({"components": parts}))
    (found,) = components_of(folder)
    return found


@pytest.mark.parametrize("name", sorted({name for name, _ in STATED_OTHERWISE} - {"openssl"}))
@pytest.mark.parametrize("field", ["License", "License-Expression"])
def test_licence_that_a_new_version_states_is_its_licence(tmp_path: Path, name: str, field: str) -> None:
    """We have read what an earlier one says in other words, and not this one."""
    found = library(tmp_path, name, f"{field}: AGPL-3.0-only")
    assert found.licence == "AGPL-3.0-only"
    assert len(refused([found])) == 1


def test_licence_in_other_words_is_the_one_that_was_read(tmp_path: Path) -> None:
    found = library(tmp_path, "python-dateutil", "License: Dual License")
    assert found.licence == "Apache-2.0 OR BSD-3-Clause"


def test_licence_of_a_part_that_states_one_is_that_one(tmp_path: Path) -> None:
    part = {"name": "openssl", "version": "9", "licenses": [{"license": {"id": "GPL-3.0-only"}}]}
    silent = {"name": "openssl", "version": "3"}
    found = library(tmp_path, "cryptography", "License: MIT", parts=[part, silent])
    assert [each.licence for each in found.inside] == ["GPL-3.0-only", "Apache-2.0"]
