"""The queue of a partner with rules: its messages, taken by the function as in production."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.deadline import Invocation
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.handler import _announced_by
from s3_to_sftp.queue.disposition import MessageDisposition
from s3_to_sftp.queue.message_queue import Message, MessageQueue
from s3_to_sftp.queue.retry_policy import RetryPolicy
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.state.receipt import Receipt
from tests.support.cli import CliEnvironment, Outcome
from tests.support.rules_environment import RulesEnvironment
from tests.support.scripted_server import NOTHING, Asked, is_rename, status

_DAY = 86_400


class _AtOnce(MessageQueue):
    """Messages that come back at once: nobody waits in a test."""

    def return_to_queue(self, message: Message, **how: Any) -> None:
        super().return_to_queue(message, **{**how, "delay": 0})


class OperatedPartner:
    """A partner with rules, the queue, the function that takes its messages, and an operator.

    Attributes:
        cli: Types commands.
        harness: Delivers.
        x: An object.
        y: Another one.
    """

    def __init__(self, cli: CliEnvironment, rules: DeliveryRules, **objects: bytes) -> None:
        self.cli = cli
        contents = {"x": b"one", "y": b"two", **objects}
        self.harness = RulesEnvironment(cli.aws.client("dynamodb"), rules, contents)
        self.x, self.y = self.harness.ref("x"), self.harness.ref("y")

    def object(self, key: str) -> ObjectRef:
        """Another object."""
        self.harness.s3.objects[key] = key.encode()
        return self.harness.ref(key)

    @property
    def files(self) -> dict[str, bytes]:
        """The files with final names at the partner."""
        there = self.harness.env.files.items()
        return {
            path.removeprefix("inbox/"): bytes(data) for path, data in there if not path.endswith(".part")
        }

    def refuses(self, name: str) -> None:
        """Let the partner refuse to give this name."""

        def script(asked: Asked) -> bytes | None:
            gives = is_rename(asked) or asked.kind == Request.RENAME
            is_it = gives and asked.texts[-1] == f"inbox/{name}"
            return status(asked, Status.PERMISSION_DENIED) if is_it else None

        self.harness.env.scripts[0] = script

    def is_silent(self) -> None:
        """Let the partner answer no RENAME."""
        self.harness.env.scripts[0] = lambda asked: NOTHING if is_rename(asked) else None

    def accepts(self) -> None:
        """Let the partner do whatever it is asked for."""
        self.harness.env.scripts.clear()

    def deliver(self, *refs: ObjectRef, gives_up: bool = False) -> dict[str, Receipt | DeliveryError]:
        """Announce the objects, and let the function take each message of the queue once.

        Args:
            refs: Announced now.
            gives_up: Whether the time for retries is over.

        Returns:
            What came of each object, by key.
        """
        for ref in refs:
            self.cli.announce(ref)
        outcomes: dict[str, Receipt | DeliveryError] = {}
        for record in list(self._records()):
            self.harness.ledger.clock.now += 1000
            outcomes |= self._take(record, gives_up=gives_up)
        return outcomes

    def _take(self, record: dict[str, Any], *, gives_up: bool) -> dict[str, Receipt | DeliveryError]:
        sqs, function = self.cli.aws.client("sqs"), self.harness.function()
        now = int(self.harness.ledger.clock.now)
        refs = [replace(each, event_time=each.event_time or now) for each in _announced_by(record).objects]
        results = dict(deliver_all(function, refs, Invocation(self.harness.deadline(), "f")))
        failures = [(ref, result) for ref, result in results.items() if isinstance(result, DeliveryError)]
        disposition = MessageDisposition(
            _AtOnce(sqs, queue_url=self.cli.queue_url, dead_letter_queue_url=self.cli.dead_letter_queue_url),
            policy=RetryPolicy(retry_for=0 if gives_up else _DAY),
            publisher=NullPublisher(),
            give_up=function.give_up,
            note_deferred=function.note_deferred,
            path_of=function.path_of,
        )
        assert disposition.apply(Message.from_record(record), failures)
        sqs.delete_message(QueueUrl=self.cli.queue_url, ReceiptHandle=record["receiptHandle"])
        assert all(isinstance(each, Receipt | DeliveryError) for each in results.values()), results
        return {ref.key: result for ref, result in results.items()}  # type: ignore[misc] # just asserted

    def _records(self) -> Iterator[dict[str, Any]]:
        sqs = self.cli.aws.client("sqs")
        names = {"MessageAttributeNames": ["All"], "AttributeNames": ["All"]}
        while messages := sqs.receive_message(
            QueueUrl=self.cli.queue_url, MaxNumberOfMessages=10, **names
        ).get("Messages"):
            for message in messages:
                attributes = message.get("MessageAttributes", {})
                yield {
                    "messageId": message["MessageId"],
                    "body": message["Body"],
                    "receiptHandle": message["ReceiptHandle"],
                    "attributes": message["Attributes"],
                    "messageAttributes": {
                        name: {"stringValue": each.get("StringValue", ""), "dataType": each["DataType"]}
                        for name, each in attributes.items()
                    },
                }

    def types(self, line: str) -> Outcome:
        """Type a command as it is advised, with a reason where it says TEXT."""
        words = shlex.split(line.removeprefix("s3-to-sftp "))
        return self.cli.run(*["some reason" if word == "TEXT" else word for word in words])

    def advice(self) -> list[str]:
        """Return the commands that `status` advises."""
        return [each["command"] for each in self.cli.run("status", "--json").json["next"]]

    def sequence(self) -> dict[str, Any]:
        """Return what `sequence` shows of the only one."""
        (sequence,) = self.cli.run("sequence", "--json").json["sequences"]
        return dict(sequence)
