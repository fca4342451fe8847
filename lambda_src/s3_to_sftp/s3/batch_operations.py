"""S3 Batch Operations invokes the function for each object of a manifest, and expects a result for each.

Request and answer: "Invoke AWS Lambda function" in the S3 user guide. Schema 1.0 names the bucket by its ARN,
2.0 by its name; both encode the key as notifications do. A task has neither size nor ETag nor sequencer, and
a version only where the manifest has one: without it, it is unknown whether it was delivered before.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from s3_to_sftp.errors import DeliveryError, Disposition, EventError
from s3_to_sftp.outcomes import AlreadyGone
from s3_to_sftp.s3.malformed import malformed, quoted
from s3_to_sftp.s3.notifications import text_of
from s3_to_sftp.s3.object_ref import ObjectRef

_MOST_RESULT_BYTES = 1024
"""Of the text that goes into the job's report."""

SUCCEEDED = "Succeeded"
TEMPORARY = "TemporaryFailure"
"""The job calls again."""
PERMANENT = "PermanentFailure"


def is_batch_job(event: object) -> bool:
    """Return whether the function is invoked by S3 Batch Operations."""
    return isinstance(event, dict) and "invocationSchemaVersion" in event and "tasks" in event


@dataclass(frozen=True)
class Task:
    """One object of the job.

    Attributes:
        id: Identifies the task in the answer.
        named: The object, or the error of a malformed task.
    """

    id: str
    named: ObjectRef | EventError


@dataclass(frozen=True)
class BatchJob:
    """What one invocation is asked to do.

    Attributes:
        schema: Version of request and answer.
        invocation_id: Identifies the invocation in the answer.
        tasks: One, so far; the schema allows several.
    """

    schema: str
    invocation_id: str
    tasks: tuple[Task, ...]

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "BatchJob":
        """Read the request.

        Raises:
            EventError: It is malformed, so that there is no valid answer.
        """
        schema, tasks = event["invocationSchemaVersion"], event["tasks"]
        if schema not in ("1.0", "2.0"):
            raise _unreadable(f"its schema is {quoted(schema)}, known are '1.0' and '2.0'")
        try:
            invocation = text_of(event.get("invocationId"))
            return cls(schema, invocation, tuple(_task(task, schema) for task in tasks))
        except (TypeError, AttributeError, ValueError):
            raise _unreadable("its invocationId or its tasks are malformed") from None

    def answer(self, outcomes: Mapping[str, Exception | None]) -> dict[str, Any]:
        """Return the answer to the job.

        Args:
            outcomes: The error of each task, by its id; None: the object was delivered.
        """
        return {
            "invocationSchemaVersion": self.schema,
            "treatMissingKeysAs": PERMANENT,
            "invocationId": self.invocation_id,
            "results": [
                {
                    "taskId": task.id,
                    "resultCode": _code(outcomes[task.id]),
                    "resultString": _result(outcomes[task.id]),
                }
                for task in self.tasks
            ],
        }


def _task(task: Mapping[str, Any], schema: str) -> Task:
    return Task(text_of(task.get("taskId")), _object(task, schema))


def _object(task: Mapping[str, Any], schema: str) -> ObjectRef | EventError:
    decoded = functools.partial(unquote_plus, errors="strict")
    try:
        version = task.get("s3VersionId")
        return ObjectRef(
            bucket=_bucket(task, schema),
            key=text_of(decoded(text_of(task.get("s3Key")))),
            version_id=text_of(version) if version else None,
        )
    except ValueError:
        return _unreadable("the task does not name bucket and key")


def _bucket(task: Mapping[str, Any], schema: str) -> str:
    if schema == "2.0":
        return text_of(task.get("s3Bucket"))
    return text_of(text_of(task.get("s3BucketArn")).rpartition(":")[2])


def _code(error: Exception | None) -> str:
    if error is None:
        return SUCCEEDED
    disposition = error.disposition if isinstance(error, DeliveryError) else Disposition.RETRY
    if disposition is Disposition.PERMANENT or isinstance(error, AlreadyGone):
        return PERMANENT
    return SUCCEEDED if disposition is Disposition.DONE else TEMPORARY


def _result(error: Exception | None) -> str:
    if error is None:
        return "delivered"
    reason = (
        error.reason if isinstance(error, DeliveryError) else "unexpected error: see the log of the function"
    )
    text = f"{type(error).__name__}: {reason}".encode(errors="replace")
    return text[:_MOST_RESULT_BYTES].decode(errors="ignore")


def _unreadable(why: str) -> EventError:
    return malformed(
        f"it comes from S3 Batch Operations, and {why}",
        hint="Look at the manifest and the schema version of the job.",
    )
