"""`code=`: a prebuilt bundle is used if it fits, and refused with a reason otherwise."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import InvalidArgument, bundle_builder
from cdk_s3_to_sftp.archive import write_zip
from cdk_s3_to_sftp.bundle_builder import compilation, installation
from cdk_s3_to_sftp.bundle_builder.target import MANIFEST
from cdk_s3_to_sftp.bundling import find_source
from tests.infra.conftest import X86_64, Synthesise

Build = Callable[..., Path]


@pytest.fixture
def prebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build a bundle without dependencies, whose manifest can be changed."""
    monkeypatch.setattr(installation, "install", lambda lock, output, target: None)
    monkeypatch.setattr(compilation, "compile_modules", lambda output, target: None)

    def build(**manifest: object) -> Path:
        bundle_builder.build(find_source(), tmp_path / "bundle", X86_64)
        file = tmp_path / "bundle" / MANIFEST
        file.write_text(json.dumps({**json.loads(file.read_text()), **manifest}))
        return tmp_path / "bundle"

    return build


@pytest.mark.parametrize("kind", ["directory", "zip"])
def test_prebuilt_bundle_is_used_as_the_code(
    kind: str, prebuilt: Build, tmp_path: Path, synthesise: Synthesise
) -> None:
    path = prebuilt()
    if kind == "zip":
        write_zip(path, tmp_path / "package.zip")
        path = tmp_path / "package.zip"
    template = synthesise(code=lambda_.Code.from_asset(str(path)))
    functions = template.find_resources(
        "AWS::Lambda::Function", {"Properties": {"Handler": "s3_to_sftp.handler.lambda_handler"}}
    )
    (function,) = functions.values()
    # The asset hash is the one of the given bundle, not the fingerprint of a new build.
    assert bundle_builder.fingerprint(find_source(), X86_64) not in function["Properties"]["Code"]["S3Key"]


def test_bundle_in_a_bucket_is_used_unchecked(stack: cdk.Stack, synthesise: Synthesise) -> None:
    artifacts = s3.Bucket.from_bucket_name(stack, "Artifacts", "artifacts")
    template = synthesise(code=lambda_.Code.from_bucket(artifacts, "package.zip"))
    template.has_resource_properties(
        "AWS::Lambda::Function", {"Code": {"S3Bucket": "artifacts", "S3Key": "package.zip"}}
    )


@pytest.mark.parametrize(
    ("manifest", "arguments", "sentence"),
    [
        (
            {},
            {"architecture": lambda_.Architecture.ARM_64},
            "code must be for Python 3.13 on arm64, as `runtime` and `architecture` say, got a bundle for "
            "Python "
            "3.13 on x86_64: build it with `python -m cdk_s3_to_sftp.package --python 3.13 "
            "--architecture arm64`",
        ),
        (
            {},
            {"runtime": lambda_.Runtime.PYTHON_3_12},
            "code must be for Python 3.12 on x86_64, as `runtime` and `architecture` say, got a bundle for "
            "Python "
            "3.13 on x86_64: build it with `python -m cdk_s3_to_sftp.package --python 3.12 "
            "--architecture x86_64`",
        ),
        (
            {"fingerprint": "of an older version"},
            {},
            "code must have the same version as the construct, got another version in {path}: build it again "
            "with "
            "`python -m cdk_s3_to_sftp.package`, of the cdk-s3-to-sftp that this app has",
        ),
    ],
)
def test_bundle_for_another_target_or_version_is_refused(
    manifest: dict[str, str],
    arguments: dict[str, Any],
    sentence: str,
    prebuilt: Build,
    synthesise: Synthesise,
) -> None:
    path = prebuilt(**manifest)
    with pytest.raises(InvalidArgument) as caught:
        synthesise(code=lambda_.Code.from_asset(str(path)), **arguments)
    assert str(caught.value) == sentence.format(path=path)


def test_directory_without_manifest_is_refused(tmp_path: Path, synthesise: Synthesise) -> None:
    (tmp_path / "handler.py").touch()
    with pytest.raises(InvalidArgument) as caught:
        synthesise(code=lambda_.Code.from_asset(str(tmp_path)))
    assert str(caught.value) == (
        "code must be a bundle as `python -m cdk_s3_to_sftp.package` writes it, "
        f"got {tmp_path}, without s3_to_sftp/bundle.json"
    )


def test_bundle_that_does_not_exist_is_called_missing(tmp_path: Path, synthesise: Synthesise) -> None:
    path = tmp_path / "package.zip"
    with pytest.raises(InvalidArgument, match=rf"got {path}, which does not exist$"):
        synthesise(code=lambda_.Code.from_asset(str(path)))


def test_inline_code_is_refused(synthesise: Synthesise) -> None:
    with pytest.raises(InvalidArgument, match="got inline code"):
        synthesise(code=lambda_.Code.from_inline("pass"))
