"""The role of the function: created, or passed in."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge


def make_role(scope: Construct, partner: str) -> iam.Role:
    """Create a role that only Lambda can assume."""
    role = iam.Role(
        scope,
        "Role",
        description=f"Role of the function that delivers objects from S3 to {partner}",
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
    )
    # The policy of a role that is passed in may belong to others, whose findings are not ours to acknowledge.
    acknowledge(role, suppressions.ROLE_POLICY)
    return role


def role_to_grant(scope: Construct, role: iam.IRole) -> iam.IRole:
    """Return the role, imported if another stack creates it.

    Otherwise its policy in that stack would name resources of this one, whose function needs the role: a
    cycle. It is imported by name: CDK cannot parse a name with a path from an ARN that is only known at
    deployment.
    """
    if not isinstance(role, iam.Role) or cdk.Stack.of(role).node.addr == cdk.Stack.of(scope).node.addr:
        return role
    imported = iam.Role.from_role_name(scope, "RoleOfAnotherStack", role.role_name)
    acknowledge(imported, suppressions.ROLE_POLICY)
    return imported
