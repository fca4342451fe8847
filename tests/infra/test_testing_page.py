"""What docs/testing-and-ci.md promises, as far as no other test shows it."""

import json
import re
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

from cdk_s3_to_sftp import StaticEgress, bundle_cache, bundling
from tests.infra.conftest import REPOSITORY, new_app

PAGE = (REPOSITORY / "docs" / "testing-and-ci.md").read_text()


def test_zones_in_the_context_are_enough_for_a_network_without_credentials() -> None:
    found = re.search(r'"(availability-zones:[^"]+)": \[([^]]+)\]', PAGE)
    assert found is not None
    app = new_app(**{found[1]: re.findall('"(.+?)"', found[2])})
    stack = cdk.Stack(app, "Network", env=cdk.Environment(account="123456789012", region="eu-west-1"))
    StaticEgress(stack, "Egress", addresses=3)
    # What CDK lists as missing, the CLI would ask AWS for.
    manifest = json.loads(Path(app.synth().directory, "manifest.json").read_text())
    assert "missing" not in manifest


def test_names_on_the_page_are_the_ones_in_the_code() -> None:
    assert bundle_cache.VARIABLE in PAGE
    assert bundling.RUNTIME.name == lambda_.Runtime.PYTHON_3_13.name
    assert "Python of the function's version (3.13)" in PAGE
    assert "aws:cdk:bundling-stacks" in PAGE
    assert "aws:cdk:bundling-stacks" in bundling._WITHOUT_BUNDLING
