"""An S3 Inventory: the list of a bucket's objects that S3 writes once a day or a week, as CSV files."""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, cast
from urllib.parse import unquote_plus

from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.stored_objects import StoredObject, has_versions, own_version_id

_HOW = (
    "The inventory has to be in CSV, with the fields Size, LastModifiedDate and ETag, and of a bucket with "
    "versions it has to include all versions."
)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What the manifest of an inventory says.

    Attributes:
        bucket: Whose objects it lists.
        files: Bucket and key of the CSV files, in order.
        columns: Names of their columns, in order.
    """

    bucket: str
    files: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]


def read_manifest(client: Any, url: str) -> Inventory:
    """Read a manifest.json; needs `s3:GetObject` on it.

    Args:
        client: A low-level S3 client.
        url: `s3://bucket/path/manifest.json`.

    Raises:
        CliError: It is no manifest of an inventory in CSV.
        ClientError, BotoCoreError: S3 refused, or did not answer.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not key.endswith(".json"):
        raise CliError(
            f"{url!r} is not the address of a manifest.",
            hint="Write s3://BUCKET/PREFIX/SOURCE-BUCKET/ID/2026-11-29T01-00Z/manifest.json.",
            code=ExitCode.USAGE,
        )
    body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        manifest = json.loads(body)
        fields = tuple(name.strip() for name in str(manifest["fileSchema"]).split(","))
        file_format = str(manifest["fileFormat"])
        source = str(manifest["sourceBucket"])
        destination = str(manifest["destinationBucket"]).rpartition(":")[2]
        files = tuple((destination, str(each["key"])) for each in manifest["files"])
    except (ValueError, TypeError, KeyError) as error:
        raise CliError(
            f"{url} is not a manifest of an S3 Inventory ({type(error).__name__}: {error}).",
            hint="Name the manifest.json of one inventory.",
            code=ExitCode.USAGE,
        ) from None
    if file_format.upper() != "CSV":
        raise CliError(
            f"The inventory is in {file_format}. Only CSV can be read here, row by row and without a "
            "further library.",
            hint=f"Let S3 write it anew. {_HOW}",
            code=ExitCode.USAGE,
        )
    return Inventory(bucket=source, files=files, columns=fields)


def require_columns(inventory: Inventory, *, versioned: bool, with_time: bool) -> None:
    """Refuse an inventory that does not tell enough to know what was delivered.

    Args:
        inventory: As its manifest describes it.
        versioned: Whether the bucket has versions.
        with_time: Whether the time of each object counts.

    Raises:
        CliError: A column is missing.
    """
    needed = ["Bucket", "Key", "Size"]
    needed += ["VersionId", "IsLatest", "IsDeleteMarker"] if versioned else ["ETag"]
    needed += ["LastModifiedDate"] if with_time else []
    if missing := [name for name in needed if name not in inventory.columns]:
        raise CliError(
            f"The inventory of {inventory.bucket} has no {', '.join(missing)}: it has "
            f"{', '.join(inventory.columns)}.",
            hint=f"Without, it is not known what was delivered before. {_HOW}",
            code=ExitCode.USAGE,
        )


def objects_of(client: Any, inventory: Inventory, *, with_time: bool) -> Iterator[StoredObject]:
    """Yield the current versions that an inventory lists, in its order; one row at a time is in memory.

    Args:
        client: A low-level S3 client; needs `s3:GetObject` on the files.
        inventory: As its manifest describes it.
        with_time: Whether the time of each object counts.

    Raises:
        CliError: A column is missing, or a file is not as the manifest says.
        ClientError, BotoCoreError: S3 refused, or did not answer.
    """
    versioned = has_versions(client, inventory.bucket)
    require_columns(inventory, versioned=versioned, with_time=with_time)
    for number, (bucket, key) in enumerate(inventory.files):
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        try:
            for row_number, row in enumerate(_rows(body, is_gzip=key.endswith(".gz"))):
                stored = _stored(dict(zip(inventory.columns, row, strict=True)), (number, row_number))
                if stored is not None:
                    yield stored
        except (ValueError, EOFError, OSError, csv.Error) as error:
            raise CliError(
                f"The inventory's file s3://{bucket}/{key} is not as its manifest says: {error}.",
                hint="Use another day's inventory.",
            ) from None
        finally:
            body.close()


def _rows(body: BinaryIO, *, is_gzip: bool) -> Iterator[list[str]]:
    raw = cast("BinaryIO", gzip.GzipFile(fileobj=body)) if is_gzip else body
    return csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))


def _stored(row: dict[str, str], position: tuple[int, int]) -> StoredObject | None:
    """Return the object of a row; None: it is an older version, or a delete marker."""
    if row.get("IsLatest", "true") != "true" or row.get("IsDeleteMarker", "false") == "true":
        return None
    time = row.get("LastModifiedDate")
    return StoredObject(
        bucket=row["Bucket"],
        # As in a query string: "+" stands for a space.
        key=unquote_plus(row["Key"], errors="strict"),
        version_id=own_version_id(row.get("VersionId", "")),
        etag=row.get("ETag", "").strip('"'),
        size=int(row["Size"]),
        modified=datetime.fromisoformat(time) if time else None,
        position=position,
    )
