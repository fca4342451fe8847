"""Logs and metrics of deliveries and messages."""

import logging
import warnings
from collections.abc import Sequence
from typing import Protocol

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from s3_to_sftp.errors import AfterDeliveryFailed, DeliveryError, Disposition
from s3_to_sftp.outcomes import AlreadyGone, Filtered, Superseded
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.receipt import Receipt

logger = Logger(service="s3-to-sftp")
metrics = Metrics(namespace="S3ToSftp", service="s3-to-sftp")
# The other modules log with the standard library. Lambda's text format would hide what is below WARNING.
logging.getLogger("s3_to_sftp").setLevel(logging.INFO)
# With the log level DEBUG, Lambda's runtime gives it to all loggers. These would then log what AWS answers:
# the login, as Secrets Manager returns it, and the contents of objects.
for _library in ("boto3", "botocore", "s3transfer", "urllib3"):
    logging.getLogger(_library).setLevel(logging.WARNING)
# An invocation that has only test events or folder markers to acknowledge counts nothing.
warnings.filterwarnings("ignore", "No application metrics to publish")

_LEVELS = {
    Disposition.PERMANENT: logger.error,
    Disposition.PARTNER: logger.error,
    Disposition.RETRY: logger.warning,
}
"""Expected outcomes (waiting, resuming, nothing to send) are logged at level INFO."""


class Telemetry(Protocol):
    """Logs and counts. Nothing here fails a delivery."""

    def delivered(self, receipt: Receipt) -> None:
        """Report an object that has its final name."""

    def not_delivered(self, error: Exception, ref: ObjectRef) -> None:
        """Report an object that was not delivered, and the reason."""

    def circuit_breaker(self, *, is_open: bool) -> None:
        """Report whether the circuit breaker is open, as soon as it is known; maybe twice per invocation."""

    def login_fallback(self) -> None:
        """Report that the server takes the login of AWSPENDING or AWSPREVIOUS, and refuses AWSCURRENT."""

    def paused(self, *, age: float) -> None:
        """Report that objects wait because an operator has paused deliveries, this many seconds ago."""

    def deferred(self, *, age: float | None) -> None:
        """Report a message that is not done.

        Args:
            age: Seconds since its event was first sent; None: it waits only because deliveries are paused.
        """

    def dead_lettered(self) -> None:
        """Report a dead-lettered message."""


class NullTelemetry:
    """Logs and counts nothing."""

    def delivered(self, receipt: Receipt) -> None:
        """Do nothing."""

    def not_delivered(self, error: Exception, ref: ObjectRef) -> None:
        """Do nothing."""

    def circuit_breaker(self, *, is_open: bool) -> None:
        """Do nothing."""

    def login_fallback(self) -> None:
        """Do nothing."""

    def paused(self, *, age: float) -> None:
        """Do nothing."""

    def deferred(self, *, age: float | None) -> None:
        """Do nothing."""

    def dead_lettered(self) -> None:
        """Do nothing."""


class LambdaTelemetry:
    """JSON lines, and metrics in the embedded format of CloudWatch."""

    def delivered(self, receipt: Receipt) -> None:
        """Log the receipt and count it."""
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
        """Log the reason and count it."""
        if isinstance(error, Superseded):
            metrics.add_metric("Superseded", MetricUnit.Count, 1)
        if isinstance(error, Filtered):
            metrics.add_metric("Filtered", MetricUnit.Count, 1)
        if isinstance(error, AlreadyGone):
            metrics.add_metric("Gone", MetricUnit.Count, 1)
        if isinstance(error, DeliveryError):
            self.failed(error, object=str(ref))
        else:
            metrics.add_metric("Failed", MetricUnit.Count, 1)
            logger.error("not delivered: unexpected error", exc_info=error, extra={"object": str(ref)})

    def circuit_breaker(self, *, is_open: bool) -> None:
        """Count 1 while it is open, 0 when the partner accepts files."""
        metrics.add_metric("CircuitBreakerOpen", MetricUnit.Count, int(is_open))

    def login_fallback(self) -> None:
        """Count an invocation that could deliver only with another login than AWSCURRENT."""
        metrics.add_metric("LoginFallback", MetricUnit.Count, 1)

    def paused(self, *, age: float) -> None:
        """Report how long deliveries have been paused: once per invocation in which an object waits."""
        metrics.add_metric("PausedSeconds", MetricUnit.Seconds, age)

    def deferred(self, *, age: float | None) -> None:
        """Count a message that is not done, and its age."""
        metrics.add_metric("Deferred", MetricUnit.Count, 1)
        if age is not None:
            # SQS' own age of the oldest message leaves out what was received three times.
            metrics.add_metric("WaitingSeconds", MetricUnit.Seconds, age)

    def dead_lettered(self) -> None:
        """Count a message that went to the dead-letter queue."""
        metrics.add_metric("DeadLettered", MetricUnit.Count, 1)

    def canary(self, *, changes: Sequence[str], failures: Sequence[str], failed: int) -> None:
        """Log what the canary has found to be different; count that, and the checks that failed.

        It counts 0, too: the alarms keep their state until the next canary.
        """
        metrics.add_metric("PartnerChanged", MetricUnit.Count, len(changes))
        metrics.add_metric("CanaryFailed", MetricUnit.Count, failed)
        for text in (*changes, *failures):
            logger.warning("the partner's server has changed", extra={"reason": text})

    def failed(self, error: DeliveryError, **about: str) -> None:
        """Log what is wrong with an object, or with a message that names none."""
        is_failure = error.disposition in _LEVELS
        if is_failure:
            metrics.add_metric("Failed", MetricUnit.Count, 1)
        log = _LEVELS.get(error.disposition, logger.info)
        is_delivered = isinstance(error, AfterDeliveryFailed)
        log(
            f"not delivered: {error}" if is_failure and not is_delivered else str(error),
            extra={
                "error": type(error).__name__,
                "reason": error.reason,
                "hint": error.hint,
                "disposition": error.disposition.value,
                **({"cause": error.cause} if error.cause else {}),
                **({"to_partner": error.to_partner} if error.to_partner else {}),
                **about,
            },
        )
