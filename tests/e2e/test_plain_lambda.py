"""package.zip uploaded by hand: a plain Lambda, five variables, triggered by S3 itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from local.deployment import function_log
from local.processes import run
from tests.support.e2e.stack_environment import INBOX, PATIENCE_SECONDS, StackEnvironment, wait_until


@pytest.fixture
def package(tmp_path: Path) -> Path:
    output = tmp_path / "package.zip"
    run(
        [sys.executable, "-m", "cdk_s3_to_sftp.package", "--output", output],
        log=tmp_path / "package.log",
        seconds=PATIENCE_SECONDS,
    )
    return output


def test_uploaded_zip_delivers_objects_of_direct_s3_events(env: StackEnvironment, package: Path) -> None:
    functions = env.cloud.client("lambda")
    function = functions.create_function(
        FunctionName="by-hand",
        Runtime="python3.13",
        Handler="s3_to_sftp.handler.lambda_handler",
        Role="arn:aws:iam::123456789012:role/by-hand",
        Timeout=900,
        Code={"ZipFile": package.read_bytes()},
        Environment={
            "Variables": {
                "SSH_HOST": env.server.host,
                "SSH_PORT": str(env.server.port),
                "SSH_USERNAME": env.server.username,
                "SSH_PASSWORD": env.partner.password,
                "SSH_DIR": f"/{INBOX}/by-hand",
                "SSH_HOST_KEY": env.server.host_key,
            }
        },
    )
    bucket = env.bucket_of_its_own("by-hand")
    env.cloud.client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {"LambdaFunctionArn": function["FunctionArn"], "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    env.put("a b.csv", b"direct", bucket=bucket)
    place = env.landing_place("by-hand/a b.csv")
    wait_until(place.exists, "file", lambda: "\n".join(function_log(env.cloud, "by-hand")))
    assert place.read_bytes() == b"direct"
