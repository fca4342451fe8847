"""The Lambda entry point: the only module that knows Lambda's events, context and batch response."""

import functools
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from s3_to_sftp.credentials import Credentials, CredentialSource, FixedCredentials, SecretCredentials
from s3_to_sftp.delivery import SMALL_BYTES, Delivery, Outcome, Receipt
from s3_to_sftp.errors import ConfigurationError, DeadlineTooClose, DeliveryError, Disposition
from s3_to_sftp.events import ObjectRef, is_from_queue, objects_in_message, objects_in_notification
from s3_to_sftp.settings import Settings
from s3_to_sftp.sftp.connection import Timeouts
from s3_to_sftp.sftp.partner import Partner

logger = Logger(service="s3-to-sftp")
metrics = Metrics(namespace="S3ToSftp", service="s3-to-sftp")
# The other modules log with the standard library. Lambda's text format would hide what is below WARNING.
logging.getLogger("s3_to_sftp").setLevel(logging.INFO)
# An invocation that has only test events or folder markers to acknowledge counts nothing.
warnings.filterwarnings("ignore", "No application metrics to publish")

_S3_CONFIG = Config(
    connect_timeout=10,
    read_timeout=30,
    max_pool_connections=64,  # every lane reads ahead
    response_checksum_validation="when_required",  # we compute the CRC ourselves, of all ranges together
)

_START_RESERVE_SECONDS = 20
"""A delivery that has less time than this left is not started: it could not even clean up."""

_EXPECTED_BYTES_PER_SECOND = 5e6
"""On the slow side of what partners take: an object that is put off needlessly loses less than a batch."""


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse | None:
    """Deliver what the event announces.

    Args:
        event: A batch of SQS messages that hold S3 notifications, or an S3 notification itself.
        context: Lambda's context.

    Returns:
        For SQS the partial batch response: the messages to put back. For S3 nothing.

    Raises:
        DeliveryError: S3 event: an object was not delivered; Lambda's own retry brings the event again.
    """
    if is_from_queue(event):
        return _deliver_messages(event, context)
    for error in _deliver_all(_announced(objects_in_notification, event), context).values():
        raise error
    return None


def _deliver_messages(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    refs_of = {record["messageId"]: _refs_or_error(record) for record in event["Records"]}
    announced = [ref for refs in refs_of.values() if isinstance(refs, list) for ref in refs]
    errors = _deliver_all(announced, context)

    def settle(record: SQSRecord) -> None:
        refs = refs_of[record.message_id]
        if isinstance(refs, DeliveryError):
            raise refs
        for ref in refs:
            if ref in errors:
                raise errors[ref]

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event=event, record_handler=settle, processor=processor, context=context)


def _refs_or_error(record: dict[str, Any]) -> list[ObjectRef] | DeliveryError:
    try:
        return _announced(objects_in_message, record.get("body"), message_id=record["messageId"])
    except DeliveryError as error:
        return error


def _announced(parse: Callable[[Any], list[ObjectRef]], message: object, **about: str) -> list[ObjectRef]:
    try:
        return parse(message)
    except DeliveryError as error:
        _report_failure(error, **about)
        raise


def _deliver_all(refs: list[ObjectRef], context: LambdaContext) -> dict[ObjectRef, Exception]:
    """Try every object and return the errors: one bad object never costs the others."""
    errors: dict[ObjectRef, Exception] = {}
    for ref, outcome in _outcomes(refs, context):
        if isinstance(outcome, Exception):
            errors[ref] = outcome
            _report_error(outcome, ref)
        else:
            _report_delivered(outcome)
    return errors


def _outcomes(refs: list[ObjectRef], context: LambdaContext) -> Iterator[Outcome]:
    try:
        delivery = _delivery()
    except ConfigurationError as error:  # no object can be delivered
        yield from ((ref, error) for ref in refs)
    else:
        yield from delivery.deliver_all(refs, before_each=_TimeLeft(context).insist)


def _report_error(error: Exception, ref: ObjectRef) -> None:
    if isinstance(error, DeliveryError):
        _report_failure(error, object=str(ref))
    else:
        metrics.add_metric("Failed", MetricUnit.Count, 1)
        logger.error("not delivered: unexpected error", exc_info=error, extra={"object": str(ref)})


class _TimeLeft:
    """Starts no delivery that would take the rest of its batch with it when the invocation ends."""

    def __init__(self, context: LambdaContext) -> None:
        self._context = context
        self._first = True

    def insist(self, ref: ObjectRef) -> None:
        """Insist that the object can be delivered in the time that is left.

        Raises:
            DeadlineTooClose: It cannot. The first large object of an invocation has all the time that there
                is, and is only refused when that is nothing: however large, it must have its turn some time.
        """
        is_large = ref.size is None or ref.size > SMALL_BYTES
        transfer = (ref.size or 0) / _EXPECTED_BYTES_PER_SECOND if is_large and not self._first else 0
        if self._context.get_remaining_time_in_millis() / 1000 < _START_RESERVE_SECONDS + transfer:
            raise DeadlineTooClose(
                f"{ref} was not started: the invocation would end first.", hint="It is tried again."
            )
        self._first = self._first and not is_large


def _report_delivered(receipt: Receipt) -> None:
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
            "lanes": receipt.lanes,
            "seconds": round(receipt.seconds, 3),
            "host_key": receipt.host_key_fingerprint,
        },
    )


def _report_failure(error: DeliveryError, **about: str) -> None:
    metrics.add_metric("Failed", MetricUnit.Count, 1)
    severity = logger.warning if error.disposition is Disposition.RETRY else logger.error
    severity(
        f"not delivered: {error}",
        extra={
            "error": type(error).__name__,
            "reason": error.reason,
            "hint": error.hint,
            "disposition": error.disposition.value,
            **about,
        },
    )


@functools.cache
def _delivery() -> Delivery:
    """Build what outlives an invocation: clients and the warm connection. Built once per environment."""
    settings = Settings.from_environment(os.environ)
    return Delivery(
        s3=boto3.client("s3", config=_S3_CONFIG),
        partner=Partner(
            settings.server,
            _credentials(settings),
            timeouts=Timeouts(),
            max_connections=settings.max_connections,
        ),
        directory=settings.directory,
    )


def _credentials(settings: Settings) -> CredentialSource:
    if settings.secret_arn is None:
        return FixedCredentials(Credentials(username=settings.username, password=settings.password))
    return SecretCredentials(
        secret_arn=settings.secret_arn,
        client=boto3.client("secretsmanager", config=Config(connect_timeout=5, read_timeout=10)),
    )
