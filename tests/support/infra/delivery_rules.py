"""Rules of partners, and what an app with rules writes."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import Companion, DeliveryRules, S3ToSftp, Sequence, SftpServer, Source
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from s3_to_sftp.settings import Settings
from tests.infra.templates import new_delivery
from tests.support.infra.keys import ED25519

DATED = DeliveryRules(name="{stem}_{event_time:%Y%m%d}{ext}")
NUMBERED = DeliveryRules(name="{sequence:06d}.csv", sequence=Sequence())
TAGGED = DeliveryRules(name="{tag[partner]}/{name}", companions=[Companion.checksum("sha256")])


def partner(rules: DeliveryRules | None = None, **arguments: Any) -> SftpServer:
    return SftpServer("sftp.partner.example", host_keys=[ED25519], rules=rules, **arguments)


class Synthesised:
    """An app with one stack, `Test`, that has been synthesised into a directory."""

    def __init__(self, stack: cdk.Stack) -> None:
        app = stack.node.root
        assert isinstance(app, cdk.App)
        self.directory = Path(app.synth().directory)
        self.template: dict[str, Any] = json.loads((self.directory / "Test.template.json").read_text())

    def resources(self, kind: str) -> dict[str, Any]:
        found = self.template["Resources"].items()
        return {name: each for name, each in found if each["Type"] == kind}

    @property
    def assets(self) -> list[Path]:
        """What a deployment uploads, without the template and what was not bundled."""
        written = json.loads((self.directory / "Test.assets.json").read_text())["files"].values()
        paths = [self.directory / each["source"]["path"] for each in written]
        return [path for path in paths if path.name.startswith("asset.")]

    @property
    def rules_file(self) -> Path:
        """The only file of the only layer."""
        (layer,) = self.resources("AWS::Lambda::LayerVersion").values()
        (asset,) = self.assets
        assert layer["Properties"]["Content"]["S3Key"] == f"{asset.name.removeprefix('asset.')}.zip"
        (file,) = (path for path in asset.rglob("*") if path.is_file())
        assert file.relative_to(asset) == Path("python", PACKAGE, FILE)
        return file

    @property
    def document(self) -> RulesDocument:
        return RulesDocument.from_text(self.rules_file.read_text())

    @property
    def variables(self) -> dict[str, Any]:
        (function,) = [
            each
            for each in self.resources("AWS::Lambda::Function").values()
            if each["Properties"]["Handler"] == "s3_to_sftp.handler.lambda_handler"
        ]
        found: dict[str, Any] = function["Properties"]["Environment"]["Variables"]
        return found

    @property
    def settings(self) -> Settings:
        texts = {name: value for name, value in self.variables.items() if isinstance(value, str)}
        return Settings.from_environment({**texts, "SSH_SECRET_ARN": "arn"})


def bucket(stack: cdk.Stack, name: str = "one") -> s3.IBucket:
    return s3.Bucket.from_bucket_name(stack, f"Bucket-{name}", name)


def with_rules(stack: cdk.Stack, directory: str | None = "/inbox", **rules: Any) -> S3ToSftp:
    """Return a delivery of `in/*.csv` with these rules."""
    server = partner(DeliveryRules(**rules), directory=directory)
    return new_delivery(stack, server=server, sources=[Source(bucket(stack), prefix="in/", suffix=".csv")])
