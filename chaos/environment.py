"""The stock stack in a local AWS, and every component between S3 and the partner that can be broken."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from chaos.aws_proxy import FaultSchedule, aws_proxy
from chaos.objects import Version
from chaos.partner import INBOX, Partner
from local.cloud import ACCOUNT, REGION, LocalCloud, prepare_emulator, start_cloud
from local.deployment import (
    Deployment,
    bootstrap,
    cloud_assembly,
    configure_function,
    deploy,
    fill_secret,
    hide_messages_for,
    messages_in,
    server_context,
    wait_for_test_event,
)
from local.progress import Progress
from s3_to_sftp.state.items import KEY
from s3_to_sftp.state.key_item import read_key

TIMEOUT_SECONDS = 20
"""Timeout of an invocation on an idle machine."""
_HIDDEN_SECONDS = 6
"""The visibility timeout exceeds the function's timeout by this. Leases last 2 s longer than it."""

_COLD_START_SECONDS = 4.0
"""The longest cold start of an empty invocation on an idle machine."""
_SLOWEST = 4.0

_WITNESS = "witness"


@dataclass(frozen=True, kw_only=True)
class Event:
    """A notification as S3 sent it.

    Attributes:
        key: Key of its object.
        version_id: Version id of its object.
        body: Body of the message.
    """

    key: str
    version_id: str
    body: str


@dataclass(frozen=True, kw_only=True)
class DeadLettered:
    """A message in the dead-letter queue.

    Attributes:
        event: Its notification.
        reason: Why it is there; empty if it has no reason.
    """

    event: Event
    reason: str


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the ledger records of a version.

    Attributes:
        state: Its state.
        evidence: Evidence of its receipt; empty without a receipt.
        size: Bytes of the object according to its receipt; None without a receipt.
        temporary: Name, below the directory, of the complete file that may have been renamed; or empty.
        number: Its number in the sequence of the partner's rules; None: it has none.
    """

    state: str
    evidence: str = ""
    size: int | None = None
    temporary: str = ""
    number: int | None = None


@dataclass(kw_only=True)
class ChaosEnvironment:
    """Everything that the fault injector changes and the reconciliation reads.

    Attributes:
        cloud: The local AWS.
        deployment: The stack in it.
        partner: The partner.
        fault_schedule: Faults of the proxy between the function and AWS.
        puts: Version id in S3 -> version that was put.
    """

    cloud: LocalCloud
    deployment: Deployment
    partner: Partner
    fault_schedule: FaultSchedule
    folder: Path
    witness_url: str
    puts: dict[str, Version] = field(default_factory=dict)
    _seen: list[Event] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, version: Version) -> None:
        """Puts one version into the bucket."""
        answer = self.cloud.client("s3").put_object(
            Bucket=self.deployment.bucket, Key=version.key, Body=version.body()
        )
        self.puts[answer["VersionId"]] = version

    def events(self) -> list[Event]:
        """Returns every notification that S3 has sent so far."""
        client = self.cloud.client("sqs")
        with self._lock:
            self._seen += [_event(message["Body"]) for message in _drain(client, self.witness_url)]
            return list(self._seen)

    def send(self, events: Sequence[Event]) -> None:
        """Sends notifications again."""
        client = self.cloud.client("sqs")
        for event in events:
            client.send_message(QueueUrl=self.deployment.queue_url, MessageBody=event.body)

    def dead_lettered(self) -> list[DeadLettered]:
        """Drains the dead-letter queue and returns its messages."""
        return [
            DeadLettered(event=_event(message["Body"]), reason=_reason(message))
            for message in _drain(self.cloud.client("sqs"), self.deployment.dead_letter_queue_url)
        ]

    def waiting(self) -> int:
        """Returns the number of messages in the queue, in flight or not."""
        return messages_in(self.cloud, self.deployment.queue_url)

    def is_settled(self) -> bool:
        """Returns whether every put was announced and the queue is empty."""
        # In this order: the witness queue gets a notification after the function's queue.
        announced = {event.version_id for event in self.events()}
        return announced >= self.puts.keys() and not self.waiting()

    def ledger(self) -> dict[tuple[str, str], Recorded]:
        """Returns the records of the ledger by key and version id."""
        return {
            (key, version.removeprefix("version#")): _recorded(item)
            for key, sort_key, item in self._items()
            if (version := item["version"]["S"] if sort_key == KEY else sort_key).startswith("version#")
            and "moved" not in item
        }

    def names_in_ledger(self) -> set[str]:
        """Returns the names that may exist at the partner according to the ledger."""
        return {
            _below_inbox(name)
            for _, sort_key, item in self._items()
            if sort_key == KEY
            for name in read_key(item).names
        }

    def _items(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        prefix = f"object#{self.deployment.bucket}/"
        pages = self.cloud.client("dynamodb").get_paginator("scan")
        for page in pages.paginate(TableName=self.deployment.ledger_table):
            for item in page["Items"]:
                if item["pk"]["S"].startswith(prefix):
                    yield item["pk"]["S"].removeprefix(prefix), item["sk"]["S"], item

    def restore_login(self) -> None:
        """Stores the login again: an open circuit breaker then admits a try at once."""
        fill_secret(self.cloud, self.deployment, self.partner.server)

    def function_processes(self) -> list[int]:
        """Returns the process ids of running functions: those below our own directory only."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = entry.read_bytes().decode(errors="replace").split("\0")
                if any(word.startswith(f"{self.folder}/") and word.endswith("_worker.py") for word in words):
                    found.append(int(entry.parent.name))
        return found


