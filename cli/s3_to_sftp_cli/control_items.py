"""Items with which an operator steers the function: read whole, and replaced only as they were read."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.state.attributes import Item, to_attribute
from s3_to_sftp.state.write_id import WRITE_ID, is_written_by, new_write_id
from s3_to_sftp_cli.errors import CliError, ExitCode

_KEPT = 20
"""Earlier values that an item keeps."""

_NOT_KEPT = {"pk", "sk", "earlier", WRITE_ID}

_MOST_REASON_CHARACTERS = 500

T = TypeVar("T")


class ControlItems:
    """The items of one ledger.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:GetItem`, and `dynamodb:PutItem` to change one.
        table: The ledger's table.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, pk: str, sk: str) -> Item | None:
        """Return an item in the form of the low-level client; None: there is none.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        answer = self._client.get_item(TableName=self._table, Key=_key(pk, sk), ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def replace(self, pk: str, sk: str, attributes: Item, *, before: Item | None) -> None:
        """Write the whole item, on condition that nobody has written it since it was read.

        Args:
            pk: Partition key.
            sk: Sort key.
            attributes: All but the keys, `revision` included.
            before: As it was read; None: there was none.

        Raises:
            CliError: Somebody has.
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        write_id = new_write_id()
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**_key(pk, sk), **attributes, WRITE_ID: to_attribute(write_id)},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **_unless_changed(before),
            )
        except ClientError as error:
            if error.response["Error"].get("Code") != "ConditionalCheckFailedException":
                raise
            if is_written_by(write_id, error):
                return
            raise CliError(
                "Somebody else, or the function, has changed this at the same time. Nothing was written.",
                hint="See `s3-to-sftp status`, then repeat the command where it is still needed.",
                code=ExitCode.CONFLICT,
            ) from None


def next_revision(before: Item | None) -> int:
    """Return the revision of what replaces the item; one that is no number starts anew."""
    try:
        return int((before or {}).get("revision", {}).get("N", 0)) + 1
    except ValueError:
        return 1


def earlier_values(before: Item | None) -> dict[str, Any]:
    """Return the attribute `earlier` of what replaces the item: its values so far, and those before.

    Empty where there are none.
    """
    if before is None:
        return {}
    kept = list(before.get("earlier", {}).get("L", []))
    last = {name: value for name, value in before.items() if name not in _NOT_KEPT}
    return {"earlier": {"L": [*kept, {"M": last}][-_KEPT:]}}


def readable(read: Callable[[Item], T], item: Item | None) -> T | None:
    """Return the value of an item; None: there is no item, or it is corrupt and can only be replaced."""
    try:
        return None if item is None else read(item)
    except LedgerError:
        return None


def checked_reason(text: str) -> str:
    """Return the operator's reason, on one line.

    Raises:
        CliError: It says nothing, or too much.
    """
    reason = " ".join(text.split())
    if not reason or len(reason) > _MOST_REASON_CHARACTERS:
        got = f"{len(reason)} characters" if reason else "nothing"
        raise CliError(
            f"--reason must have 1 to {_MOST_REASON_CHARACTERS} characters, got {got}.",
            hint='Write why in a few words: --reason "planned maintenance".',
            code=ExitCode.USAGE,
        )
    return reason


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _unless_changed(before: Item | None) -> Mapping[str, Any]:
    if before is None:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    if "revision" not in before:
        return {"ConditionExpression": "attribute_exists(pk) AND attribute_not_exists(revision)"}
    return {
        "ConditionExpression": "revision = :revision",
        "ExpressionAttributeValues": {":revision": before["revision"]},
    }
