"""checkov has no unsuppressed finding, and every suppression answers a finding."""

import json
from typing import Any

import pytest

from local.processes import CannotRun
from tests.infra.checkov import Report, prepare_checkov, scan
from tests.infra.conftest import new_app
from tests.support.infra.rule_packs import (
    insecure_bucket,
    stock,
    through_static_egress,
    with_existing_resources,
)

NOTIFICATIONS_FUNCTION = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834"
DEFAULT_GROUP_FUNCTION = "CustomVpcRestrictDefaultSGCustomResourceProviderHandler"

FUNCTIONS_OF_CDK = {
    NOTIFICATIONS_FUNCTION: "CDK's own, one for each stack: for the owner of the stack to suppress.",
    DEFAULT_GROUP_FUNCTION: "CDK's own, runs only when a VPC is created: it empties the default group.",
}
RULES_FOR_FUNCTIONS = {"CKV_AWS_115", "CKV_AWS_116", "CKV_AWS_117"}

BARE = "-bare"
"""The suffix of the name of a template without suppressions."""

ABOUT_KEYS = {"CKV_AWS_27", "CKV_AWS_119", "CKV_AWS_149", "CKV_AWS_158", "CKV_AWS_173"}


def findings_of_cdks_functions(*functions: str) -> set[tuple[str, str]]:
    assert set(functions) <= set(FUNCTIONS_OF_CDK)
    return {(function, rule) for function in functions for rule in RULES_FOR_FUNCTIONS}


@pytest.fixture(scope="module")
def templates() -> dict[str, dict[str, Any]]:
    """Map the name of each stack to its template."""
    found: dict[str, dict[str, Any]] = {}
    for build in (stock, with_existing_resources, through_static_egress, insecure_bucket):
        app = new_app()
        build(app)
        found |= {each.stack_name: each.template for each in app.synth().stacks}
    return found


def without_metadata(template: dict[str, Any]) -> dict[str, Any]:
    """Return the template without suppressions: checkov does not evaluate what they skip."""
    resources = template["Resources"].items()
    return {
        **template,
        "Resources": {
            name: {key: value for key, value in resource.items() if key != "Metadata"}
            for name, resource in resources
        },
    }


@pytest.fixture(scope="module")
def report(templates: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("templates")
    for name, template in templates.items():
        (folder / f"{name}.template.json").write_text(json.dumps(template, indent=1))
        (folder / f"{name}{BARE}.template.json").write_text(json.dumps(without_metadata(template), indent=1))
    try:
        interpreter = prepare_checkov()
    except CannotRun as error:
        pytest.skip(f"checkov cannot be installed here: {error}")
    return scan(interpreter, folder)


def test_stock_stack_has_no_unsuppressed_finding(report: Report) -> None:
    assert report.failed_in("S3ToSftp") == set()


def test_existing_resources_leave_only_findings_of_cdks_functions(report: Report) -> None:
    assert report.failed_in("Test") == findings_of_cdks_functions(NOTIFICATIONS_FUNCTION)


def test_static_egress_leaves_only_findings_of_cdks_functions(report: Report) -> None:
    assert report.failed_in("Fixed") == findings_of_cdks_functions(
        NOTIFICATIONS_FUNCTION, DEFAULT_GROUP_FUNCTION
    )


def test_suppressions_of_the_stock_stack_are_these(report: Report) -> None:
    assert report.skipped_in("S3ToSftp") == {
        ("DeliveryBucket", "CKV_AWS_18"),
        ("DeliveryCredentials", "CKV_AWS_149"),
        ("DeliveryLedger", "CKV_AWS_119"),
        ("DeliveryQueue", "CKV_AWS_27"),
        ("DeliveryDeadLetterQueue", "CKV_AWS_27"),
        ("DeliveryLog", "CKV_AWS_158"),
        ("DeliveryFunction", "CKV_AWS_115"),
        ("DeliveryFunction", "CKV_AWS_116"),
        ("DeliveryFunction", "CKV_AWS_117"),
        ("DeliveryFunction", "CKV_AWS_173"),
        *findings_of_cdks_functions(NOTIFICATIONS_FUNCTION),
    }


def test_existing_key_and_vpc_need_no_suppression(report: Report) -> None:
    assert report.skipped_in("Test") == {
        ("DeliveryBucket", "CKV_AWS_18"),
        ("DeliveryFunction", "CKV_AWS_115"),
        ("DeliveryFunction", "CKV_AWS_116"),
        ("DeliveryNetwork", "CKV_AWS_111"),
    }
    assert not ABOUT_KEYS & {rule for _, rule in report.failed_in("Test")}


def test_static_egress_suppresses_only_the_encryption_of_its_flow_log(report: Report) -> None:
    accepted = report.skipped_in("Fixed")
    assert {each for each in accepted if not each[0].startswith("Delivery")} == {
        ("EgressFlowLog", "CKV_AWS_158")
    }


@pytest.mark.parametrize("stack", ["S3ToSftp", "Test", "Fixed"])
def test_every_suppression_answers_a_finding(report: Report, stack: str) -> None:
    otherwise = report.failed_in(f"{stack}{BARE}")
    assert report.skipped_in(stack) == otherwise - report.failed_in(stack)


def test_insecure_bucket_is_found(report: Report) -> None:
    assert {("Bucket", "CKV_AWS_18"), ("Bucket", "CKV_AWS_21"), ("Bucket", "CKV_AWS_56")} <= (
        report.failed_in("Careless")
    )
