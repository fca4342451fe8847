"""The ledger: the table that records what was delivered, and what is in progress."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge
from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.arguments import InvalidArgument, check_same_place, is_made_here
from cdk_s3_to_sftp.resources import DataProtection

ACTIONS = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
"""What the function does with it. A transaction is authorised by the actions that it consists of."""

INDEX = "by-status"
QUERY = ("dynamodb:Query",)
"""What the function needs besides on that index, where rules have a cut-off."""

KEY_ACTIONS = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
"""What DynamoDB requires of principals that use a table with a customer managed key, without its manual's
wildcards."""

_TEXT = dynamodb.AttributeType.STRING

_KEYS = [("pk", "S"), ("sk", "S")]
_EXPIRES = "expires"


def make_ledger(scope: Construct, protection: DataProtection) -> dynamodb.Table:
    """Create the table. `RETAIN` also turns on deletion protection.

    Without the table, the next message of every object would deliver the object again. The default has no
    deletion protection: after a first deployment that failed, CloudFormation could not delete the table
    either, and would be stuck. Point-in-time recovery keeps a backup of a deleted table for 35 days.

    Not a global table: conditional writes decide which invocation sends an object, and they are only
    consistent within one Region.
    """
    table = dynamodb.Table(
        scope,
        "Ledger",
        partition_key=dynamodb.Attribute(name="pk", type=_TEXT),
        sort_key=dynamodb.Attribute(name="sk", type=_TEXT),
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        time_to_live_attribute=_EXPIRES,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        encryption_key=protection.encryption_key,
        deletion_protection=protection.removal_policy is cdk.RemovalPolicy.RETAIN,
        removal_policy=protection.removal_policy,
    )
    # "What failed?", "what is in flight?", "what was delivered that day?": questions of an operator, who
    # then wants to see all attributes. The function queries it only for a cut-off.
    table.add_global_secondary_index(
        index_name=INDEX,
        partition_key=dynamodb.Attribute(name="status", type=_TEXT),
        sort_key=dynamodb.Attribute(name="status_at", type=_TEXT),
        projection_type=dynamodb.ProjectionType.ALL,
    )
    acknowledge(table, suppressions.LEDGER_BACKUP_PLAN)
    protection.acknowledge_aws_managed_key(table, suppressions.LEDGER_KEY)
    return table


def check_ledger(scope: Construct, ledger: dynamodb.ITable | None) -> None:
    """Refuse a table that cannot be the ledger, as far as the app knows its schema.

    Raises:
        InvalidArgument: It cannot.
    """
    if ledger is None:
        return
    check_same_place(
        scope,
        "ledger",
        ledger,
        ledger.table_arn,
        beside="function",
        otherwise="the function would not find it",
    )
    made = ledger.node.default_child
    if not is_made_here(ledger) or not isinstance(made, dynamodb.CfnTable | dynamodb.CfnGlobalTable):
        return
    resolve = cdk.Stack.of(ledger).resolve
    types = {each["attributeName"]: each["attributeType"] for each in resolve(made.attribute_definitions)}
    keys = [(each["attributeName"], types[each["attributeName"]]) for each in resolve(made.key_schema)]
    if keys != _KEYS:
        got = ", ".join(f"{name} ({kind})" for name, kind in keys)
        raise InvalidArgument(
            "ledger",
            "must have the partition key pk and the sort key sk, both strings, got "
            f"{ledger.node.path} with {got}: leave it out, and a table is created",
        )
    if (resolve(made.time_to_live_specification) or {}).get("attributeName") != _EXPIRES:
        warn(
            scope,
            "ledgerForgetsNothing",
            f"The ledger {ledger.node.path} keeps every item and keeps growing: DynamoDB deletes items after "
            f"receipts_for only with time_to_live_attribute='{_EXPIRES}'.",
        )
