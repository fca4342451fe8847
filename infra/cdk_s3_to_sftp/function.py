"""The function that delivers, and its event source mapping."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge, acknowledge_long_timeout
from cdk_s3_to_sftp.arguments import is_token, whole_seconds

HANDLER = "s3_to_sftp.handler.lambda_handler"
"""The handler in the bundle."""

FUNCTIONS = 2
"""Concurrent function instances: the lowest maximum concurrency of a mapping. Connections are scarce."""

FIFTEEN_MINUTES = cdk.Duration.minutes(15)
"""Default timeout of an invocation, and the longest that CDK's own rules accept."""

_LONGEST_DESCRIPTION = 256
"""Characters (https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html, Description)."""

_TRACING_MODES = {lambda_.Tracing.ACTIVE: "Active", lambda_.Tracing.PASS_THROUGH: "PassThrough"}

_BATCH_SIZE = 10
"""The largest batch size without a batching window."""


def description_for(host: str) -> str:
    """Return the function's description, cut to Lambda's limit: a DNS name may be nearly as long."""
    description = f"Delivers objects from S3 to {host}"
    return description if is_token(description) else description[:_LONGEST_DESCRIPTION]


def connections_per_function(max_connections: int) -> int:
    """Return how many of the partner's connections each function instance may open."""
    return max(1, max_connections // FUNCTIONS)


def options(
    retry_for: cdk.Duration, receipts_for: cdk.Duration, max_connections: int, *, sha256: bool
) -> dict[str, str]:
    """Return the environment variables of the delivery options."""
    variables = {
        "RETRY_FOR_SECONDS": whole_seconds(retry_for),
        "RECEIPTS_FOR_SECONDS": whole_seconds(receipts_for),
        "SSH_MAX_CONNECTIONS": str(connections_per_function(max_connections)),
    }
    return {**variables, "SSH_SHA256": "true"} if sha256 else variables


def kept_connections(max_connections: int, *, keep: bool | None) -> dict[str, str]:
    """Return the environment variable that makes the function close its connections, if it should."""
    keeps = max_connections > 1 if keep is None else keep
    return {} if keeps else {"SSH_KEEP_CONNECTION": "false"}


def reserved_concurrency(max_connections: int) -> int | None:
    """Return 1 for one connection: the maximum concurrency of a mapping is at least 2."""
    return 1 if max_connections == 1 else None


def trace(function: lambda_.Function, tracing: lambda_.Tracing) -> None:
    """Turn on Lambda's tracing of the function.

    CDK's own argument would add a statement for all resources to the role's default policy.
    """
    resource = function.node.default_child
    if isinstance(resource, lambda_.CfnFunction):
        resource.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode=_TRACING_MODES[tracing])


def deliver_from_queue(
    function: lambda_.Function, queue: sqs.IQueue, *, max_connections: int, enabled: bool
) -> lambda_.EventSourceMapping:
    """Add the event source mapping from the queue to the function."""
    return function.add_event_source_mapping(
        "Deliveries",
        event_source_arn=queue.queue_arn,
        # The small objects of a batch share the round trips of one connection. The function starts none that
        # it could not finish in time, and reports the result of each message separately.
        batch_size=_BATCH_SIZE,
        report_batch_item_failures=True,
        # The default leaves the property out of the template.
        enabled=None if enabled else False,
        max_concurrency=FUNCTIONS if max_connections > 1 else None,
    )


def acknowledge_findings(
    function: lambda_.Function, *, max_connections: int, timeout: cdk.Duration, has_key: bool, has_vpc: bool
) -> None:
    """Acknowledge the findings about the function that the arguments do not resolve."""
    acknowledge(function, suppressions.FUNCTION_RUNTIME, suppressions.FUNCTION_DEAD_LETTERS)
    if not has_key:
        acknowledge(function, suppressions.ENVIRONMENT_KEY)
    if not has_vpc:
        acknowledge(function, suppressions.FUNCTION_VPC)
    if max_connections > 1:
        acknowledge(function, suppressions.FUNCTION_CONCURRENCY)
    if not timeout.is_unresolved() and timeout.to_seconds() > FIFTEEN_MINUTES.to_seconds():
        acknowledge_long_timeout(function)
