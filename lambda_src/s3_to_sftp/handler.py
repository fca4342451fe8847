"""The Lambda entry point: the only module that knows Lambda's events, context and batch response."""

import dataclasses
import functools
import logging
import os
import warnings
from collections.abc import Sequence
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_to_sftp.app import App, build_app
from s3_to_sftp.configured_by import in_words_of_author
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.errors import AlreadyGone, ConfigurationError, DeliveryError, Disposition, Superseded
from s3_to_sftp.queue.disposition import Failure
from s3_to_sftp.queue.message_queue import Message
from s3_to_sftp.s3.batch_operations import BatchJob, is_batch_job
from s3_to_sftp.s3.envelopes import Announced, is_from_queue, read_message, read_notification
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.settings import Settings
from s3_to_sftp.state.receipt import Receipt

logger = Logger(service="s3-to-sftp")
metrics = Metrics(namespace="S3ToSftp", service="s3-to-sftp")
# The other modules log with the standard library. Lambda's text format would hide what is below WARNING.
logging.getLogger("s3_to_sftp").setLevel(logging.INFO)
# With the log level DEBUG, Lambda's runtime gives it to all loggers. These would then log what AWS answers:
# the login, as Secrets Manager returns it, and the contents of objects.
for _library in ("boto3", "botocore", "s3transfer", "urllib3"):
    logging.getLogger(_library).setLevel(logging.INFO)
# An invocation that has only test events or folder markers to acknowledge counts nothing.
warnings.filterwarnings("ignore", "No application metrics to publish")

_LEVELS = {
    Disposition.PERMANENT: logger.error,
    Disposition.PARTNER: logger.error,
    Disposition.RETRY: logger.warning,
}
"""Waiting, going on and having nothing to do are the ordinary course of things: logged as information."""


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
def lambda_handler(
    event: dict[str, Any], context: LambdaContext
) -> PartialItemFailureResponse | dict[str, Any] | None:
    """Deliver what the event announces.

    Args:
        event: A batch of SQS messages that hold what S3 announces, an announcement itself (an S3
            notification, or an EventBridge event of S3, also inside a message of SNS), or a task of S3
            Batch Operations.
        context: Lambda's context.

    Returns:
        For SQS the partial batch response: the messages to put back. For S3 Batch Operations what came of
        each task. Otherwise nothing.

    Raises:
        DeliveryError: No queue: an object was not delivered; Lambda's own retry brings the event again.
    """
    # Several partners in one account: each has a function, and each function metrics of its own.
    metrics.set_default_dimensions(function_name=context.function_name)
    try:
        if is_from_queue(event):
            return _deliver_messages(event, context)
        if is_batch_job(event):
            return _deliver_tasks(event, context)
        announced = _reported(read_notification(event))
        for error in (*_deliver(list(announced.objects), context).values(), announced.error):
            if error is not None and not _is_settled(error):
                raise error
        return None
    finally:
        _flush()


def _deliver_messages(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    said = {record["messageId"]: _announced_by(record) for record in event["Records"]}
    errors = _deliver([ref for announced in said.values() for ref in announced.objects], context)

    def settle(record: SQSRecord) -> None:
        announced = said[record.message_id]
        failures: list[Failure] = [(ref, errors[ref]) for ref in announced.objects if ref in errors]
        # Each object has been judged by itself; what names none is judged with the message.
        if announced.error is not None:
            failures.append((None, announced.error))
        if not _settle(record.raw_event, failures):
            raise _ReturnedToQueueError

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event=event, record_handler=settle, processor=processor, context=context)


class _ReturnedToQueueError(Exception):
    """The message is not acknowledged."""


def _settle(record: dict[str, Any], failures: Sequence[Failure]) -> bool:
    """Say whether the message may leave the queue."""
    function = _function_or_error()
    if isinstance(function, App) and function.message_disposition is not None:
        return function.message_disposition.settle(Message.from_record(record), failures)
    # No queue is configured to act on: SQS' own visibility and redrive policy do what they can.
    return all(_is_settled(error) for _, error in failures)


def _is_settled(error: Exception) -> bool:
    return isinstance(error, DeliveryError) and error.disposition is Disposition.SETTLED


def _announced_by(record: dict[str, Any]) -> Announced:
    announced = _reported(read_message(record.get("body")), message_id=record["messageId"])
    if not Message.from_record(record).is_operator_resend:
        return announced
    objects = tuple(dataclasses.replace(ref, resend=True) for ref in announced.objects)
    return dataclasses.replace(announced, objects=objects)


def _reported(announced: Announced, **about: str) -> Announced:
    if announced.error is not None:
        _report_failure(announced.error, **about)
    return announced


