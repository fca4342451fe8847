"""The libraries in a bundle, as the bundle itself names them: what is shipped, not what was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cdk_s3_to_sftp.bundle_builder.target import MANIFESTS
from release.project import NotReady

STATED_OTHERWISE = {
    # The file with the text is that of MIT No Attribution, as a classifier says, too.
    ("aws-lambda-powertools", "MIT"): "MIT-0",
    # With two classifiers.
    ("python-dateutil", "Dual License"): "Apache-2.0 OR BSD-3-Clause",
    ("s3transfer", "Apache License 2.0"): "Apache-2.0",
    # A component of cryptography, which names no licence. Since OpenSSL 3.0.
    ("openssl", ""): "Apache-2.0",
}
"""Library and what its metadata say -> its licence in SPDX. What says something else is read anew."""

_TEXTS = re.compile(r"(LICEN[CS]E|NOTICE|COPYING)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Component:
    """A library.

    Attributes:
        name: As the index spells it.
        version: Which one.
        purl: Its package URL.
        licence: An SPDX expression, or what its metadata say instead.
        texts: File name -> text of a licence or notice that comes with it.
        requires: Names of the libraries that it needs, canonical.
        inside: What is compiled into it, as its own SBOM says (PEP 770).
    """

    name: str
    version: str
    purl: str
    licence: str
    texts: Mapping[str, str]
    requires: frozenset[str]
    inside: tuple[Component, ...]


def components_of(bundle: Path) -> list[Component]:
    """Return the libraries in the unpacked bundle, sorted by name.

    Raises:
        NotReady: There are none, or the metadata of one are incomplete.
    """
    environment = _environment(bundle)
    found = [_component(each, environment) for each in sorted(bundle.rglob("*.dist-info"))]
    if not found:
        raise NotReady(f"There is no library in {bundle}. Is it an unpacked bundle?")
    return sorted(found, key=lambda each: canonicalize_name(each.name))


def _environment(bundle: Path) -> dict[str, Any]:
    """Return what the markers of requirements are compared with: Lambda, and not this machine."""
    manifest = next((bundle / each for each in MANIFESTS if (bundle / each).is_file()), None)
    if manifest is None:
        raise NotReady(f"{bundle} has none of {', '.join(MANIFESTS)}. Is it an unpacked bundle?")
    python = json.loads(manifest.read_text())["python"]
    named = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    return {**default_environment(), "sys_platform": "linux", "platform_system": "Linux", **named}


def _component(folder: Path, environment: Mapping[str, Any]) -> Component:
    metadata = Parser().parsestr((folder / "METADATA").read_text(encoding="utf-8"))
    name, version = str(metadata["Name"]), str(metadata["Version"])
    return Component(
        name=name,
        version=version,
        purl=f"pkg:pypi/{canonicalize_name(name)}@{version}",
        licence=_licence(name, metadata),
        texts={
            path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(folder.rglob("*"))
            if path.is_file() and _TEXTS.search(path.name)
        },
        requires=frozenset(_requires(metadata, environment)),
        inside=tuple(_inside(folder)),
    )


def _licence(name: str, metadata: Message) -> str:
    stated = str(metadata["License-Expression"] or metadata["License"] or "").strip()
    return STATED_OTHERWISE.get((canonicalize_name(name), stated), stated)


def _requires(metadata: Message, environment: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is needed in Lambda without an extra."""
    for text in metadata.get_all("Requires-Dist") or []:
        requirement = Requirement(str(text))
        if requirement.marker is None or requirement.marker.evaluate(dict(environment)):
            yield canonicalize_name(requirement.name)


def _inside(folder: Path) -> Iterator[Component]:
    for path in sorted(folder.glob("sboms/*.json")):
        for each in json.loads(path.read_text())["components"]:
            name, version = each["name"], each.get("version", "")
            yield Component(
                name=name,
                version=version,
                # Without where the wheel was built from.
                purl=each.get("purl", "").partition("?")[0],
                licence=STATED_OTHERWISE.get((name, stated := _stated(each)), stated),
                texts={},
                requires=frozenset(),
                inside=(),
            )


def _stated(component: Mapping[str, Any]) -> str:
    """Return the licence in a component of an SBOM as one expression."""
    named = [
        each.get("expression") or each["license"].get("id") or each["license"].get("name", "")
        for each in component.get("licenses", [])
    ]
    return " AND ".join(f"({each})" if len(named) > 1 else each for each in named)
