"""The examples and names in docs/guides/testing-and-ci.md work."""

import json
import re
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer, StaticEgress, bundle_cache, bundling
from tests.infra.conftest import REPOSITORY, new_app, warnings_of

PAGE = (REPOSITORY / "docs" / "guides" / "testing-and-ci.md").read_text()


def test_documented_context_avoids_the_lookup_of_availability_zones() -> None:
    found = re.search(r'"(availability-zones:[^"]+)": \[([^]]+)\]', PAGE)
    assert found is not None
    app = new_app(**{found[1]: re.findall('"(.+?)"', found[2])})
    stack = cdk.Stack(app, "Network", env=cdk.Environment(account="123456789012", region="eu-west-1"))
    StaticEgress(stack, "Egress", addresses=3)
    # The CLI looks up in AWS what the manifest lists as missing.
    manifest = json.loads(Path(app.synth().directory, "manifest.json").read_text())
    assert "missing" not in manifest


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_documented_unit_test_passes(server: SftpServer) -> None:
    class Invoices(cdk.Stack):
        def __init__(self, app: cdk.App, name: str) -> None:
            super().__init__(app, name)
            S3ToSftp(self, "ToBank", server=server)

    names = {"Invoices": Invoices}
    exec(code_blocks("python")[0], names)  # it counts the queues
    assert isinstance(names["template"], Template)


@pytest.mark.skipif(not hasattr(cdk, "ReferenceStrength"), reason="CDK knows weak references from 2.258 on")
@pytest.mark.parametrize("weak", [True, False])
def test_documented_weak_references_create_no_export(server: SftpServer, *, weak: bool) -> None:
    (settings,) = code_blocks("json")
    context = {**json.loads(settings)["context"]} if weak else {}
    app = cdk.App(context={"aws:cdk:bundling-stacks": [], **context})
    orders = s3.Bucket(cdk.Stack(app, "Shop"), "Orders")
    stack = cdk.Stack(app, "Delivery")
    S3ToSftp(stack, "ToBank", server=server, bucket=orders)
    shop, delivery = (
        Path(app.synth().directory, f"{name}.template.json").read_text() for name in ("Shop", "Delivery")
    )
    assert ('"Export"' in shop, "Fn::ImportValue" in delivery) == (not weak, not weak)
    assert ("Fn::GetStackOutput" in delivery) is weak
    assert (warnings_of(stack, "strongReferenceToBucket") == []) is weak
    assert "strongReferenceToBucket" in PAGE


def test_documented_names_equal_those_in_the_code() -> None:
    assert bundle_cache.VARIABLE in PAGE
    python = bundling.RUNTIME.name.removeprefix("python")
    assert f"Python of the function's version ({python})" in PAGE
    assert "aws:cdk:bundling-stacks" in PAGE
    assert "aws:cdk:bundling-stacks" in bundling._WITHOUT_BUNDLING