def _deliver_tasks(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Deliver the objects of S3 Batch Operations, and answer for each.

    Raises:
        EventError: Nobody could tell which answer belongs to what: the job counts it as failed.
    """
    try:
        job = BatchJob.from_event(event)
    except DeliveryError as error:
        _report_failure(error)
        raise
    refs = [task.named for task in job.tasks if isinstance(task.named, ObjectRef)]
    errors = _deliver(refs, context)
    outcomes: dict[str, Exception | None] = {}
    for task in job.tasks:
        if isinstance(task.named, ObjectRef):
            outcomes[task.id] = errors.get(task.named)
        else:
            _report_failure(task.named, task_id=task.id)
            outcomes[task.id] = task.named
    return job.answer(outcomes)


def _deliver(refs: list[ObjectRef], context: LambdaContext) -> dict[ObjectRef, Exception]:
    """Try every object and return the errors: one bad object never costs the others."""
    function = _function_or_error()
    if isinstance(function, ConfigurationError):  # no object can be delivered
        for ref in refs:
            _Report().not_delivered(function, ref)
        return dict.fromkeys(refs, function)
    function.request_id = context.aws_request_id
    deadline = Deadline(lambda: context.get_remaining_time_in_millis() / 1000)
    if deadline.seconds < function.longest_reply:
        _warn_of_short_timeout(function)
    return function.deliveries.deliver(refs, deadline)


def _warn_of_short_timeout(function: App) -> None:
    """Say beforehand what nobody could say afterwards. Once per environment: Lambda makes a new one then.

    No reason to refuse: most partners answer at once.
    """
    logger.warning(
        "the function's timeout is shorter than the %s s that the partner may take for one reply "
        "(SSH_REPLY_TIMEOUT): where he is silent, Lambda ends the function before it can say so",
        f"{function.longest_reply:g}",
        extra={"hint": in_words_of_author("Raise the timeout of the function, or lower SSH_REPLY_TIMEOUT.")},
    )
    function.longest_reply = 0


def _flush() -> None:
    function = _function_or_error()
    if isinstance(function, App):
        function.announcements.flush()


class _Report:
    """What the log and the metrics say of each object."""

    def delivered(self, receipt: Receipt) -> None:
        """Say that an object stands under its final name."""
        metrics.add_metric("Delivered", MetricUnit.Count, 1)
        metrics.add_metric("DeliveredBytes", MetricUnit.Bytes, receipt.size)
        metrics.add_metric("DeliverySeconds", MetricUnit.Seconds, receipt.seconds)
        logger.info(
            "delivered",
            extra={
                "object": str(receipt.ref),
                "remote_path": receipt.remote_path,
                "bytes": receipt.size,
                "checksum": f"{receipt.checksum_algorithm}:{receipt.checksum}",
                "streams": receipt.streams,
                "seconds": round(receipt.seconds, 3),
                "attempt": receipt.attempt,
                "host_key": receipt.host_key_fingerprint,
            },
        )

    def not_delivered(self, error: Exception, ref: ObjectRef) -> None:
        """Say why an object does not."""
        if isinstance(error, Superseded):
            metrics.add_metric("Superseded", MetricUnit.Count, 1)
        if isinstance(error, AlreadyGone):
            metrics.add_metric("Gone", MetricUnit.Count, 1)
        if isinstance(error, DeliveryError):
            _report_failure(error, object=str(ref))
        else:
            metrics.add_metric("Failed", MetricUnit.Count, 1)
            logger.error("not delivered: unexpected error", exc_info=error, extra={"object": str(ref)})

    def breaker(self, *, is_open: bool) -> None:
        """Count 1 for a partner who has its circuit breaker open, 0 for one who takes files."""
        metrics.add_metric("CircuitBreakerOpen", MetricUnit.Count, int(is_open))

    def deferred(self, *, age: float) -> None:
        """Count a message that stays in the queue, and say how long it has been there."""
        metrics.add_metric("Deferred", MetricUnit.Count, 1)
        # SQS' own age of the oldest message leaves out what was received three times.
        metrics.add_metric("WaitingSeconds", MetricUnit.Seconds, age)

    def dead_lettered(self) -> None:
        """Count a message that went to the dead-letter queue."""
        metrics.add_metric("DeadLettered", MetricUnit.Count, 1)


def _report_failure(error: DeliveryError, **about: str) -> None:
    is_failure = error.disposition in _LEVELS
    if is_failure:
        metrics.add_metric("Failed", MetricUnit.Count, 1)
    log = _LEVELS.get(error.disposition, logger.info)
    log(
        f"not delivered: {error}" if is_failure else str(error),
        extra={
            "error": type(error).__name__,
            "reason": error.reason,
            "hint": error.hint,
            "disposition": error.disposition.value,
            **about,
        },
    )


def _function_or_error() -> App | ConfigurationError:
    try:
        return _function()
    except ConfigurationError as error:
        return error


@functools.cache
def _function() -> App:
    """Build what outlives an invocation: clients and warm connections. Built once per environment."""
    return build_app(Settings.from_environment(os.environ), reporter=_Report(), new_client=boto3.client)
