"""The schedule on which the function looks for objects that have missed their cut-off."""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

EVENT = {"operation": "cut-off"}
"""What the function is invoked with. A test compares it with the function's."""


def add_cut_off_schedule(scope: Construct, function: lambda_.Function) -> events.Rule:
    """Let the function look every 15 minutes: also while nothing is delivered, and nothing retried.

    Args:
        scope: The construct that the rule belongs to.
        function: The function that delivers.
    """
    return events.Rule(
        scope,
        "CutOff",
        description=f"Looks for objects of {scope.node.path} that have missed their cut-off",
        schedule=events.Schedule.rate(cdk.Duration.minutes(15)),
        targets=[targets.LambdaFunction(function, event=events.RuleTargetInput.from_object(EVENT))],
    )
