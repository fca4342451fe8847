"""The partner's rules, in a layer of the function: they may be larger than its environment.

The function reads the file without network and without a permission, whether its code is bundled or prebuilt.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3_assets as assets
from constructs import Construct, IConstruct

from cdk_s3_to_sftp.arguments import is_token
from cdk_s3_to_sftp.openpgp import signing_secrets, with_names_of_secrets
from cdk_s3_to_sftp.sources import Source
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument

_LONGEST_DESCRIPTION = 256
"""Characters (https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html, Description)."""

_READABLE = 0o644
"""Lambda unpacks files as they are, and the function is neither their owner nor in their group."""


def names_of_rules(sources: Sequence[Source]) -> Mapping[DeliveryRules, str]:
    """Return what the document calls the rules that sources have of their own: equal ones have one name."""
    own = dict.fromkeys(source.rules for source in sources if source.rules is not None)
    return {rules: str(number) for number, rules in enumerate(own, start=1)}


def rules_document(partner: DeliveryRules | None, sources: Sequence[Source]) -> RulesDocument | None:
    """Return all rules of a partner; None: there are none."""
    names = names_of_rules(sources)
    if partner is None and not names:
        return None
    secrets = signing_secrets(all_rules(partner, sources))
    return RulesDocument(
        partner=None if partner is None else with_names_of_secrets(partner, secrets),
        sources={name: with_names_of_secrets(rules, secrets) for rules, name in names.items()},
    )


def all_rules(partner: DeliveryRules | None, sources: Sequence[Source]) -> list[DeliveryRules]:
    """Return the rules of the partner, and those that sources have of their own."""
    return [each for each in (partner, *(source.rules for source in sources)) if each is not None]


class RulesLayer(Construct):
    """A layer of one file, whose content may change until the app is synthesised.

    Attributes:
        document: What the file will hold.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 -- what every construct calls it
        *,
        document: RulesDocument,
        function: lambda_.Function,
        partner: str,
    ) -> None:
        super().__init__(scope, id)
        self.document = document
        description = f"Rules for files to {partner}"
        # Not CDK's LayerVersion: it uploads what it is created with, also if that is replaced later.
        version = lambda_.CfnLayerVersion(
            self,
            "Resource",
            content=lambda_.CfnLayerVersion.ContentProperty(s3_bucket="", s3_key=""),
            description=description if is_token(description) else description[:_LONGEST_DESCRIPTION],
        )
        function.add_layers(lambda_.LayerVersion.from_layer_version_arn(self, "Version", version.ref))
        cdk.Aspects.of(version).add(_Filling(self), priority=cdk.AspectPriority.MUTATING)

    def fill(self, version: lambda_.CfnLayerVersion) -> None:
        """Give the layer its file, as an asset."""
        digest = self.document.digest
        if self.node.try_find_child(digest):
            return
        directory = Path(cdk.FileSystem.mkdtemp("s3-to-sftp-rules-"))
        _write(self.document, directory)
        asset = assets.Asset(self, digest, path=str(directory))
        version.content = lambda_.CfnLayerVersion.ContentProperty(
            s3_bucket=asset.s3_bucket_name, s3_key=asset.s3_object_key
        )
        asset.add_resource_metadata(version, "Content")
        # Without staging (`cdk synth --no-staging`) CDK refers to the files where they are.
        if asset.asset_path != str(directory):
            shutil.rmtree(directory)


@jsii.implements(cdk.IAspect)
class _Filling:
    """Fills the layer when the app is complete, so that nothing is uploaded that a later source replaces."""

    def __init__(self, layer: RulesLayer) -> None:
        self._layer = layer

    def visit(self, node: IConstruct) -> None:
        if isinstance(node, lambda_.CfnLayerVersion):
            self._layer.fill(node)


def _write(document: RulesDocument, directory: Path) -> None:
    file = directory / "python" / PACKAGE / FILE
    file.parent.mkdir(parents=True)
    file.write_text(document.as_text(), encoding="utf-8", newline="\n")
    file.chmod(_READABLE)
