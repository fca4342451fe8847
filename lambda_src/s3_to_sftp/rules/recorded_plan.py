"""The plan that a file was given its final name by, as the ledger keeps it with the commit.

Rules may be changed by a deployment while the files beside the data are still missing. What is at the partner
has the names and the number of the former rules, and so must these files.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists, PlannedCompanion, PlannedFile, default_plan
from s3_to_sftp.errors import Disposition, LedgerError
from s3_to_sftp.state.ledger import WITHOUT_RULES, Commit

_OF_TODAY = ("after", "timing")
"""What the rules say that hold when it is done."""


def plan_as_text(plan: DeliveryPlan) -> str:
    """Return the plan as the ledger keeps it; the content of each companion must be known."""
    companions = [
        {**vars(each), "content": base64.b64encode(each.content or b"").decode()} for each in plan.companions
    ]
    written = {**vars(plan), "file": vars(plan.file), "companions": companions}
    for name in _OF_TODAY:
        del written[name]
    return json.dumps(written, sort_keys=True)


def plan_of_file(commit: Commit) -> DeliveryPlan:
    """Return the plan by which a file got its final name, or may have.

    Raises:
        LedgerError: It cannot be read.
    """
    if commit.plan == WITHOUT_RULES:
        return default_plan(commit.remote_path)
    return plan_from_text(commit.plan)


def plan_from_text(text: str) -> DeliveryPlan:
    """Read what `plan_as_text` has written.

    Raises:
        LedgerError: It was not.
    """
    try:
        written = json.loads(text)
        return DeliveryPlan(
            **{
                **written,
                "file": PlannedFile(**written["file"]),
                "companions": tuple(map(_companion, written["companions"])),
                "if_exists": IfExists(written["if_exists"]),
                "digests": tuple(written["digests"]),
                "transforms": tuple(written["transforms"]),
            }
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise LedgerError(
            f"The plan of a commit in the ledger is corrupt: {error}.",
            hint="Look at the item; remove the attribute 'plan' of its commit, then redrive the message.",
            disposition=Disposition.PERMANENT,
        ) from None


def _companion(written: Mapping[str, Any]) -> PlannedCompanion:
    content = base64.b64decode(written["content"], validate=True)
    return PlannedCompanion(**{**written, "content": content})
