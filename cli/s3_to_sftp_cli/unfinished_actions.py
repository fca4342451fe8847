"""What is left to do with delivered objects in S3, by the rule `after_delivery`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from s3_to_sftp_cli.ledger import LedgerReader, Record
from s3_to_sftp_cli.sizes import count_text

_DAYS = 15
"""So long a message can be in the dead-letter queue, with the day on which it got there."""
_MOST_LOOKED_AT = 2000


@dataclass(frozen=True, kw_only=True)
class UnfinishedActions:
    """Delivered objects with which something is left to do in S3.

    Attributes:
        count: How many.
        failed: How many of them an attempt has failed with.
        is_complete: Whether all deliveries of the last 14 days were looked at, and not only the latest 2,000.
    """

    count: int
    failed: int
    is_complete: bool

    def as_json(self) -> dict[str, Any]:
        """Return the fields of the JSON document."""
        return {"unfinished": self.count, "failed": self.failed, "complete": self.is_complete}

    def in_words(self) -> Iterator[str]:
        """Yield the parts of the line for people; nothing: nothing is left to do."""
        if not self.count:
            return
        yield f"{count_text(self.count, 'delivered object')} to be tagged, moved or deleted in S3"
        if self.failed:
            yield f"{self.failed:,} of them failed"
        if not self.is_complete:
            yield f"(of the last {_MOST_LOOKED_AT:,} deliveries)"


def read_unfinished(ledger: LedgerReader, now: datetime) -> UnfinishedActions:
    """Count what is left to do; DynamoDB reads at most 2,000 items for it.

    Raises:
        ClientError, BotoCoreError: The table refused, or did not answer.
    """
    records, is_complete = ledger.with_unfinished_action(list(_days(now)), most=_MOST_LOOKED_AT)
    failed = sum(1 for record in records if _has_failed(record))
    return UnfinishedActions(count=len(records), failed=failed, is_complete=is_complete)


def _days(now: datetime) -> Iterator[date]:
    today = now.astimezone(UTC).date()
    return (today - timedelta(days=back) for back in range(_DAYS))


def _has_failed(record: Record) -> bool:
    after = record.item.get("after")
    return isinstance(after, Mapping) and bool(after.get("reason"))
