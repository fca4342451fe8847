"""The deployed stack and its partner, and what a test does with them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cloud import REGION, LocalCloud, start_cloud
from local.deployment import (
    Deployment,
    bootstrap,
    deploy,
    fill_secret,
    function_log,
    messages_in,
    put_secret,
    server_context,
)
from local.sftp_server import RunningServer
from tests.support.e2e.bundles import Bundles
from tests.support.restartable_server import RestartableServer

PATIENCE_SECONDS = 1200.0
"""A limit for what never happens: what an invocation that dies has received stays hidden for 16 minutes."""

_GLANCE_SECONDS = 0.1  # reading a log or a queue takes the emulator some milliseconds
INBOX = "inbox"
_LAST_LINES = 20
_TROUBLE = re.compile(
    r'"level":"(WARNING|ERROR|CRITICAL)"|\b(WARNING|ERROR)\b|Traceback|failed processing|timed out'
)


@dataclass(frozen=True, kw_only=True)
class StackEnvironment:
    """The deployed stack, its cloud and its partner."""

    cloud: LocalCloud
    partner: RestartableServer
    server: RunningServer
    deployment: Deployment
    asset: Path

    def put(self, key: str, body: bytes, *, bucket: str | None = None) -> None:
        self.cloud.client("s3").put_object(Bucket=bucket or self.deployment.bucket, Key=key, Body=body)

    def landing_place(self, key: str) -> Path:
        return self.partner.root / INBOX / key

    def wait_for_file(self, key: str) -> bytes:
        place = self.landing_place(key)
        wait_until(place.exists, f"{key} at the partner", self.explain)
        return place.read_bytes()

    def wait_for_failure(self, key: str) -> dict[str, Any]:
        """Return the first log entry about a failed delivery of this object."""
        entries: list[dict[str, Any]] = []

        def failed() -> bool:
            entries[:] = [
                entry
                for entry in self.entries()
                if "error" in entry and f"/{key}" in str(entry.get("object"))
            ]
            return bool(entries)

        wait_until(failed, f"a log entry about {key}", self.explain)
        return entries[0]

    def entries(self) -> list[dict[str, Any]]:
        """The function's own log entries."""
        return [json.loads(line) for line in self._lines() if line.startswith('{"level"')]

    def log(self) -> str:
        return "\n".join(self._lines())

    def explain(self) -> str:
        """The end of what the function and the emulator logged."""
        return f"{last_lines(self.log())}\n--- the emulator ---\n{last_lines(self.cloud.read_log())}"

    def fill_secret(self, password: str) -> None:
        login = {"username": self.server.username, "password": password, "private_key": "", "passphrase": ""}
        put_secret(self.cloud, self.deployment, login)

    def close_breaker(self) -> None:
        """Closes the circuit breaker, as an operator can."""
        self.cloud.client("dynamodb").delete_item(
            TableName=self.deployment.ledger_table,
            Key={"pk": {"S": f"partner#{self.server.host}:{self.server.port}"}, "sk": {"S": "breaker"}},
        )

    def announce_again(self, key: str) -> None:
        """Sends a second event of an object, as S3 may do at any time."""
        body = json.dumps(notification(self.deployment.bucket, key))
        self.cloud.client("sqs").send_message(QueueUrl=self.deployment.queue_url, MessageBody=body)

    def messages(self, queue_url: str) -> int:
        """Return the number of messages in a queue, in flight, delayed or visible."""
        return messages_in(self.cloud, queue_url)

    def redrive(self) -> list[str]:
        """Redrives the dead-letter queue; returns the error of each message, empty where SQS moved it."""
        return redrive(self.cloud, self.deployment.dead_letter_queue_url, target=self.deployment.queue_url)

    def bucket_of_its_own(self, name: str) -> str:
        """Creates a bucket without notifications."""
        location = {"LocationConstraint": REGION}
        self.cloud.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=location)
        return name

    def _lines(self) -> list[str]:
        return function_log(self.cloud, self.deployment.function)


@contextmanager
def deployed_stack(
    folder: Path, partner: RestartableServer, bundles: Bundles, *, prefix: str = "", enforce_iam: bool = False
) -> Iterator[StackEnvironment]:
    """The stock stack in a cloud of its own, which ends with the block."""
    scratch = folder / "cdk"
    assembly = scratch / "cdk.out"  # a fresh one: each run builds the bundle anew
    server = partner.start()
    with start_cloud(folder / "cloud", enforce_iam=enforce_iam) as cloud:
        bootstrap(cloud, scratch=scratch)
        context = {**server_context(server, INBOX), "prefix": prefix}
        with bundles.shared_with(assembly):
            deployment = deploy(cloud, context, assembly=assembly, scratch=scratch)
        fill_secret(cloud, deployment, server)
        (asset,) = (path for path in assembly.glob("asset.*") if path.is_dir())
        yield StackEnvironment(
            cloud=cloud, partner=partner, server=server, deployment=deployment, asset=asset
        )


def redrive(cloud: LocalCloud, dead_letter_queue: str, *, target: str) -> list[str]:
    """Redrives a dead-letter queue; returns the error of each message, empty where SQS moved it."""
    sqs = cloud.client("sqs")
    messages = sqs.receive_message(
        QueueUrl=dead_letter_queue, MaxNumberOfMessages=10, MessageAttributeNames=["error"]
    ).get("Messages", [])
    for message in messages:
        sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
        sqs.delete_message(QueueUrl=dead_letter_queue, ReceiptHandle=message["ReceiptHandle"])
    attributes = [message.get("MessageAttributes", {}) for message in messages]
    return [each.get("error", {}).get("StringValue", "") for each in attributes]


def notification(bucket: str, key: str) -> dict[str, Any]:
    """Return the event of S3 for a put; `key` must not need URL encoding."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
            }
        ]
    }


def wait_until(
    condition: Callable[[], bool],
    what: str,
    explain: Callable[[], str],
    *,
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """Returns as soon as the condition holds; otherwise fails and shows the explanation."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s\n{explain()}"
        time.sleep(_GLANCE_SECONDS)


def last_lines(text: str) -> str:
    """The end of a log, after what it says of trouble before that."""
    lines = text.splitlines()
    trouble = [line for line in lines[:-_LAST_LINES] if _TROUBLE.search(line)]
    return "\n".join([*trouble[-_LAST_LINES:], *lines[-_LAST_LINES:]])
