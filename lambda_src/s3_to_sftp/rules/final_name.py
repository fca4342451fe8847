"""The final name, where something may have it already."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists
from s3_to_sftp.errors import NameTaken, RuleRefused
from s3_to_sftp.outcomes import Skipped
from s3_to_sftp.rules.own_files import is_own
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.rule_set import RulesOfObject
from s3_to_sftp.sftp.publish import PathStatus, look
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.state.ledger import Lease, Ledger

_MOST_NAMES = 100
"""So many names are tried for one object."""


def claim_name(ledger: Ledger, lease: Lease, plan: DeliveryPlan, *, account: str, number: str = "") -> None:
    """Claim all final names for the key, so that no other key ever gets one, but with the number.

    Raises:
        NameTaken: Another key has it.
        LedgerError: The ledger cannot be used.
    """
    for path in plan.paths:
        ledger.claim_file(replace(lease, remote_path=path), f"name {path}", account=account, number=number)


async def require_free(
    session: SftpSession, plan: DeliveryPlan, *, ours: Sequence[str], own: Mapping[str, int | None]
) -> None:
    """Look whether something has one of the names that the plan gives.

    Args:
        session: To the partner.
        plan: Whose names they are.
        ours: Those that earlier attempts may have given already.
        own: Those that an earlier delivery has given, which is repeated: see `own_files`.

    Raises:
        RuleRefused: Something has one, and the rules say to refuse the object then.
        Skipped: The same, and they say to skip it.
    """
    if plan.if_exists not in (IfExists.REFUSE, IfExists.SKIP):
        return
    if taken := await _first_taken(session, plan, ours, own):
        raise _existing(plan, *taken)


async def free_name(
    session: SftpSession,
    rules: RulesOfObject,
    facts: PlanFacts,
    *,
    ledger: Ledger,
    lease: Lease,
    account: str,
) -> PlanFacts:
    """Return facts with the first name that is free, for rules that give another name then.

    Raises:
        RuleRefused: None of many names is free.
    """
    first = rules.plan(replace(facts, name=""))
    below = _below(rules.item.directory, first.file.path)
    stem, ext = posixpath.splitext(below)
    for number in range(1, _MOST_NAMES + 1):
        candidate = replace(facts, name="" if number == 1 else f"{stem}-{number}{ext}")
        plan = rules.plan(candidate)
        if await _first_taken(session, plan, ours=(), own={}):
            continue
        try:
            if plan.claims_name:
                claim_name(ledger, lease, plan, account=account)
        except NameTaken:
            continue
        return candidate
    raise RuleRefused(
        "if_exists",
        f"{first.file.path!r} and {_MOST_NAMES - 1} names like it are taken at the partner, and the rule "
        "'if_exists' is NEW_NAME.",
        value=first.file.path,
        hint="Put the object again under another key, or ask the partner to remove old files.",
    )


def _below(directory: str, path: str) -> str:
    return path.removeprefix(directory.rstrip("/") + "/") if directory else path


async def _first_taken(
    session: SftpSession, plan: DeliveryPlan, ours: Sequence[str], own: Mapping[str, int | None]
) -> tuple[str, PathStatus] | None:
    for path in plan.paths:
        if path in ours:
            continue
        there = await look(session, path)
        if there.present and not is_own(there, path, plan, own):
            return path, there
    return None


def _existing(plan: DeliveryPlan, path: str, there: PathStatus) -> RuleRefused | Skipped:
    what = "something"
    if there.attributes is not None:
        size, mtime = there.attributes.size, there.attributes.mtime
        what = "a directory" if there.attributes.is_directory else f"a file of {size} bytes"
        what += "" if mtime is None else f" of {datetime.fromtimestamp(mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if plan.if_exists is IfExists.SKIP and path == plan.file.path:
        return Skipped(
            f"{path!r} is {what} at the partner already, and the rule 'if_exists' is SKIP.",
            hint="No action needed; `s3-to-sftp resend KEY --reason TEXT` tries it again.",
        )
    return RuleRefused(
        "if_exists",
        f"{path!r} is {what} at the partner already, and the rule 'if_exists' is {plan.if_exists.name}.",
        value=path,
        hint="Put the object again under another key, or ask the partner to remove that file and redrive the "
        "message.",
    )
