"""The examples, deployed as they are, but for the partner: what they promise arrives."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.deployment import deploy_app, function_log
from tests.e2e.site import Site, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
APP = Path(__file__).with_name("example_app.py")


class Example:
    """A deployed example."""

    def __init__(self, site: Site, *stacks: str) -> None:
        self._site = site
        self._client = site.cloud.client("cloudformation")
        self._resources: list[dict[str, Any]] = []
        for stack in stacks:
            answer = self._client.describe_stack_resources(StackName=stack)
            self._resources += answer["StackResources"]

    def names(self, kind: str, like: str = "") -> list[str]:
        """Physical ids of the resources of this type whose logical id holds this."""
        return [
            each["PhysicalResourceId"]
            for each in self._resources
            if each["ResourceType"] == kind and like in each["LogicalResourceId"]
        ]

    def fill_secrets(self) -> None:
        login = {"username": self._site.server.username, "password": self._site.partner.password}
        client = self._site.cloud.client("secretsmanager")
        for name in self.names("AWS::SecretsManager::Secret"):
            client.put_secret_value(SecretId=name, SecretString=json.dumps(login))

    def put(self, bucket: str, key: str, body: bytes) -> None:
        (name,) = self.names("AWS::S3::Bucket", bucket)
        self._site.put(key, body, bucket=name)

    def arrived(self, path: str) -> bytes:
        place = self._site.partner.root / path
        wait_until(place.exists, f"{path} at the partner", self.explain)
        return place.read_bytes()

    def explain(self) -> str:
        logs = [log_of(self._site.cloud, name) for name in self.names("AWS::Lambda::Function", "Function")]
        return "\n".join([*logs, self._site.explain()])


def log_of(cloud: LocalCloud, function: str) -> str:
    return "\n".join(function_log(cloud, function)[-20:])


@pytest.fixture
def deploy(site: Site, tmp_path: Path) -> Iterator[Any]:
    """Deploys an example and fills its secrets."""

    def deployed(name: str, *stacks: str) -> Example:
        partner = {
            "host": site.server.host,
            "port": site.server.port,
            "host_keys": list(site.server.host_keys),
        }
        deploy_app(
            site.cloud,
            f"{sys.executable} {APP} {EXAMPLES / name / 'app.py'}",
            assembly=site.asset.parent,  # with the bundle of the stock app, which is the same
            scratch=tmp_path / "cdk",
            variables={"LOCAL_PARTNER": json.dumps(partner)},
        )
        example = Example(site, *stacks)
        example.fill_secrets()
        return example

    return deployed  # type: ignore[return-value]  # nothing to undo: the cloud ends with the session


def test_minimal(deploy: Any) -> None:
    example = deploy("minimal", "Invoices")
    example.put("ToBank", "outgoing/1.csv", b"invoice")
    assert example.arrived("inbox/outgoing/1.csv") == b"invoice"


def test_existing_bucket_in_another_stack(deploy: Any) -> None:
    example = deploy("existing_bucket_in_another_stack", "Shop", "Delivery")
    example.put("Orders", "ready/1.csv", b"order")
    assert example.arrived("orders/ready/1.csv") == b"order"


def test_many_sources_one_partner(deploy: Any) -> None:
    example = deploy("many_sources_one_partner", "Audit")
    for bucket, key in (("Sales", "invoices/1.csv"), ("Payroll", "a b+1.csv"), ("Payroll", "1.pdf")):
        example.put(bucket, key, key.encode())
    for path, key in (
        ("sales/invoices/1.csv", "invoices/1.csv"),
        ("payroll/lists/a b+1.csv", "a b+1.csv"),
        ("payroll/slips/1.pdf", "1.pdf"),
    ):
        assert example.arrived(path) == key.encode()


def test_many_partners_one_bucket(deploy: Any) -> None:
    example = deploy("many_partners_one_bucket", "Lake", "ToBank", "ToInsurer")
    example.put("Bucket", "reports/a b+1.csv", b"report")
    assert example.arrived("inbox/reports/a b+1.csv") == b"report"
    assert example.arrived("from-us/reports/a b+1.csv") == b"report"
