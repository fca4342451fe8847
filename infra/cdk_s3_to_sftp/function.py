"""The function that delivers, and its event source mapping."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge, acknowledge_long_timeout
from cdk_s3_to_sftp.arguments import is_token
from cdk_s3_to_sftp.bundling import function_code
from cdk_s3_to_sftp.function_settings import FUNCTIONS, FunctionResources, FunctionSettings
from cdk_s3_to_sftp.permissions import Permissions

_HANDLER = "s3_to_sftp.handler.lambda_handler"
"""The handler in the bundle."""

FIFTEEN_MINUTES = cdk.Duration.minutes(15)
"""Default timeout of an invocation, and the longest that CDK's own rules accept."""

_LONGEST_DESCRIPTION = 256
"""Characters (https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html, Description)."""

_TRACING_MODES = {lambda_.Tracing.ACTIVE: "Active", lambda_.Tracing.PASS_THROUGH: "PassThrough"}

_BATCH_SIZE = 10
"""The largest batch size without a batching window."""


def make_function(
    scope: Construct,
    settings: FunctionSettings,
    resources: FunctionResources,
    *,
    permissions: Permissions,
    encryption_key: kms.IKey | None,
) -> lambda_.Function:
    """Create the function, and grant its role what Lambda itself does with it.

    Args:
        scope: The construct that the function belongs to.
        settings: The arguments that concern it.
        resources: The resources that it uses.
        permissions: Those of its role.
        encryption_key: Encrypts its environment. None: an AWS managed key.
    """
    network = permissions.grant_vpc_access() if settings.vpc else None
    traces = permissions.grant_tracing() if settings.is_traced else None
    groups = settings.security_groups
    function = lambda_.Function(
        scope,
        "Function",
        description=_description_for(settings.server.host),
        runtime=settings.runtime,
        architecture=settings.architecture,
        code=settings.code
        or function_code(
            architecture=settings.architecture, runtime=settings.runtime, bundling=settings.bundling
        ),
        handler=_HANDLER,
        role=permissions.role,
        environment={**settings.variables(), **resources.variables()},
        environment_encryption=encryption_key,
        memory_size=settings.memory_size,
        timeout=settings.timeout,
        vpc=settings.vpc,
        vpc_subnets=settings.vpc_subnets,
        security_groups=list(groups) if groups else None,
        log_group=resources.log_group,
        logging_format=lambda_.LoggingFormat.JSON,
        application_log_level_v2=settings.log_level,
        # The maximum concurrency of a mapping is at least 2.
        reserved_concurrent_executions=1 if settings.max_connections == 1 else None,
        # Deferred and continued objects go through the queue again. Lambda would take that for a runaway
        # loop, and drop the message after about 16 rounds.
        recursive_loop=lambda_.RecursiveLoop.ALLOW,
    )
    _acknowledge_findings(function, settings, has_key=encryption_key is not None)
    if permissions.granted is not permissions.role:
        function.node.add_dependency(permissions.granted)
    for policy in filter(None, (network, traces)):
        function.node.add_dependency(policy)
    if settings.is_traced:
        _trace(function, settings.tracing)
    if settings.vpc:
        permissions.deny_vpc_access_to_code(function)
    return function


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


def _description_for(host: str) -> str:
    """Return the function's description, cut to Lambda's limit: a DNS name may be nearly as long."""
    description = f"Delivers objects from S3 to {host}"
    return description if is_token(description) else description[:_LONGEST_DESCRIPTION]


def _trace(function: lambda_.Function, tracing: lambda_.Tracing) -> None:
    """Turn on Lambda's tracing of the function.

    CDK's own argument would add a statement for all resources to the role's default policy.
    """
    resource = function.node.default_child
    if isinstance(resource, lambda_.CfnFunction):
        resource.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode=_TRACING_MODES[tracing])


def _acknowledge_findings(function: lambda_.Function, settings: FunctionSettings, *, has_key: bool) -> None:
    """Acknowledge the findings about the function that the arguments do not resolve."""
    acknowledge(function, suppressions.FUNCTION_RUNTIME, suppressions.FUNCTION_DEAD_LETTERS)
    if not has_key:
        acknowledge(function, suppressions.ENVIRONMENT_KEY)
    if not settings.vpc:
        acknowledge(function, suppressions.FUNCTION_VPC)
    if settings.max_connections > 1:
        acknowledge(function, suppressions.FUNCTION_CONCURRENCY)
    timeout = settings.timeout
    if not timeout.is_unresolved() and timeout.to_seconds() > FIFTEEN_MINUTES.to_seconds():
        acknowledge_long_timeout(function)
