"""Rules with OpenPGP: layer and permissions only where they are used, and keys that are checked at synth."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pysequoia
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import Bundling, DeliveryRules, InvalidRule, OpenPgp, bundle_builder, bundling
from cdk_s3_to_sftp.archive import write_zip
from cdk_s3_to_sftp.bundle_builder import installation
from cdk_s3_to_sftp.bundling import find_source, layer_target_of
from cdk_s3_to_sftp.openpgp import check_keys
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from s3_to_sftp.settings import Settings
from tests.infra.conftest import new_app, warnings_of
from tests.infra.templates import as_text, delivery_function, new_delivery, role_permissions
from tests.support.infra.bundles import hashes, libraries_for_other_cpus
from tests.support.infra.delivery_rules import Synthesised, bucket, partner

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:signing-AbCdEf"
OTHER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:other"
ARCHITECTURES = (lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64)


def public_key(**arguments: Any) -> str:
    return str(pysequoia.Tsk.generate("Partner", **arguments).extract_certificate())


PUBLIC = public_key()
ENCRYPTED = DeliveryRules(name="{name}.pgp", transforms=[OpenPgp(encrypt_to=[PUBLIC])])


def signed(secret: Any) -> DeliveryRules:
    return DeliveryRules(name="{name}.pgp", transforms=[OpenPgp(encrypt_to=[PUBLIC], sign_with=secret)])


def document_of(done: Synthesised) -> RulesDocument:
    (file,) = done.directory.glob(f"asset.*/python/{PACKAGE}/{FILE}")
    return RulesDocument.from_text(file.read_text())


def secrets_read(stack: cdk.Stack) -> list[str]:
    """The secrets that the function may read. CDK merges statements with the same actions."""
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    resources = [
        statement["Resource"]
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "secretsmanager:GetSecretValue"
    ]
    return [as_text(one) for each in resources for one in (each if isinstance(each, list) else [each])]


class TestLayer:
    def test_rules_without_openpgp_need_neither_library_nor_secret(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(DeliveryRules(name="{name}")), bucket=bucket(stack))
        done = Synthesised(stack)
        assert len(done.resources("AWS::Lambda::LayerVersion")) == 1
        assert "SSH_SIGNING_KEYS" not in done.variables
        assert len(secrets_read(stack)) == 1  # that of the login

    def test_encryption_adds_the_library_for_the_functions_python_and_cpu(self, stack: cdk.Stack) -> None:
        runtime = lambda_.Runtime.PYTHON_3_12
        new_delivery(
            stack,
            server=partner(ENCRYPTED),
            bucket=bucket(stack),
            runtime=runtime,
            architecture=lambda_.Architecture.ARM_64,
        )
        done = Synthesised(stack)
        layers = done.resources("AWS::Lambda::LayerVersion")
        assert delivery_function(stack)["Layers"] == [{"Ref": each} for each in layers]
        (library,) = (
            each["Properties"] for each in layers.values() if "pysequoia" in each["Properties"]["Description"]
        )
        assert library["CompatibleArchitectures"] == ["arm64"]
        assert library["CompatibleRuntimes"] == ["python3.12"]
        assert "SSH_SIGNING_KEYS" not in done.variables
        assert len(secrets_read(stack)) == 1

    def test_rules_of_a_later_source_add_it_once(self, stack: cdk.Stack) -> None:
        theirs = bucket(stack)
        delivery = new_delivery(stack)
        delivery.add_source(theirs, prefix="a/")
        delivery.add_source(theirs, prefix="b/", rules=ENCRYPTED)
        delivery.add_source(theirs, prefix="c/", rules=signed(ARN))
        assert len(Synthesised(stack).resources("AWS::Lambda::LayerVersion")) == 2
        assert len(delivery_function(stack)["Layers"]) == 2

    def test_function_is_the_same_with_and_without_it(self) -> None:
        keys = set()
        for rules in (None, ENCRYPTED):
            stack = cdk.Stack(new_app(), "Test")
            new_delivery(stack, server=partner(rules), bucket=bucket(stack))
            keys.add(json.dumps(delivery_function(stack)["Code"], sort_keys=True))
        assert len(keys) == 1


class TestSigningKeys:
    def test_function_may_read_exactly_the_secret_that_signs(self, stack: cdk.Stack) -> None:
        secret = secretsmanager.Secret(stack, "Signing")
        new_delivery(stack, server=partner(signed(secret)), bucket=bucket(stack))
        done = Synthesised(stack)
        assert done.variables["SSH_SIGNING_KEYS"] == stack.resolve(secret.secret_arn)
        assert set(secrets_read(stack)) == {"DeliveryCredentials", "Signing"}
        document = document_of(done)
        assert document.partner is not None
        (transform,) = document.partner.transforms
        assert transform == OpenPgp(encrypt_to=[PUBLIC], sign_with="key-1")
        assert document.digest == done.variables["SSH_RULES"]

    def test_key_of_the_secret_may_be_used(self, stack: cdk.Stack) -> None:
        key = kms.Key(stack, "Customer")
        secret = secretsmanager.Secret(stack, "Signing", encryption_key=key)
        new_delivery(stack, server=partner(signed(secret)), bucket=bucket(stack))
        assert role_permissions(Template.from_stack(stack))["Customer"] == ["kms:Decrypt"]

    def test_arns_are_texts_and_a_partial_one_has_wildcards_for_its_end(self, stack: cdk.Stack) -> None:
        theirs = bucket(stack)
        delivery = new_delivery(stack, server=partner(signed(ARN)))
        delivery.add_source(theirs, prefix="a/", rules=signed(OTHER_ARN))
        delivery.add_source(theirs, prefix="b/", rules=signed(ARN))
        done = Synthesised(stack)
        assert done.settings.signing_keys == (ARN, OTHER_ARN)
        assert set(secrets_read(stack)) == {"DeliveryCredentials", ARN, f"{OTHER_ARN}-??????"}
        document = document_of(done)
        names = {name: rules.transforms[0].sign_with for name, rules in document.sources.items()}
        assert names == {"1": "key-2", "2": "key-1"}

    def test_names_are_those_of_the_settings(self) -> None:
        environment = {"SSH_HOST": "h", "SSH_PORT": "22", "SSH_SECRET_ARN": "arn"}
        assert Settings.from_environment(environment).signing_keys == ()
        several = {**environment, "SSH_SIGNING_KEYS": f"{ARN},{OTHER_ARN}"}
        assert Settings.from_environment(several).signing_keys == (ARN, OTHER_ARN)


class TestKeys:
    def test_key_that_cannot_be_used_is_refused(self, stack: cdk.Stack) -> None:
        certificate = pysequoia.Tsk.generate("Partner")
        cut = str(certificate.extract_certificate())[:400]
        rules = DeliveryRules(transforms=[OpenPgp(encrypt_to=[PUBLIC, cut])])
        with pytest.raises(
            InvalidRule, match="encrypt_to must be public keys that can be used, and the key is"
        ):
            new_delivery(stack, server=partner(rules))
        delivery = new_delivery(stack, "Other")
        with pytest.raises(InvalidRule, match="is not a public key that can be read"):
            delivery.add_source(bucket(stack), rules=rules)

    def test_expired_key_is_refused_with_its_fingerprint_and_date(self, stack: cdk.Stack) -> None:
        key = pysequoia.Tsk.generate("Partner", validity_seconds=60).extract_certificate()
        rules = DeliveryRules(transforms=[OpenPgp(encrypt_to=[str(key)])])
        later = datetime.now(UTC) + timedelta(days=1)
        with pytest.raises(
            InvalidRule, match=f"{key.fingerprint.upper()} expired on {key.expiration:%Y-%m-%d}"
        ):
            check_keys(stack, rules, now=later)

    @pytest.mark.parametrize(("days", "warnings"), [(29, 1), (31, 0)])
    def test_key_that_expires_within_thirty_days_is_a_warning(
        self, stack: cdk.Stack, days: int, warnings: int
    ) -> None:
        soon = public_key(validity_seconds=days * 86_400)
        rules = DeliveryRules(transforms=[OpenPgp(encrypt_to=[PUBLIC, soon])])
        new_delivery(stack, server=partner(rules), bucket=bucket(stack))
        found = warnings_of(stack, "openPgpKeyExpires")
        assert len(found) == warnings
        assert all("ask the partner for the key that they will use" in each for each in found)

    @pytest.mark.parametrize("again", [PUBLIC, f"\n{PUBLIC}\n"], ids=["same text", "pasted otherwise"])
    def test_recipient_that_is_there_twice_is_refused(self, stack: cdk.Stack, again: str) -> None:
        rules = DeliveryRules(transforms=[OpenPgp(encrypt_to=[PUBLIC, public_key(), again])])
        fingerprint = pysequoia.Cert.from_bytes(PUBLIC.encode()).fingerprint.upper()
        with pytest.raises(
            InvalidRule, match=f"must be different keys, got {fingerprint} as the keys 1 and 3"
        ):
            check_keys(stack, rules)

    def test_machine_without_the_library_is_told(
        self, stack: cdk.Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pysequoia", None)
        with pytest.raises(InvalidRule, match="cannot be checked, since pysequoia cannot be imported"):
            new_delivery(stack, server=partner(ENCRYPTED))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda each: each.name)
@pytest.mark.parametrize("python", ["3.12", "3.13", "3.14"])
def test_layer_has_the_library_of_the_target_and_the_same_bytes_from_uv_and_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: lambda_.Architecture, python: str
) -> None:
    runtime = lambda_.Runtime(f"python{python}", lambda_.RuntimeFamily.PYTHON)
    target = layer_target_of(architecture, runtime)
    zips = []
    installers = list(installation.installers(target))
    for number, installer in enumerate((installers[0], installers[-1])):
        monkeypatch.setattr(installation, "installers", lambda _target, used=installer: iter([used]))
        output = tmp_path / str(number)
        output.mkdir()
        bundling.build(output, target, Bundling.LOCAL)
        write_zip(output, tmp_path / f"{number}.zip")
        zips.append((tmp_path / f"{number}.zip").read_bytes())
    assert installers[0].command != installers[-1].command
    assert zips[0] == zips[1]
    files = hashes(tmp_path / "0")
    version = python.replace(".", "")
    (library,) = (name for name in files if name.endswith(".so"))
    assert library.startswith(f"python/pysequoia/pysequoia.cpython-{version}-")
    assert libraries_for_other_cpus(tmp_path / "0", target) == []
    assert not [name for name in files if name.endswith(".pyc")]
    manifest = json.loads((tmp_path / "0" / target.manifest).read_text())
    assert manifest["fingerprint"] == bundle_builder.fingerprint(find_source(), target)


def test_docker_builds_the_same_layer(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = layer_target_of(lambda_.Architecture.X86_64)
    (source / target.lock).write_text("")
    monkeypatch.setattr(bundling, "find_source", lambda: source)
    asked: list[list[str]] = []

    class Image:
        """Runs the builder as the Lambda build image would."""

        def run(self, *, command: list[str], volumes: Any, working_directory: str, **_: Any) -> None:
            asked.append(command)
            there = {each.container_path: each.host_path for each in volumes}
            options = [
                option.replace("=/source", f"={there['/source']}").replace("=/output", f"={there['/output']}")
                for option in command[1:]
            ]
            folder = tmp_path / "builder"
            shutil.copytree(there[f"{working_directory}/bundle_builder"], folder / "bundle_builder")
            subprocess.run([sys.executable, *options], check=True, cwd=folder)

    monkeypatch.setattr(
        bundling.lambda_,
        "Runtime",
        lambda *_: type("Runtime", (), {"name": "python3.13", "bundling_image": Image()}),
    )
    for way in (Bundling.DOCKER, Bundling.LOCAL):
        (tmp_path / way).mkdir()
        bundling.build(tmp_path / way, target, way)
        write_zip(tmp_path / way, tmp_path / f"{way}.zip")
    assert "--layer" in asked[0]
    assert (tmp_path / "docker.zip").read_bytes() == (tmp_path / "local.zip").read_bytes()


def test_layers_of_other_targets_differ() -> None:
    targets = [
        layer_target_of(architecture, runtime)
        for architecture in ARCHITECTURES
        for runtime in bundling.RUNTIMES
    ]
    assert len({bundle_builder.fingerprint(find_source(), each) for each in targets}) == len(targets)


def test_layer_does_not_change_with_the_functions_code(source: Path) -> None:
    target = layer_target_of(lambda_.Architecture.X86_64)
    before = bundle_builder.fingerprint(source, target)
    (source / "handler.py").write_text("pass\n")
    assert bundle_builder.fingerprint(source, target) == before
    (source / target.lock).write_text("\n")
    assert bundle_builder.fingerprint(source, target) != before
