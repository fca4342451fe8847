"""The schedule on which the function examines the way to the partner."""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

EVENT = {"operation": "doctor", "canary": True}
"""What the function is invoked with. A test compares it with the function's."""


def add_canary(scope: Construct, function: lambda_.Function) -> events.Rule:
    """Invoke the function once a day for an examination.

    Such an invocation is asynchronous. While the function is throttled, as one with a reserved concurrency of
    1 is when it delivers, Lambda keeps the event for up to 6 hours. One that fails is not repeated: each
    examination is a login, and partners count those. The next one comes a day later.

    Args:
        scope: The construct that the rule belongs to.
        function: The function that delivers.
    """
    function.configure_async_invoke(retry_attempts=0)
    return events.Rule(
        scope,
        "Canary",
        description=f"Daily examination of the way to the partner by {scope.node.path}",
        schedule=events.Schedule.rate(cdk.Duration.days(1)),
        targets=[targets.LambdaFunction(function, event=events.RuleTargetInput.from_object(EVENT))],
    )
