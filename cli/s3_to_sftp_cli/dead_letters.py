"""The dead-letter queue: reads all of it, sends messages back, and leaves the others as they are."""

import contextlib
import fnmatch
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.s3.envelopes import read_message
from s3_to_sftp_cli.errors import CliError, ExitCode

_HIDDEN_SECONDS = 300
"""How long a received message is hidden from others; it comes back by itself after an interruption."""

_BATCH = 10
"""The most that SQS hands out, or takes, in one request."""

_EMPTY_ANSWERS = 3
"""This many empty answers in a row mean that the queue is empty: SQS asks a part of its servers each time."""

_WAIT_SECONDS = 1

_CLOCK_SECONDS = 1.0
"""Resolution of the time in the headers of SQS's answers."""

NO_ERROR = "received too often"
"""In place of an error, for a message that SQS itself has moved: it was received as often as is allowed."""


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A message of the dead-letter queue.

    Attributes:
        id: Message id.
        body: As it was sent.
        receipt_handle: Identifies this receipt.
        attributes: As SQS returns them; they are sent back unchanged.
        objects: Bucket and key of the objects that it names; empty: it cannot be read.
        sent_at: When it was sent, by the clock of SQS (seconds since 1970).
    """

    id: str
    body: str = field(repr=False)
    receipt_handle: str = field(repr=False)
    attributes: Mapping[str, Mapping[str, Any]]
    objects: tuple[tuple[str, str], ...]
    sent_at: float = 0.0

    def text(self, name: str) -> str:
        """Return an attribute as text; empty: there is none."""
        return str(self.attributes.get(name, {}).get("StringValue", ""))

    @property
    def kind(self) -> str:
        """What alike messages have in common: error, and the server's status and request."""
        parts = (self.text("error") or NO_ERROR, self.text("status"), self.text("operation"))
        return " ".join(filter(None, parts))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which dead letters are meant; all conditions must hold.

    Attributes:
        error: Word of its kind: the error's class, the server's status or the request; None: any.
        reason: Text in its reason; None: any.
        key: Pattern of a key (`*`, `?`); None: any.
    """

    error: str | None = None
    reason: str | None = None
    key: str | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Return whether it is meant."""
        if self.error is not None and not self._is_of_kind(letter, self.error):
            return False
        if self.reason is not None and self.reason.lower() not in letter.text("reason").lower():
            return False
        if self.key is None:
            return True
        return any(fnmatch.fnmatchcase(key, self.key) for _, key in letter.objects)

    @staticmethod
    def _is_of_kind(letter: DeadLetter, error: str) -> bool:
        wanted, kind = error.lower(), letter.kind.lower()
        return wanted == kind or wanted in (
            letter.text(name).lower() for name in ("error", "status", "operation")
        )


class DeadLetterQueue:
    """The dead-letter queue of a delivery.

    Args:
        client: A low-level SQS client; needs `sqs:ReceiveMessage`, `sqs:ChangeMessageVisibility`,
            `sqs:DeleteMessage` on it, and `sqs:SendMessage` on the queue that messages are sent back to.
        url: Its URL.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url
        self._deleted: set[str] = set()
        self._begun: float | None = None

    def count(self) -> int:
        """Return about how many messages it holds.

        Raises:
            ClientError, BotoCoreError: SQS refused, or did not answer.
        """
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    @contextlib.contextmanager
    def all_letters(self) -> Iterator[Iterator[DeadLetter]]:
        """Yield an iterator of all messages, each once; those that were not deleted come back at the end.

        Leaves out those that were sent after it began: what is sent back and fails again at once is
        dead-lettered anew, and would be sent back again and again.

        Raises:
            ClientError, BotoCoreError: SQS refused, or did not answer.
        """
        received: dict[str, DeadLetter] = {}
        try:
            yield self._receive_all(received)
        finally:
            self._release([letter for letter in received.values() if letter.id not in self._deleted])

    def is_known_older(self, letter: DeadLetter) -> bool:
        """Return whether a message was here before `all_letters` began; False where SQS does not tell."""
        return self._begun is not None and letter.sent_at < self._begun

    def send_back(self, letter: DeadLetter, queue_url: str) -> None:
        """Send a message to the queue, and delete it here. Interrupted in between, it is in both.

        The ledger delivers an object once, however many messages name it.

        Raises:
            ClientError, BotoCoreError: SQS refused, or did not answer: the message is still here.
        """
        self._client.send_message(
            QueueUrl=queue_url, MessageBody=letter.body, MessageAttributes=_as_sent(letter.attributes)
        )
        self.delete(letter)

    def delete(self, letter: DeadLetter) -> None:
        """Delete a message that was received.

        Raises:
            ClientError, BotoCoreError: SQS refused, or did not answer.
        """
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt_handle)
        self._deleted.add(letter.id)

    def _receive_all(self, received: dict[str, DeadLetter]) -> Iterator[DeadLetter]:
        begun: float | None = None
        self._begun = None
        empty = 0
        while empty < _EMPTY_ANSWERS:
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_BATCH,
                MessageAttributeNames=["All"],
                AttributeNames=["SentTimestamp"],
                VisibilityTimeout=_HIDDEN_SECONDS,
                WaitTimeSeconds=_WAIT_SECONDS,
            )
            if begun is None:
                self._begun = _date_of(answer)
                begun = time.time() if self._begun is None else self._begun
            letters = [_letter(message) for message in answer.get("Messages", [])]
            new = [letter for letter in letters if letter.id not in received]
            received.update((letter.id, letter) for letter in letters)
            empty = 0 if new else empty + 1
            yield from (letter for letter in new if letter.sent_at <= begun + _CLOCK_SECONDS)

    def _release(self, letters: Sequence[DeadLetter]) -> None:
        """Show messages to others again. What fails is shown when its time is over."""
        for start in range(0, len(letters), _BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": 0}
                for number, letter in enumerate(letters[start : start + _BATCH])
            ]
            with contextlib.suppress(ClientError, BotoCoreError):
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)


def require_selection(selection: Selection, *, everything: bool) -> None:
    """Refuse a command line that does not say which dead letters are meant.

    Raises:
        CliError: It says nothing, or both.
    """
    is_empty = selection == Selection()
    if is_empty and not everything:
        raise CliError(
            "No dead letters are selected.",
            hint="Use --error, --reason or --key for some of them, --all for all; --dry-run shows the kinds.",
            code=ExitCode.USAGE,
        )
    if everything and not is_empty:
        raise CliError(
            "--all was given together with a selection.", hint="Use one of them.", code=ExitCode.USAGE
        )


def _letter(message: Mapping[str, Any]) -> DeadLetter:
    parsed = read_message(message["Body"])
    return DeadLetter(
        id=message["MessageId"],
        body=message["Body"],
        receipt_handle=message["ReceiptHandle"],
        attributes=message.get("MessageAttributes") or {},
        sent_at=int(message["Attributes"]["SentTimestamp"]) / 1000,
        objects=tuple((ref.bucket, ref.key) for ref in parsed.objects),
    )


def _date_of(answer: Mapping[str, Any]) -> float | None:
    """Return when SQS answered, by its own clock (seconds since 1970); None: it does not tell."""
    date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date).timestamp() if date else None


def _as_sent(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    kept = ("DataType", "StringValue", "BinaryValue")
    return {
        name: {part: value for part, value in attribute.items() if part in kept and value is not None}
        for name, attribute in attributes.items()
    }
