"""Refuses a ledger, queue or role that two partners of an app share.

One of them would get, or lose, objects of the other.
"""

import json

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct

from cdk_s3_to_sftp.arguments import InvalidArgument, is_token

_USED_BY = "s3-to-sftp:used-by"
"""Type of the metadata of a resource, and of the app, that names the construct that uses it."""


def claim_ledger(scope: Construct, ledger: dynamodb.ITable) -> dynamodb.ITable:
    """Claim the ledger for one construct, and return it.

    With a shared one, one of two partners would get nothing.

    Raises:
        InvalidArgument: Another construct of the app uses it.
    """
    why = "what the other has delivered would count as delivered here, too"
    _claim(scope, "ledger", "table", ledger, ledger.table_arn, why)
    return ledger


def claim_queue(scope: Construct, queue: sqs.IQueue) -> sqs.IQueue:
    """Claim a queue for one construct, for any purpose, and return it.

    Raises:
        InvalidArgument: Another construct of the app uses it.
    """
    why = "a redrive moves all of its messages, and one partner would get the other's objects"
    _claim(scope, "dead_letter_queue", "queue", queue, queue.queue_arn, why)
    return queue


def claim_role(scope: Construct, role: iam.IRole) -> iam.IRole:
    """Claim the role for one construct, and return it.

    Raises:
        InvalidArgument: Another construct of the app uses it.
    """
    why = "each function could read the files and the login of the other's partner"
    _claim(scope, "role", "role", role, role.role_arn, why)
    return role


def claim_sequence(scope: Construct, name: str, *, server: str) -> None:
    """Claim the numbers of a sequence at a server for one construct. May be repeated.

    Each construct counts in its own ledger.

    Args:
        scope: The construct.
        name: Of the sequence.
        server: Host and port, known at synth.

    Raises:
        InvalidArgument: Another construct of the app has a sequence of this name there.
    """
    named, root = f"sequence {name!r} at {server}", scope.node.root
    other = _user_of(root, named)
    if other is None:
        root.node.add_metadata(_USED_BY, json.dumps({"resource": named, "by": scope.node.path}))
    elif other != scope.node.path:
        raise InvalidArgument(
            "rules",
            f"must not use the sequence {name!r} of {other} at {server}: each construct counts for itself, "
            "and the partner would get numbers twice. Add the source to that construct (add_source), or give "
            "one of them Sequence(name=...) if the partner counts them apart",
        )


def _claim(scope: Construct, argument: str, kind: str, resource: IConstruct, arn: str, why: str) -> None:
    named = name_of(resource, arn)
    if other := _user_of(resource, named) or _user_of(scope.node.root, named):
        raise InvalidArgument(argument, f"must be a {kind} of its own, got the {kind} of {other}: {why}")
    entry = json.dumps({"resource": named, "by": scope.node.path})
    resource.node.add_metadata(_USED_BY, entry)
    if not resource.node.path.startswith(f"{scope.node.path}/"):
        # It may be imported a second time. A resource that is created here has one node only.
        scope.node.root.node.add_metadata(_USED_BY, entry)


def name_of(resource: IConstruct, arn: str) -> str:
    """Return what two imports of one resource have in common: its ARN, or the expression for it."""
    stack = cdk.Stack.of(resource)
    return f"{stack.node.path}: {json.dumps(stack.resolve(arn))}" if is_token(arn) else arn


def _user_of(holder: IConstruct, named: str) -> str | None:
    entries = (json.loads(str(each.data)) for each in holder.node.metadata if each.type == _USED_BY)
    return next((str(each["by"]) for each in entries if each["resource"] == named), None)
