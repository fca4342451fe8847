"""What operators change in the ledger: conditional writes of items that were read before."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from s3_to_sftp.state.items import KEY
from s3_to_sftp.state.update_expression import Change, Put, update_of
from s3_to_sftp.state.write_id import WRITE_ID, is_written_by, new_write_id
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.object_name import typed_key, typed_object
from s3_to_sftp_cli.operator_messages import Request
from s3_to_sftp_cli.partner_files import details_of_confirmed

_CONFLICTS = 3
_OF_ONE_ATTEMPT = (
    "owner",
    "lease_until",
    "next_try",
    "progress",
    "hint",
    "error",
    "operation",
    "sftp_status",
)
_AT_THE_PARTNER = ("checkpoint", "commit")


class LedgerWriter:
    """Writes to the ledger's table.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:UpdateItem`.
        table: Name of the table.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def cancel(self, record: Record, request: Request) -> None:
        """Give a version that is not being sent the state CANCELLED.

        What is known of the file at the partner is kept: a resend starts from there.

        Raises:
            CliError: The item has changed since it was read.
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        put = {"state": "CANCELLED", "status": "CANCELLED", "reason": request.reason}
        self._end(record, request, put, removed=_OF_ONE_ATTEMPT)

    def cancel_and_forget(self, record: Record, request: Request) -> None:
        """Do the same, and forget what is known of its files: a resend starts from the beginning.

        Raises:
            See `cancel`.
        """
        if self.transact(forgetting_cancel(record, request)):
            raise changed_since(record)

    def confirm(self, record: Record, request: Request) -> dict[str, Any]:
        """Give a version with an unknown outcome the state DELIVERED; return its receipt.

        Raises:
            CliError: The item has changed since it was read, or does not say what was sent.
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        receipt = confirmed_receipt(record)
        day = datetime.fromtimestamp(request.at, UTC).date().isoformat()
        put: dict[str, Any] = {"state": "DELIVERED", "status": f"DELIVERED#{day}", "receipt": receipt}
        put |= _names(record)
        if record.item.get("plan"):  # its number, which the partner has, does not go to the next object
            put["had_other_names"] = True
        self._end(record, request, put, removed=(*_OF_ONE_ATTEMPT, *_AT_THE_PARTNER, "reason"))
        return receipt

    def confirm_file(self, record: Record, request: Request, found: Mapping[str, Any]) -> None:
        """Record that a file of a version with an unknown outcome is at the partner: the rest is to be done.

        Args:
            record: The version.
            request: Who says so, and why.
            found: Attributes of the version, which is in flight again.

        Raises:
            CliError: The item has changed since it was read.
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        put = {"status": "IN_FLIGHT", **found}
        self._end(record, request, put, removed=(*_OF_ONE_ATTEMPT, "reason"))

    def transact(self, *changes: Change) -> set[int]:
        """Make all changes, or none; return the positions of those whose condition did not hold.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        updates = [
            {"Update": {"TableName": self._table, **update_of(each, expires=None)}} for each in changes
        ]
        for attempt in range(_CONFLICTS + 1):
            try:
                self._client.transact_write_items(TransactItems=updates)
            except ClientError as error:
                reasons: Any = error.response.get("CancellationReasons") or ()
                codes = [str(each.get("Code")) for each in reasons]
                if "ConditionalCheckFailed" in codes:
                    return {place for place, code in enumerate(codes) if code == "ConditionalCheckFailed"}
                if "TransactionConflict" not in codes or attempt == _CONFLICTS:
                    raise
                time.sleep(0.1 * 2**attempt)
            else:
                return set()
        raise AssertionError("the last attempt returns or raises")

    def try_partner_now(self, server: str, breaker: Mapping[str, Any], *, now: float) -> bool:
        """Let the circuit breaker admit one function now; return whether it was as it was read.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        return self._update(
            {"pk": f"partner#{server}", "sk": "breaker"},
            {"retry_at": Decimal(str(round(now, 3))), "revision": breaker["revision"] + 1},
            revision=breaker["revision"],
        )

    def _end(
        self, record: Record, request: Request, put: Mapping[str, Any], *, removed: tuple[str, ...]
    ) -> None:
        item = record.item
        written = self._update(
            {"pk": item["pk"], "sk": record.stored_as},
            {**put, **_of_action(record, request), "revision": item["revision"] + 1},
            revision=item["revision"],
            removed=removed,
        )
        if not written:
            raise changed_since(record)

    def _update(
        self,
        key: Mapping[str, str],
        put: Mapping[str, Any],
        *,
        revision: int,
        removed: tuple[str, ...] = (),
    ) -> bool:
        """Write attributes of an item on condition of its revision; return whether that held."""
        serialize = TypeSerializer().serialize
        write_id = new_write_id()
        put = {**put, WRITE_ID: write_id}
        names = {f"#{number}": name for number, name in enumerate((*put, *removed))}
        alias = {name: key for key, name in names.items()}
        sets = ", ".join(f"{alias[name]} = :{number}" for number, name in enumerate(put))
        removes = ", ".join(alias[name] for name in removed)
        for attempt in range(_CONFLICTS + 1):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={name: {"S": value} for name, value in key.items()},
                    UpdateExpression=f"SET {sets}" + (f" REMOVE {removes}" if removes else ""),
                    ConditionExpression="revision = :revision",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues={
                        ":revision": {"N": str(revision)},
                        **{f":{number}": serialize(_exact(put[name])) for number, name in enumerate(put)},
                    },
                )
            except ClientError as error:
                code = error.response["Error"].get("Code")
                if code == "ConditionalCheckFailedException":
                    return is_written_by(write_id, error)
                if code != "TransactionConflictException" or attempt == _CONFLICTS:
                    raise
                time.sleep(0.1 * 2**attempt)
            else:
                return True
        raise AssertionError("the last attempt returns or raises")


def forgetting_cancel(record: Record, request: Request) -> Change:
    """Return the change that cancels a version and forgets its files, if nobody has changed it meanwhile."""
    item = record.item
    put: Put = {"state": "CANCELLED", "status": "CANCELLED", "reason": request.reason}
    put.update({**_of_action(record, request), **_names(record)}.items())
    return Change(
        pk=str(item["pk"]),
        sk=record.stored_as,
        expected={"revision": item["revision"]},
        put=put,
        remove=(*_OF_ONE_ATTEMPT, *_AT_THE_PARTNER, "plan", "steps"),
    )


def _names(record: Record) -> dict[str, Any]:
    """Return the names at the partner, written out: the item may leave to `commit` what one of them is."""
    is_in_key_item = record.stored_as == KEY and "temporaries" in record.item
    return {"temporaries": record.item["temporaries"]} if is_in_key_item else {}


def changed_since(record: Record) -> CliError:
    """Return the error for a version that somebody has written to since it was read."""
    return CliError(
        f"{record.key} has changed since it was read: a function is sending it. Nothing was changed.",
        hint=f"Look at it (`s3-to-sftp receipts {typed_key(record)}`), then repeat the command.",
        code=ExitCode.CONFLICT,
    )


def _of_action(record: Record, request: Request) -> dict[str, Any]:
    """Return what the item keeps of an action, and when it came into its new state."""
    return {
        # As the function writes it: text that sorts chronologically.
        "status_at": datetime.fromtimestamp(request.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "operator_actions": [*record.operator_actions, request.as_action()],
    }


def confirmed_receipt(record: Record) -> dict[str, Any]:
    """Return the receipt of a file that was complete at the partner, and that an operator says has arrived.

    Raises:
        CliError: The item does not say what was sent.
    """
    commit = record.item.get("commit")
    if not isinstance(commit, Mapping):
        raise CliError(
            f"The ledger does not say what was sent of {record.key}: there is nothing to confirm.",
            hint=f"`s3-to-sftp resend {typed_object(record)} --reason TEXT` sends it again; "
            f"`s3-to-sftp cancel {typed_object(record)} --reason TEXT` gives it up.",
            code=ExitCode.CONFLICT,
        )
    receipt = {
        "remote_path": commit["remote_path"],
        "bytes": commit["size"],
        "seconds": 0,
        "checksum_algorithm": commit.get("checksum_algorithm", ""),
        "checksum": commit.get("checksum", ""),
        "verified_by": commit.get("verified_by", "none"),
        "evidence": "confirmed",
        "streams": 1,
        "host_key": commit.get("host_key", ""),
        "attempt": record.attempts,
        "recovered": True,
        "request_id": record.owner or "",
    }
    receipt |= {"sha256": commit["sha256"]} if commit.get("sha256") else {}
    return {**receipt, **details_of_confirmed(record)}


def _exact(value: Any) -> Any:
    """Return a value that boto3's serializer takes: it refuses floats."""
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, Mapping):
        return {name: _exact(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(each) for each in value]
    return value
