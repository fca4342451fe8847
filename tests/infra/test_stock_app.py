"""`app.py`: context values, their errors, and `cdk synth` from any directory."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cdk_s3_to_sftp import bundle_builder
from cdk_s3_to_sftp.bundle_builder.target import CannotBuild
from s3_to_sftp import configured_by
from tests.infra.conftest import REPOSITORY
from tests.infra.stock_app import GIVEN, PATH, Main, function_in, synth
from tests.support.infra.keys import ECDSA, ED25519


def test_host_and_host_key_are_the_only_required_values(main: Main) -> None:
    template = main(**GIVEN)
    assert template["name"] == "S3ToSftp"
    variables = function_in(template)["Environment"]["Variables"]
    assert {name: value for name, value in variables.items() if isinstance(value, str)} == {
        "SSH_HOST": "sftp.partner.example",
        "SSH_PORT": "22",
        "SSH_HOST_KEY": ED25519,
        "SSH_MAX_CONNECTIONS": "1",
        "RETRY_FOR_SECONDS": "86400",
        "RECEIPTS_FOR_SECONDS": "34560000",
        configured_by.VARIABLE: configured_by.PARTNER_FILE,
    }


def test_every_context_value_reaches_the_template(main: Main) -> None:
    template = main(
        **GIVEN,
        ssh_port="2222",
        ssh_dir="/inbox",
        prefix="outgoing/",
        suffix=".csv",
        memory_size="1024",
        max_connections="5",
        retry_for_hours="72",
        alarm_topic="arn:aws:sns:eu-west-1:123456789012:on-call",
        architecture="arm64",
        bundling="docker",
        stack_name="Bank",
    )
    function = function_in(template)
    assert template["name"] == "Bank"
    assert function["Environment"]["Variables"]["SSH_PORT"] == "2222"
    assert function["Environment"]["Variables"]["SSH_DIR"] == "/inbox"
    assert function["Environment"]["Variables"]["RETRY_FOR_SECONDS"] == "259200"
    assert (function["MemorySize"], function["Architectures"]) == (1024, ["arm64"])
    text = json.dumps(template["Resources"])
    assert '"SSH_MAX_CONNECTIONS": "2"' in text
    assert '"AlarmActions": ["arn:aws:sns:eu-west-1:123456789012:on-call"]' in text
    assert '{"Name": "suffix", "Value": ".csv"}, {"Name": "prefix", "Value": "outgoing/"}' in text


@pytest.mark.parametrize("separator", ["\n", ",", ", ", "\n\n"])
def test_one_context_value_can_contain_several_host_keys(main: Main, separator: str) -> None:
    template = main(ssh_host="sftp.partner.example", ssh_host_key=f"{ED25519}{separator}{ECDSA}")
    assert function_in(template)["Environment"]["Variables"]["SSH_HOST_KEY"] == f"{ED25519}\n{ECDSA}"


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"ssh_host": ""}, "ssh_host is not set. Set it with -c ssh_host=sftp.partner.example"),
        (
            {"ssh_host": "sftp://partner"},
            "ssh_host must be a bare name or address such as sftp.partner.example (no sftp://, no user@, "
            "no :port, no path), got 'sftp://partner'. Set it with -c ssh_host=sftp.partner.example",
        ),
        ({"ssh_port": "0"}, "ssh_port must be 1-65535, got 0. Set it with -c ssh_port=22"),
        ({"ssh_port": "ssh"}, "ssh_port must be a whole number, got 'ssh'. Set it with -c ssh_port=22"),
        ({"ssh_port": ""}, "ssh_port is not set. Set it with -c ssh_port=22"),
        (
            {"ssh_dir": "in\nbox"},
            "ssh_dir must be a remote path such as /inbox (leave it out for the login directory), got "
            "'in\\nbox'. Set it with -c ssh_dir=/inbox",
        ),
        (
            {"ssh_host_key": ""},
            "ssh_host_key must contain at least one public key of the server, got none: without it nobody "
            "can tell the partner from an impostor. Print the keys with 'ssh-keyscan -p 22 "
            "sftp.partner.example', and verify the fingerprints ('ssh-keygen -lf FILE') with the partner "
            "out of band. "
            'Set it with -c ssh_host_key="ssh-ed25519 AAAA..."',
        ),
        (
            {"ssh_host_key": "ssh-rsa"},
            "ssh_host_key must be of the form 'type base64', got only the type 'ssh-rsa'. "
            'Set it with -c ssh_host_key="ssh-ed25519 AAAA..."',
        ),
        (
            {"prefix": "out/*"},
            "prefix must not contain '*': S3 compares it literally, got 'out/*'; remove the '*'. "
            "Set it with -c prefix=outgoing/",
        ),
        (
            {"suffix": "*.csv"},
            "suffix must not contain '*': S3 compares it literally, got '*.csv'; remove the '*'. "
            "Set it with -c suffix=.csv",
        ),
        ({"memory_size": "64"}, "memory_size must be 128-10240 MB, got 64. Set it with -c memory_size=512"),
        ({"max_connections": "0"}, "max_connections must be 1-128, got 0. Set it with -c max_connections=2"),
        (
            {"retry_for_hours": "73"},
            "retry_for_hours must be 1-72 hours, got 73. Set it with -c retry_for_hours=24",
        ),
        (
            {"alarm_topic": "on-call"},
            "alarm_topic must be the ARN of an SNS topic, as 'aws sns list-topics' prints it, got 'on-call'. "
            "Set it with -c alarm_topic=arn:aws:sns:eu-west-1:123456789012:on-call",
        ),
        (
            {"architecture": "aarch64"},
            "architecture must be one of x86_64, arm64, got 'aarch64'. Set it with -c architecture=x86_64",
        ),
        (
            {"bundling": "podman"},
            "bundling must be one of auto, local, docker, got 'podman'. Set it with -c bundling=auto",
        ),
        ({"stack_name": ""}, "stack_name is not set. Set it with -c stack_name=S3ToSftp"),
        (
            {"stack_name": "to bank"},
            "stack_name must be letters, digits and hyphens, a letter first, 128 at most, got 'to bank'. "
            "Set it with -c stack_name=S3ToSftp",
        ),
    ],
    ids=lambda value: (
        " ".join(f"{key}={given}" for key, given in value.items()) if isinstance(value, dict) else None
    ),
)
def test_invalid_value_exits_with_one_sentence_that_names_the_key(
    main: Main, context: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(**{**GIVEN, **context})
    assert caught.value.code == sentence


def test_failed_bundling_exits_with_the_reason(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*arguments: object) -> None:
        raise CannotBuild("there is no network.")

    monkeypatch.setattr(bundle_builder, "build", cannot)
    with pytest.raises(
        SystemExit, match=r"(?s)^Failed to bundle asset S3ToSftp/.*there is no network\.\n.*bundling-stacks"
    ):
        main(**GIVEN, bundling="local", **{"aws:cdk:bundling-stacks": ["**"]})


def test_missing_value_exits_without_a_traceback(tmp_path: Path) -> None:
    app = shutil.copy(REPOSITORY / "app.py", tmp_path)
    shutil.copy(REPOSITORY / "cdk.json", tmp_path)
    done = subprocess.run(
        [sys.executable, app],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        'ssh_host is not set. Write ssh_host = "sftp.partner.example" into partner.toml, or set it with '
        "-c ssh_host=sftp.partner.example\n",
    )


def test_cdk_json_contains_only_feature_flags() -> None:
    """The CLI passes context of cdk.json like `-c` options, so it must contain no default of ours."""
    context = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    assert [key for key in context if not key.startswith("@aws-cdk")] == []


def test_cdk_synth_does_not_depend_on_the_working_directory(tmp_path: Path) -> None:
    cli = REPOSITORY / "node_modules" / ".bin" / "cdk"
    if not cli.exists():
        pytest.skip("the CDK CLI is not installed (make setup)")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    partner = tmp_path / "partner.toml"  # not the one that the working tree may have
    partner.write_text('stack_name = "S3ToSftp"')
    here = synth(cli, tmp_path / "one.out", f"--context=partner={partner}", cwd=REPOSITORY)
    # Reuses the asset of the first synth. Another fingerprint would add a second asset.
    for asset in (tmp_path / "one.out").glob("asset.*/"):
        shutil.copytree(asset, tmp_path / "two.out" / asset.name)
    options = [f"--app={sys.executable} {REPOSITORY / 'app.py'}", f"--context=partner={partner}"]
    # The first synth has validated the template.
    there = synth(cli, tmp_path / "two.out", *options, cwd=elsewhere, CDK_VALIDATION="false")
    assert here == there
    assert list(elsewhere.iterdir()) == []