@contextmanager
def set_up(
    progress: Progress,
    rng: random.Random,
    *,
    variables: Mapping[str, str] | None = None,
    layer: Callable[[LocalCloud, Deployment], str] | None = None,
) -> Iterator[ChaosEnvironment]:
    """Starts everything without faults, and stops it when the block ends.

    Args:
        progress: Told of each step.
        rng: Determines the faults of AWS.
        variables: Further environment variables of the function.
        layer: Publishes a layer for the function and returns its ARN; None: it has none.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        with progress.step("preparing the local AWS (downloads MiniStack the first time)"):
            prepare_emulator()
        partner = Partner(folder / "partner")
        try:
            with (
                start_cloud(folder / "cloud") as cloud,
                aws_proxy(cloud.endpoint, rng) as (endpoint, fault_schedule),
            ):
                with progress.step("cdk bootstrap and cdk deploy"):
                    deployment = _deploy(cloud, partner, folder / "cdk")
                layers = [layer(cloud, deployment)] if layer is not None else None
                own = {**(variables or {}), "AWS_ENDPOINT_URL": endpoint}
                slowness = _tune(cloud, deployment, own, layers)
                progress.say(f"this machine is {slowness:.1f} times slower than an idle one")
                partner.disk.far_bytes_per_second /= slowness  # the large object still takes two invocations
                yield ChaosEnvironment(
                    cloud=cloud,
                    deployment=deployment,
                    partner=partner,
                    fault_schedule=fault_schedule,
                    folder=folder / "cloud",
                    witness_url=_add_witness(cloud, deployment),
                )
        finally:
            partner.stop()


def _deploy(cloud: LocalCloud, partner: Partner, scratch: Path) -> Deployment:
    bootstrap(cloud, scratch=scratch)
    behind_the_proxy = replace(partner.server, port=partner.port)
    # Three streams for each of two functions.
    context = {**server_context(behind_the_proxy, INBOX), "max_connections": "6"}
    with cloud_assembly(scratch) as assembly:
        deployment = deploy(cloud, context, assembly=assembly, scratch=scratch)
    fill_secret(cloud, deployment, partner.server)
    return deployment


def _tune(
    cloud: LocalCloud, deployment: Deployment, variables: Mapping[str, str], layers: Sequence[str] | None
) -> float:
    """Shortens invocations, and gives the function its variables and layers.

    Returns:
        How many times slower the machine is than an idle one.
    """
    wait_for_test_event(cloud, deployment)
    variables = {**variables, "SSH_REPLY_TIMEOUT": "10", "SSH_CONNECT_TIMEOUT": "5"}
    configure_function(cloud, deployment, timeout=TIMEOUT_SECONDS, variables=variables, layers=layers)
    slowness = _slowness(cloud, deployment)
    seconds = round(TIMEOUT_SECONDS * slowness)
    configure_function(cloud, deployment, timeout=seconds, variables=variables)
    hide_messages_for(cloud, deployment, seconds=seconds + _HIDDEN_SECONDS)
    return slowness


def _slowness(cloud: LocalCloud, deployment: Deployment) -> float:
    """Returns how many times slower than an idle machine this one is, at least 1."""
    begun = time.monotonic()
    cloud.client("lambda").invoke(FunctionName=deployment.function, Payload=b'{"Records": []}')
    return min(max((time.monotonic() - begun) / _COLD_START_SECONDS, 1.0), _SLOWEST)


def _add_witness(cloud: LocalCloud, deployment: Deployment) -> str:
    """Creates a queue that gets a copy of every notification, to send some of them again.

    AWS rejects a second destination for the same objects; the emulator accepts it.
    """
    url: str = cloud.client("sqs").create_queue(QueueName=_WITNESS)["QueueUrl"]
    s3 = cloud.client("s3")
    present = s3.get_bucket_notification_configuration(Bucket=deployment.bucket)
    queues = present["QueueConfigurations"]
    copy = {"QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{_WITNESS}", "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=deployment.bucket, NotificationConfiguration={"QueueConfigurations": [*queues, copy]}
    )
    return url


def _recorded(item: dict[str, Any]) -> Recorded:
    receipt = item.get("receipt", {}).get("M", {})
    commit = item.get("commit", {}).get("M", {})
    return Recorded(
        state=item["state"]["S"],
        evidence=receipt.get("evidence", {}).get("S", ""),
        size=int(receipt.get("source_bytes", receipt["bytes"])["N"]) if receipt else None,
        temporary=_below_inbox(commit.get("temporary", {}).get("S", "")),
        number=int(receipt["sequence"]["N"]) if "sequence" in receipt else None,
    )


def _below_inbox(path: str) -> str:
    return path.removeprefix("/").removeprefix(f"{INBOX}/")


def _drain(client: Any, url: str) -> Iterator[dict[str, Any]]:
    while messages := client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages", []):
        for message in messages:
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            if "Records" in json.loads(message["Body"]):  # not the test event of S3
                yield message


def _event(body: str) -> Event:
    described = json.loads(body)["Records"][0]["s3"]["object"]
    return Event(key=unquote_plus(described["key"]), version_id=described["versionId"], body=body)


def _reason(message: dict[str, Any]) -> str:
    attributes = message.get("MessageAttributes", {})
    texts = [attributes.get(name, {}).get("StringValue", "") for name in ("error", "reason", "hint")]
    return " ".join(texts) if all(texts) else ""
