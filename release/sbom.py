"""The software bill of materials of a bundle, in CycloneDX 1.6.

The same bundle has the same SBOM, byte for byte: its serial number is derived from the bundle, and its time
is the day of the release.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from cyclonedx.contrib.license.exceptions import InvalidSpdxLicenseException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as Described
from cyclonedx.model.component import ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from release.components import Component
from release.project import DISTRIBUTION


def sbom(bundle: Path, components: Sequence[Component], *, version: str, released: date) -> str:
    """Return the SBOM of the zip `bundle`, which has these libraries, as JSON.

    Libraries that are compiled into another are components of that one.
    """
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    root = Described(
        type=ComponentType.APPLICATION,
        name=f"{DISTRIBUTION} function",
        version=version,
        bom_ref=bundle.name,
        purl=PackageURL("generic", None, DISTRIBUTION, version, {"file_name": bundle.name}),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        licenses=list(_licences("Apache-2.0")),
    )
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sha256:{digest}"))
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.combine(released, datetime.min.time(), UTC)
    described: dict[str, Described] = {
        canonicalize_name(each.name): _described(each, each.purl) for each in components
    }
    bom.components.update(described.values())
    bom.register_dependency(root, described.values())
    for each in components:
        needed = (described[name] for name in each.requires if name in described)
        bom.register_dependency(described[canonicalize_name(each.name)], needed)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _described(component: Component, reference: str) -> Described:
    return Described(
        name=component.name,
        version=component.version or None,
        bom_ref=reference,
        purl=PackageURL.from_string(component.purl) if component.purl else None,
        licenses=list(_licences(component.licence)),
        properties=list(_properties(component)),
        components=list(_nested(component.inside, reference)),
    )


def _nested(parts: Iterable[Component], owner: str) -> Iterator[Described]:
    """Yield what is compiled into a library. Two libraries may have the same part, hence the owner."""
    for each in parts:
        yield _described(each, f"{owner}#{each.purl or each.name}")


def _licences(expression: str) -> Iterator[DisjunctiveLicense | LicenseExpression]:
    if not expression:
        return
    factory = LicenseFactory()
    try:
        yield factory.make_with_id(expression)
    except InvalidSpdxLicenseException:
        yield factory.make_with_expression(expression)


def _properties(component: Component) -> Iterator[Property]:
    if component.inside:
        yield Property(name="cdk-s3-to-sftp:nested-components", value="from the SBOM in the wheel (PEP 770)")
