"""Files that earlier deliveries of a version have put: known by its receipts, when it is sent again."""

from collections.abc import Mapping

from s3_to_sftp.delivery_plan import DeliveryPlan
from s3_to_sftp.sftp.publish import PathStatus
from s3_to_sftp.state.attributes import RawAttribute
from s3_to_sftp.state.items import VersionItem


def own_files(version: VersionItem | None) -> Mapping[str, int | None]:
    """Return the final names in the receipts of a version, with bytes; None: a receipt does not say them."""
    if version is None:
        return {}
    found: dict[str, int | None] = {}
    for receipt in (*version.earlier_receipts, *((version.receipt,) if version.receipt else ())):
        found |= dict.fromkeys(_companions(receipt))
        found[receipt.text("remote_path")] = int(receipt.number("bytes"))
    return found


def is_own(there: PathStatus, path: str, plan: DeliveryPlan, own: Mapping[str, int | None]) -> bool:
    """Return whether what has a name of the plan is a file that an earlier delivery has put.

    Args:
        there: What has the name.
        path: The name.
        plan: Of the version.
        own: See `own_files`.
    """
    if path not in own or there.attributes is None or there.attributes.is_regular is False:
        return False
    contents = {each.path: each.content for each in plan.companions}
    content = contents.get(path)
    expected = own[path] if path not in contents else len(content) if content is not None else None
    return expected is None or there.attributes.size == expected


def _companions(receipt: RawAttribute) -> list[str]:
    fields = receipt.value.get("M", {})
    return [str(each["S"]) for each in fields.get("companions", {}).get("L", ()) if "S" in each]
