"""The table of the ledger and the circuit breaker: conditional writes, and what DynamoDB's refusals mean."""

import random
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.state.attributes import Item, to_attribute
from s3_to_sftp.state.update_expression import Change, update_of
from s3_to_sftp.state.write_id import WRITE_ID, is_written_by, new_write_id, refused_item
from s3_to_sftp.untrusted_text import quoted

_MAX_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.05
_PAUSES = (*(_FIRST_PAUSE_SECONDS * 2**turn for turn in range(_MAX_ATTEMPTS - 1)), None)
# A transaction that conflicts with others, not an invalid one. botocore does not retry these.
_BUSY_REASONS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
# The same for a single request. botocore has retried these before it raises them.
_BUSY = {"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"}
_CONFLICT = "TransactionConflictException"
"""Of a single request, on an item that a transaction is writing. botocore does not retry it."""
_DENIED = {"AccessDeniedException", "UnrecognizedClientException", "KMSAccessDeniedException"}


class Table:
    """A DynamoDB table with the keys `pk` and `sk`; what is written depends on what is there.

    Thread-safe.

    Args:
        client: A low-level DynamoDB client; `write` needs `dynamodb:UpdateItem`, `read` needs
            `dynamodb:GetItem`, and `put` needs `dynamodb:PutItem`.
        name: The table.
        kept_for_seconds: DynamoDB deletes an item that `write` has not touched for this long; None: never.
        clock: Seconds since 1970.
        sleep: Waits between attempts when others write to the same items.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        *,
        kept_for_seconds: float | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._name = name
        self._kept_for = kept_for_seconds
        self._clock = clock
        self._sleep = sleep

    def read(self, pk: str, sk: str) -> Item | None:
        """Return the item as it was last written; None: there is none.

        Raises:
            LedgerError: The table did not answer, or refused.
        """
        try:
            answer = self._client.get_item(TableName=self._name, Key=_key(pk, sk), ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise self._explained(error, "GetItem") from None
        item: Item | None = answer.get("Item")
        return item

    def read_both(self, one: tuple[str, str], other: tuple[str, str]) -> tuple[Item | None, Item | None]:
        """Return two items, given by their keys, in one request; None: there is none.

        As a transaction, which needs no other permission than `read`, and twice the capacity.

        Raises:
            LedgerError: The table did not answer, or refused; or something is being written to one of them.
        """
        gets = [{"Get": {"TableName": self._name, "Key": _key(*keys)}} for keys in (one, other)]
        try:
            answer = self._client.transact_get_items(TransactItems=gets)
        except (ClientError, BotoCoreError) as error:
            raise self._explained(error, "GetItem") from None
        first, second = (each.get("Item") for each in answer["Responses"])
        return first, second

    def put(self, pk: str, sk: str, attributes: Item, *, expected_revision: int) -> bool:
        """Replace the whole item, on condition that its revision is the expected one.

        Args:
            pk: Partition key.
            sk: Sort key.
            attributes: All others, `revision` included. One that identifies the write is added.
            expected_revision: 0: there is no item yet.

        Returns:
            Whether it was written. If not, another function has written it since it was read.

        Raises:
            LedgerError: The table did not answer, or refused.
        """
        write_id = new_write_id()
        try:
            self._client.put_item(
                TableName=self._name,
                Item={**_key(pk, sk), **attributes, WRITE_ID: to_attribute(write_id)},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **_unless_changed(expected_revision),
            )
        except (ClientError, BotoCoreError) as error:
            if _code(error) == "ConditionalCheckFailedException":
                return is_written_by(write_id, error)
            raise self._explained(error, "PutItem") from None
        return True

    def write(self, *changes: Change) -> dict[int, Item | None]:
        """Make all changes, or none. A single one costs half of what it costs in a transaction.

        Returns:
            Nothing when they were made. Otherwise the items that were not as expected, as they are (None:
            not there), by the position of their change.

        Raises:
            LedgerError: The table did not answer, or refused.
        """
        if len(changes) == 1:
            return self._write_one(changes[0])
        updates = [{"Update": self._update(change)} for change in changes]
        for pause in _PAUSES:
            try:
                # botocore adds a request token: a repetition after a lost answer is not a second write.
                self._client.transact_write_items(TransactItems=updates)
            except (ClientError, BotoCoreError) as error:
                reasons = _cancellation_reasons(error)
                codes = {str(reason.get("Code")) for reason in reasons} - {"None"}
                if "ConditionalCheckFailed" in codes:
                    return _current_items(reasons)
                if not codes & _BUSY_REASONS or pause is None:
                    raise self._explained(error, "UpdateItem", codes) from None
                self._wait(pause)
            else:
                return {}
        raise AssertionError("the last attempt returns or raises")

    def _write_one(self, change: Change) -> dict[int, Item | None]:
        write_id = new_write_id()
        update = self._update(replace(change, put={**change.put, WRITE_ID: write_id}))
        for pause in _PAUSES:
            try:
                self._client.update_item(**update)
            except (ClientError, BotoCoreError) as error:
                if _code(error) == "ConditionalCheckFailedException":
                    return {} if is_written_by(write_id, error) else {0: refused_item(error)}
                if _code(error) != _CONFLICT or pause is None:
                    raise self._explained(error, "UpdateItem") from None
                self._wait(pause)
            else:
                return {}
        raise AssertionError("the last attempt returns or raises")

    def _update(self, change: Change) -> dict[str, Any]:
        expires = None if self._kept_for is None else int(self._clock() + self._kept_for)
        return {"TableName": self._name, **update_of(change, expires=expires)}

    def _wait(self, pause: float) -> None:
        self._sleep(pause * random.random())  # noqa: S311 - spreads conflicting writes, no secret

    def _explained(self, error: Exception, action: str, reasons: Set[str] = frozenset()) -> LedgerError:
        code = _code(error)
        verb = "read" if action == "GetItem" else "written"
        if code == "ResourceNotFoundException":
            return LedgerError(
                f"The ledger's table {self._name!r} does not exist in this account and region.",
                hint="Deploy the stack again, or correct LEDGER_TABLE.",
            )
        if code in _DENIED:
            return LedgerError(
                f"The ledger's table {self._name!r} could not be {verb}: the function's role may not "
                f"do that: {quoted(error)}.",
                hint=f"Allow the role dynamodb:{action} on the table (and the use of the table's KMS key).",
            )
        if reasons & _BUSY_REASONS or code in {*_BUSY, _CONFLICT}:
            return LedgerError(
                f"The ledger's table {self._name!r} is too busy ({', '.join(sorted(reasons)) or code}).",
                hint="It will be retried. If this persists, raise the table's limits or send less at a time.",
            )
        return LedgerError(
            f"The ledger's table {self._name!r} could not be {verb}: {quoted(error)}.",
            hint="It will be retried. If this persists, check the table and the health of DynamoDB.",
        )


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": to_attribute(pk), "sk": to_attribute(sk)}


def _unless_changed(revision: int) -> dict[str, Any]:
    if not revision:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {
        "ConditionExpression": "revision = :revision",
        "ExpressionAttributeValues": {":revision": {"N": str(revision)}},
    }


def _code(error: Exception) -> str:
    return str(error.response["Error"].get("Code")) if isinstance(error, ClientError) else ""


def _cancellation_reasons(error: Exception) -> list[dict[str, Any]]:
    response: Mapping[str, Any] = error.response if isinstance(error, ClientError) else {}
    return list(response.get("CancellationReasons") or [])


def _current_items(reasons: Sequence[Mapping[str, Any]]) -> dict[int, Item | None]:
    return {
        position: reason.get("Item") or None
        for position, reason in enumerate(reasons)
        if reason.get("Code") == "ConditionalCheckFailed"
    }
