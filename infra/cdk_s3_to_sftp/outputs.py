"""Outputs for operators: commands, names, and the source addresses of connections."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp.delivery_sources import DeliverySources
from cdk_s3_to_sftp.monitoring import Monitoring
from cdk_s3_to_sftp.network import StaticEgress

_LOGIN = '{"username": "NAME", "password": "PASSWORD", "private_key": "", "passphrase": ""}'


class DeliveryOutputs(DeliverySources):
    """Commands and names for the operator of a delivery."""

    vpc: ec2.IVpc | None
    credentials: secretsmanager.ISecret
    queue: sqs.Queue
    ledger: dynamodb.ITable
    log_group: logs.ILogGroup
    event_source_mapping: lambda_.EventSourceMapping
    monitoring: Monitoring

    @property
    def fill_secret_command(self) -> str:
        """The command that writes the login into the secret."""
        return _fill_secret_command(self, self.credentials)

    @property
    def redrive_command(self) -> str:
        """The command that redrives the dead-letter queue."""
        return _redrive_command(self, dead_letter_queue=self.dead_letter_queue, queue=self.queue)

    @property
    def outputs(self) -> dict[str, str]:
        """Output name -> value, as in the outputs of the stock stack."""
        first = {"BucketName": self.bucket.bucket_name} if self._sources else {}
        dashboard = self.monitoring.dashboard
        return {
            **first,
            "SecretArn": self.credentials.secret_arn,
            "FillSecretCommand": self.fill_secret_command,
            "QueueUrl": self.queue.queue_url,
            "DeadLetterQueueUrl": self.dead_letter_queue.queue_url,
            "RedriveCommand": self.redrive_command,
            "LedgerTableName": self.ledger.table_name,
            "FunctionName": self.function.function_name,
            "LogGroupName": self.log_group.log_group_name,
            "EventSourceMappingId": self.event_source_mapping.event_source_mapping_id,
            "SourceAddresses": _addresses_in_words(self.vpc),
            **({"DashboardName": dashboard.dashboard_name} if dashboard else {}),
        }


def _fill_secret_command(scope: Construct, credentials: secretsmanager.ISecret) -> str:
    """The command that writes the login into the secret."""
    return (
        f"aws secretsmanager put-secret-value --region {cdk.Stack.of(scope).region} "
        f"--secret-id {credentials.secret_arn} --secret-string '{_LOGIN}'"
    )


def _redrive_command(scope: Construct, *, dead_letter_queue: sqs.IQueue, queue: sqs.IQueue) -> str:
    """Return the command that redrives the dead-letter queue.

    SQS knows the source queue of messages that it moved itself, but not of those that the function
    dead-lettered: so the command names the queue.
    """
    return (
        f"aws sqs start-message-move-task --region {cdk.Stack.of(scope).region} --source-arn "
        f"{dead_letter_queue.queue_arn} --destination-arn {queue.queue_arn}"
    )


def addresses_of(vpc: ec2.IVpc | None) -> tuple[str, ...]:
    """Return the public source addresses of connections, if the app knows them: those of `StaticEgress`."""
    egress = vpc.node.scope if vpc else None
    return tuple(egress.addresses) if isinstance(egress, StaticEgress) else ()


def _addresses_in_words(vpc: ec2.IVpc | None) -> str:
    """Return the addresses, or why there are no fixed ones."""
    if known := addresses_of(vpc):
        return cdk.Fn.join(", ", list(known))
    if vpc is None:
        return "Not fixed: the function runs outside a VPC. StaticEgress gives it static addresses."
    egress = vpc.node.scope
    if isinstance(egress, StaticEgress):
        return f"The Elastic IPs {cdk.Fn.join(', ', egress.elastic_ips)}"
    return f"The addresses by which traffic leaves {vpc.vpc_id}, such as those of its NAT gateways"


def add_outputs(scope: Construct, outputs: Mapping[str, str]) -> None:
    """Add stack outputs, which the deployment prints."""
    for name, value in outputs.items():
        cdk.CfnOutput(scope, name, value=value)
