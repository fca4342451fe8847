"""The stack of the CloudFormation template: one bucket, one partner, and parameters instead of arguments.

The construct decides some things at synth: the function's concurrency, whether a secret is created, whether
alarms have a topic. Each is synthesised both ways, and the template has a condition where the results differ.
"""

import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns

from cdk_s3_to_sftp import configured_by, suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge
from cdk_s3_to_sftp.bundling import RUNTIME
from cdk_s3_to_sftp.defaults import MAX_CONNECTIONS, STACK_NAME
from cdk_s3_to_sftp.function_settings import connections_per_function
from cdk_s3_to_sftp.outputs import add_outputs
from cdk_s3_to_sftp.resources import KEEP_VERSIONS_FOR, DataProtection, make_bucket
from cdk_s3_to_sftp.s3_to_sftp import S3ToSftp
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.sources import Trigger
from cdk_s3_to_sftp.template_parameters import CONNECTIONS, PARAMETERS, interface
from cdk_s3_to_sftp.template_variants import combine

_PROTECTION = DataProtection(encryption_key=None, removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)

ONE_CONNECTION, EXISTING_SECRET, ALARM_TOPIC = "OneConnection", "ExistingSecret", "AlarmTopic"
"""Conditions of the template."""

_CONDITIONS = {
    ONE_CONNECTION: {"Fn::Equals": [{"Ref": "MaxConnections"}, "1"]},
    f"Not{ONE_CONNECTION}": {"Fn::Not": [{"Fn::Equals": [{"Ref": "MaxConnections"}, "1"]}]},
    EXISTING_SECRET: {"Fn::Not": [{"Fn::Equals": [{"Ref": "ExistingSecretArn"}, ""]}]},
    f"Not{EXISTING_SECRET}": {"Fn::Equals": [{"Ref": "ExistingSecretArn"}, ""]},
    ALARM_TOPIC: {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopicArn"}, ""]}]},
}
"""Not in the stack: their uses are only known when the results are combined."""

_BY_NUMBER, _PER_FUNCTION = "Connections", "PerFunction"


class TemplateStack(cdk.Stack):
    """One variant of the template.

    Attributes:
        delivery: The construct.

    Args:
        app: The app.
        architecture: CPU of the function.
        runtime: Python of the function.
        bundle_key: Default of the parameter `BundleKey`.
        max_connections: The parameter `MaxConnections`, if it changes more than a variable.
        existing_secret: Whether `ExistingSecretArn` is set.
        alarm_topic: Whether `AlarmTopicArn` is set.
    """

    def __init__(
        self,
        app: cdk.App,
        *,
        architecture: lambda_.Architecture,
        runtime: lambda_.Runtime,
        bundle_key: str,
        max_connections: int = MAX_CONNECTIONS,
        existing_secret: bool = False,
        alarm_topic: bool = False,
    ) -> None:
        # It has no assets, and requires neither a bootstrap stack nor roles in the account.
        super().__init__(app, STACK_NAME, synthesizer=cdk.BootstraplessSynthesizer())
        self.template_options.template_format_version = "2010-09-09"
        self.template_options.description = (
            f"S3 to SFTP {version('cdk-s3-to-sftp')}: delivers every object of a bucket to a partner's SFTP "
            "server."
        )
        self.template_options.metadata = {"AWS::CloudFormation::Interface": interface()}
        self._parameters = {name: each.add_to(self, name) for name, each in PARAMETERS.items()}
        self._parameters["BundleKey"].default = bundle_key
        self.delivery = S3ToSftp(
            self,
            "Delivery",
            server=self._server(),
            bucket=self._bucket(),
            prefix=self._text("Prefix"),
            # An S3 notification would need a URL-encoded prefix, and a custom resource to write it.
            trigger=Trigger.EVENTBRIDGE,
            credentials=self._secret() if existing_secret else None,
            max_connections=max_connections,
            alarm_topic=self._topic() if alarm_topic else None,
            architecture=architecture,
            runtime=runtime,
            code=lambda_.Code.from_cfn_parameters(
                bucket_name_param=self._parameters["BundleBucket"],
                object_key_param=self._parameters["BundleKey"],
            ),
        )
        self._set_connections()
        self._grant_key_of_secret()
        self._acknowledge_findings()
        add_outputs(self, self.delivery.outputs)

    def _text(self, name: str) -> str:
        return self._parameters[name].value_as_string

    def _server(self) -> SftpServer:
        return SftpServer(
            self._text("Host"),
            port=self._parameters["Port"].value_as_number,  # type: ignore[arg-type]  # a Token
            directory=self._text("Directory"),
            host_keys=[cdk.Fn.join("\n", self._parameters["HostKey"].value_as_list)],
        )

    def _bucket(self) -> s3.Bucket:
        bucket = make_bucket(self, _PROTECTION, keep_versions_for=KEEP_VERSIONS_FOR)
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)  # noqa: S101 -- for mypy
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
                event_bridge_enabled=True
            )
        )
        return bucket

    def _secret(self) -> secretsmanager.ISecret:
        return secretsmanager.Secret.from_secret_complete_arn(
            self, "ExistingCredentials", self._text("ExistingSecretArn")
        )

    def _topic(self) -> sns.ITopic:
        return sns.Topic.from_topic_arn(self, "Topic", self._text("AlarmTopicArn"))

    def _set_connections(self) -> None:
        """Set the share of each function by a mapping: CloudFormation cannot divide."""
        shares = {
            str(number): {_PER_FUNCTION: str(connections_per_function(number))} for number in CONNECTIONS
        }
        table = cdk.CfnMapping(self, _BY_NUMBER, mapping=shares)
        share = table.find_in_map(self._text("MaxConnections"), _PER_FUNCTION)
        self.delivery.function.add_environment("SSH_MAX_CONNECTIONS", share)
        self.delivery.function.add_environment(configured_by.VARIABLE, configured_by.TEMPLATE)

    def _grant_key_of_secret(self) -> None:
        key = self._text("ExistingSecretKeyArn")
        policy = iam.Policy(
            self,
            "KeyOfSecret",
            roles=[self.delivery.role],
            statements=[iam.PolicyStatement(actions=["kms:Decrypt"], resources=[key])],
        )
        acknowledge(policy, suppressions.ROLE_POLICY)
        resource = policy.node.default_child
        assert isinstance(resource, cdk.CfnResource)  # noqa: S101 -- for mypy
        resource.cfn_options.condition = cdk.CfnCondition(
            self, "ExistingSecretKey", expression=cdk.Fn.condition_not(cdk.Fn.condition_equals(key, ""))
        )

    def _acknowledge_findings(self) -> None:
        findings = {
            "W2001": "Another variant uses the parameter.",
            "W2509": "An ARN is no secret.",
        }
        if validations := getattr(cdk, "Validations", None):  # older versions do not validate
            for rule, reason in findings.items():
                validations.of(self).acknowledge(
                    cdk.Acknowledgment(id=f"CloudFormation-Validate::{rule}", reason=reason)
                )


def synthesise(**arguments: Any) -> dict[str, Any]:
    """Return the template of a `TemplateStack` with these arguments."""
    with tempfile.TemporaryDirectory() as folder:
        app = cdk.App(outdir=folder, analytics_reporting=False)
        TemplateStack(app, **arguments)
        template: dict[str, Any] = app.synth().get_stack_by_name(STACK_NAME).template
    return template


def build_template(
    *, architecture: lambda_.Architecture, runtime: lambda_.Runtime = RUNTIME, bundle_key: str
) -> dict[str, Any]:
    """Return the template for every choice of its parameters.

    Args:
        architecture: CPU of the function.
        runtime: Python of the function.
        bundle_key: Default of the parameter `BundleKey`.
    """
    stack = {"architecture": architecture, "runtime": runtime, "bundle_key": bundle_key}
    variants: Mapping[str, dict[str, Any]] = {
        ONE_CONNECTION: {"max_connections": 1},
        EXISTING_SECRET: {"existing_secret": True},
        ALARM_TOPIC: {"alarm_topic": True},
    }
    template = combine(
        synthesise(**stack), {name: synthesise(**stack, **more) for name, more in variants.items()}
    )
    return {**template, "Conditions": {**template["Conditions"], **_CONDITIONS}}
