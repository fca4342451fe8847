"""The function's own resources: the ledger, the queue, the buckets."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.doctor.checklist import Finding, Step
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.s3.client_errors import error_of
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.settings import Settings
from s3_to_sftp.state.breaker_item import BREAKER, breaker_key
from s3_to_sftp.state.table import Table
from s3_to_sftp.untrusted_text import quoted

NewClient = Callable[..., Any]

_EMPTY = {"416", "InvalidRange"}
_ARCHIVES = {"GLACIER", "DEEP_ARCHIVE"}
_LISTED = 100


class AwsChecks:
    """Checks what AWS lets the function do.

    Args:
        settings: Of the function.
        new_client: `boto3.client`, with short timeouts.
    """

    def __init__(self, settings: Settings, new_client: NewClient) -> None:
        self._settings = settings
        self._new_client = new_client

    def steps(self) -> list[tuple[str, Step]]:
        """Return the checks; each stands for itself."""
        settings = self._settings
        steps: list[tuple[str, Step]] = []
        if settings.ledger_table is not None:
            steps.append(("ledger", self._ledger))
        if settings.queue_url is not None:
            steps.append(("queue", self._queue))
        if self._watched():
            steps.append(("bucket", self._buckets))
        return steps

    def _watched(self) -> list[SourceDirectory]:
        """Return the sources, each bucket and prefix once."""
        sources = [each for each in self._settings.sources if not each.former]
        return list({(each.bucket, each.prefix): each for each in sources}.values())

    def _ledger(self) -> str:
        name = self._settings.ledger_table or ""
        Table(self._new_client("dynamodb"), name).read(breaker_key(str(self._settings.server)), BREAKER)
        return f"{name} can be read"

    def _queue(self) -> str:
        url = self._settings.queue_url or ""
        names = ["ApproximateNumberOfMessages"]
        try:
            answer = self._new_client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
        except (ClientError, BotoCoreError) as error:
            raise _refused(f"The queue {url} cannot be read", error) from None
        waiting = answer.get("Attributes", {}).get(names[0], "?")
        return f"{url.rpartition('/')[2]} can be read, {waiting} messages wait"

    def _buckets(self) -> Finding:
        s3 = self._new_client("s3")
        seen = [self._bucket(s3, source.bucket, source.prefix) for source in self._watched()]
        return Finding(text=", ".join(seen))

    def _bucket(self, s3: Any, bucket: str, prefix: str) -> str:
        """Read a byte of any object: that shows the rights to the bucket, and to its key.

        Raises:
            DeliveryError: It cannot be read.
        """
        try:
            found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=_LISTED).get("Contents", [])
        except (ClientError, BotoCoreError) as error:
            raise _refused(f"The bucket {bucket} cannot be listed", error) from None
        if not found:
            return f"{bucket}/{prefix}* can be listed and is empty"
        readable = [each for each in found if each.get("StorageClass") not in _ARCHIVES]
        if not readable:
            return f"{bucket}/{prefix}* can be listed; what it shows first is archived"
        ref = ObjectRef(bucket=bucket, key=readable[0]["Key"])
        try:
            s3.get_object(Bucket=bucket, Key=ref.key, Range="bytes=0-0")["Body"].close()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _EMPTY:
                raise error_of(error, ref) from None
        except BotoCoreError as error:
            raise _refused(f"{ref} cannot be read", error) from None
        return f"{bucket}/{prefix}* can be read"


def _refused(what: str, error: Exception) -> DeliveryError:
    return DeliveryError(
        f"{what}: {quoted(error)}.",
        hint="The message names the action and the principal: check the role's policy, a policy of the "
        "resource, and the VPC endpoint. A time-out means no way to AWS from this subnet.",
    )
