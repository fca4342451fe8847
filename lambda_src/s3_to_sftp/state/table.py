"""Conditional writes to the ledger's table, all or nothing, and what DynamoDB's refusals mean."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.state.items import Item, to_attribute
from s3_to_sftp.untrusted_text import quoted

_TRIES = 5
_FIRST_PAUSE_SECONDS = 0.05
# Why a transaction met others, not why it was wrong. botocore does not look at these and gives up at once.
_BUSY_REASONS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_DENIED = {"AccessDeniedException", "UnrecognizedClientException", "KMSAccessDeniedException"}

Path = str | tuple[str, str]
"""An attribute, or an entry of a map."""

Put = dict[Path, object]


@dataclass(frozen=True, kw_only=True)
class Change:
    """How one item shall change, provided that it is as expected.

    Attributes:
        pk: Partition key.
        sk: Sort key.
        expected: What these attributes must hold: a value, one of several (tuple), nothing (None).
        put: Attributes, or entries of maps that are there, and their new values.
        remove: What shall not be there any more.
    """

    pk: str
    sk: str
    expected: Mapping[str, object]
    put: Mapping[Path, object] = field(default_factory=dict)
    remove: Sequence[Path] = ()


class LedgerTable:
    """The table, for those who only ever write what depends on what is there.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:UpdateItem` and nothing else.
        name: The table.
        kept_for_seconds: Untouched for so long, an item is deleted by DynamoDB.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        *,
        kept_for_seconds: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._name = name
        self._kept_for = kept_for_seconds
        self._clock = clock
        self._sleep = sleep

    def write(self, *changes: Change) -> dict[int, Item | None]:
        """Make all changes, or none.

        Returns:
            Nothing when they were made. Otherwise the items that were not as expected, as they are (None:
            not there), by the position of their change.

        Raises:
            LedgerError: The table did not answer, or will not.
        """
        updates = [{"Update": self._update(change)} for change in changes]
        for pause in [_FIRST_PAUSE_SECONDS * 2**turn for turn in range(_TRIES - 1)] + [None]:
            try:
                # botocore adds a request token: a repetition after a lost answer is not a second write.
                self._client.transact_write_items(TransactItems=updates)
            except (ClientError, BotoCoreError) as error:
                reasons = _cancellation_reasons(error)
                codes = {str(reason.get("Code")) for reason in reasons} - {"None"}
                if "ConditionalCheckFailed" in codes:
                    return _as_they_are(reasons)
                if not codes & _BUSY_REASONS or pause is None:
                    raise self._explained(error, codes) from None
                self._sleep(pause * random.random())  # noqa: S311 - spreads those who met, hides nothing
            else:
                return {}
        raise AssertionError("the last try returns or raises")

    def _update(self, change: Change) -> dict[str, Any]:
        text = _Expression()
        sets = [f"{text.name(path)} = {text.value(value)}" for path, value in change.put.items()]
        sets.append(f"{text.name('expires')} = {text.value(int(self._clock() + self._kept_for))}")
        revision = text.name("revision")
        sets.append(f"{revision} = if_not_exists({revision}, {text.value(0)}) + {text.value(1)}")
        removes = [text.name(path) for path in dict.fromkeys(change.remove)]
        return {
            "TableName": self._name,
            "Key": {"pk": to_attribute(change.pk), "sk": to_attribute(change.sk)},
            "ConditionExpression": " AND ".join(
                text.comparison(name, value) for name, value in change.expected.items()
            ),
            "UpdateExpression": f"SET {', '.join(sets)}"
            + (f" REMOVE {', '.join(removes)}" if removes else ""),
            "ExpressionAttributeNames": text.names,
            "ExpressionAttributeValues": text.values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _explained(self, error: Exception, codes: set[str]) -> LedgerError:
        code = str(error.response["Error"].get("Code")) if isinstance(error, ClientError) else ""
        if code == "ResourceNotFoundException":
            return LedgerError(
                f"The ledger's table {self._name!r} does not exist in this account and region.",
                hint="Deploy the stack again, or correct LEDGER_TABLE.",
            )
        if code in _DENIED:
            return LedgerError(
                f"The function's role may not write to the ledger's table {self._name!r}: {quoted(error)}.",
                hint="Allow it dynamodb:UpdateItem on the table (and the use of the table's KMS key).",
            )
        if codes & _BUSY_REASONS:
            return LedgerError(
                f"The ledger's table {self._name!r} is too busy ({', '.join(sorted(codes))}).",
                hint="It is tried again; if it lasts, raise the table's limits or send less at a time.",
            )
        return LedgerError(
            f"The ledger's table {self._name!r} could not be written: {quoted(error)}.",
            hint="It is tried again; if it lasts, look at the table and the service's health.",
        )


class _Expression:
    """Collects the aliases of an update: many plain words, `temporary` for one, are reserved."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self._aliases: dict[str, str] = {}

    def name(self, path: Path) -> str:
        parts = (path,) if isinstance(path, str) else path
        return ".".join(self._alias(part) for part in parts)

    def value(self, value: object) -> str:
        alias = f":v{len(self.values)}"
        self.values[alias] = to_attribute(value)
        return alias

    def comparison(self, name: str, value: object) -> str:
        if value is None:
            return f"attribute_not_exists({self.name(name)})"
        if isinstance(value, tuple):
            return f"{self.name(name)} IN ({', '.join(self.value(one) for one in value)})"
        return f"{self.name(name)} = {self.value(value)}"

    def _alias(self, name: str) -> str:
        alias = self._aliases.setdefault(name, f"#n{len(self._aliases)}")
        self.names[alias] = name
        return alias


def _cancellation_reasons(error: Exception) -> list[dict[str, Any]]:
    response: Mapping[str, Any] = error.response if isinstance(error, ClientError) else {}
    return list(response.get("CancellationReasons") or [])


def _as_they_are(reasons: Sequence[Mapping[str, Any]]) -> dict[int, Item | None]:
    return {
        position: reason.get("Item") or None
        for position, reason in enumerate(reasons)
        if reason.get("Code") == "ConditionalCheckFailed"
    }
