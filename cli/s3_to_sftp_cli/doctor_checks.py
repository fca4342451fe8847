"""What the function cannot see of itself: whether anything starts it. Only what the operator may read."""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.doctor.report import Check, Outcome
from s3_to_sftp_cli.aws import Aws
from s3_to_sftp_cli.delivery import DeployedDelivery

TRIGGER, CONCURRENCY, NOTIFICATION = "trigger", "concurrency", "notification"

_OFF = ("Disabled", "Disabling")


def checks_from_outside(aws: Aws, delivery: DeployedDelivery) -> list[Check]:
    """Return the checks of what starts the function; none of what the operator may not read."""
    parts: tuple[Callable[[Aws, DeployedDelivery], Iterator[Check]], ...] = (
        _trigger,
        _concurrency,
        _notification,
    )
    found = []
    for part in parts:
        try:
            found += list(part(aws, delivery))
        except (ClientError, BotoCoreError):
            continue  # not allowed, most likely: the function's own checks say more
    return found


def reserved_concurrency(aws: Aws, function: str) -> int | None:
    """Return how many invocations may run at a time; None: no limit of its own, or it may not be read."""
    try:
        answer = aws.client("lambda").get_function_concurrency(FunctionName=function)
    except (ClientError, BotoCoreError):
        return None
    limit: int | None = answer.get("ReservedConcurrentExecutions")
    return limit


def how_to_lift(function: str) -> str:
    """Return the command that ends a reserved concurrency of 0."""
    return f"`aws lambda delete-function-concurrency --function-name {function}` lets it run again."


def _trigger(aws: Aws, delivery: DeployedDelivery) -> Iterator[Check]:
    if delivery.queue_url is None:
        return
    answer = aws.client("lambda").list_event_source_mappings(FunctionName=delivery.function)
    states = [each.get("State", "") for each in answer["EventSourceMappings"]]
    if any(state not in _OFF for state in states):
        yield Check(name=TRIGGER, outcome=Outcome.OK, text="the queue starts the function")
        return
    why = "the trigger is disabled" if states else "no trigger leads from the queue to the function"
    yield Check(
        name=TRIGGER,
        outcome=Outcome.WARNING,
        text=f"nothing is delivered; {why}",
        advice="Deploy it with enabled=True.",
    )


def _concurrency(aws: Aws, delivery: DeployedDelivery) -> Iterator[Check]:
    if reserved_concurrency(aws, delivery.function) == 0:
        yield Check(
            name=CONCURRENCY,
            outcome=Outcome.WARNING,
            text="nothing is delivered; the function's reserved concurrency is 0",
            advice=how_to_lift(delivery.function),
        )


def _notification(aws: Aws, delivery: DeployedDelivery) -> Iterator[Check]:
    buckets = delivery.buckets()
    if not buckets:
        return
    client = aws.client("s3")
    silent = [
        each
        for each in buckets
        if not _leads_here(client.get_bucket_notification_configuration(Bucket=each), delivery)
    ]
    if not silent:
        text = f"{', '.join(buckets)} announce{'s' if len(buckets) == 1 else ''} new objects"
        yield Check(name=NOTIFICATION, outcome=Outcome.OK, text=text)
        return
    yield Check(
        name=NOTIFICATION,
        outcome=Outcome.WARNING,
        text=f"new objects are not seen; {', '.join(silent)} does not notify the queue",
        advice="Deploy the stack again, and see who else sets the notifications of the bucket: each change "
        "replaces those of others.",
    )


def _leads_here(configuration: dict[str, Any], delivery: DeployedDelivery) -> bool:
    """Return whether notifications may reach the function. A topic or EventBridge may do it unseen."""
    if "EventBridgeConfiguration" in configuration or configuration.get("TopicConfigurations"):
        return True
    queue = (delivery.queue_url or "").rpartition("/")[2]
    queues = [each["QueueArn"] for each in configuration.get("QueueConfigurations", ())]
    functions = [each["LambdaFunctionArn"] for each in configuration.get("LambdaFunctionConfigurations", ())]
    return any(arn.endswith(f":{queue}") for arn in queues) or any(
        f":{delivery.function}" in arn for arn in functions
    )
