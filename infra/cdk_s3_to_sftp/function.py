"""The function that delivers, and what hands messages to it."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge, acknowledge_long_timeout
from cdk_s3_to_sftp.arguments import is_token, whole_seconds

HANDLER = "s3_to_sftp.handler.lambda_handler"
"""Where Lambda begins in the bundle."""

FUNCTIONS = 2
"""Functions at a time: the fewest that a mapping can be held to. What is scarce are connections."""

FIFTEEN_MINUTES = cdk.Duration.minutes(15)
"""As long as an invocation may take by default, and as CDK's own rules know."""

_LONGEST_DESCRIPTION = 256
"""Characters (https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html, Description)."""

_TRACING_MODES = {lambda_.Tracing.ACTIVE: "Active", lambda_.Tracing.PASS_THROUGH: "PassThrough"}

_BATCH_SIZE = 10
"""The most that SQS hands over without waiting for more."""


def description_for(host: str) -> str:
    """What Lambda takes of it: a name of DNS may be nearly as long as all that it takes."""
    description = f"Delivers objects from S3 to {host}"
    return description if is_token(description) else description[:_LONGEST_DESCRIPTION]


def connections_per_function(max_connections: int) -> int:
    """How many of the connections that the partner allows each of the functions may open."""
    return max(1, max_connections // FUNCTIONS)


def options(
    retry_for: cdk.Duration, receipts_for: cdk.Duration, max_connections: int, *, sha256: bool
) -> dict[str, str]:
    """Variables of the environment that say how to deliver."""
    variables = {
        "RETRY_FOR_SECONDS": whole_seconds(retry_for),
        "RECEIPTS_FOR_SECONDS": whole_seconds(receipts_for),
        "SSH_MAX_CONNECTIONS": str(connections_per_function(max_connections)),
    }
    return {**variables, "SSH_SHA256": "true"} if sha256 else variables


def kept_connections(max_connections: int, *, keep: bool | None) -> dict[str, str]:
    """The variable that has the function close its connections, where it should."""
    keeps = max_connections > 1 if keep is None else keep
    return {} if keeps else {"SSH_KEEP_CONNECTION": "false"}


def reserved_concurrency(max_connections: int) -> int | None:
    """One, for one connection: the concurrency of a mapping starts at 2."""
    return 1 if max_connections == 1 else None


def trace(function: lambda_.Function, tracing: lambda_.Tracing) -> None:
    """Have Lambda trace the function.

    CDK's own argument would put a statement for all resources among those of the role's default policy.
    """
    resource = function.node.default_child
    if isinstance(resource, lambda_.CfnFunction):
        resource.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode=_TRACING_MODES[tracing])


def deliver_from_queue(
    function: lambda_.Function, queue: sqs.IQueue, *, max_connections: int, enabled: bool
) -> lambda_.EventSourceMapping:
    """Have Lambda hand the messages of the queue to the function."""
    return function.add_event_source_mapping(
        "Deliveries",
        event_source_arn=queue.queue_arn,
        # The small objects of a batch share the round trips of one connection. The function starts
        # none that it could not finish in its time, and answers for each message by itself.
        batch_size=_BATCH_SIZE,
        report_batch_item_failures=True,
        # Nothing in the template where nothing was said.
        enabled=None if enabled else False,
        max_concurrency=FUNCTIONS if max_connections > 1 else None,
    )


def acknowledge_findings(
    function: lambda_.Function, *, max_connections: int, timeout: cdk.Duration, has_key: bool, has_vpc: bool
) -> None:
    """Accept about the function what the arguments do not take away."""
    acknowledge(function, suppressions.FUNCTION_RUNTIME, suppressions.FUNCTION_DEAD_LETTERS)
    if not has_key:
        acknowledge(function, suppressions.ENVIRONMENT_KEY)
    if not has_vpc:
        acknowledge(function, suppressions.FUNCTION_VPC)
    if max_connections > 1:
        acknowledge(function, suppressions.FUNCTION_CONCURRENCY)
    if not timeout.is_unresolved() and timeout.to_seconds() > FIFTEEN_MINUTES.to_seconds():
        acknowledge_long_timeout(function)
