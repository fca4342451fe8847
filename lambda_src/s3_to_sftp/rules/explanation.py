"""A plan in words, for people, and as JSON values, for programs."""

from typing import Any

from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists, PlannedAction, PlannedCompanion


def plan_as_json(plan: DeliveryPlan) -> dict[str, Any]:
    """Return the plan as JSON values, for people and programs."""
    return {
        "remote_path": plan.file.path,
        "temporary": plan.file.temporary or "a random, hidden name in the same directory",
        "if_exists": str(plan.if_exists),
        "mode": None if plan.mode is None else f"{plan.mode:03o}",
        "modified": plan.modified,
        "sequence": plan.sequence,
        "steps": steps_of(plan),
    }


def steps_of(plan: DeliveryPlan) -> list[str]:
    """Return what happens, one sentence for each step, in order."""
    return [
        *_upload(plan),
        *(f"put {each.path!r} ({_sized(each)})" for each in plan.companions_before),
        f"give the data its final name {plan.file.path!r}, {_EXISTING[plan.if_exists]}",
        *(f"put {each.path!r} ({_sized(each)})" for each in plan.companions_after),
        "record the receipt",
        *([_after(plan.after)] if plan.after else []),
    ]


def _after(after: PlannedAction) -> str:
    if after.action == "tag":
        tags = ", ".join(f"{name}={value}" for name, value in after.tags)
        return f"tag the version in S3: {tags}"
    if after.action == "move":
        return f"move the version in S3 to 's3://{after.bucket}/{after.key}'"
    return "delete the version in S3"


def _upload(plan: DeliveryPlan) -> list[str]:
    where = f"as {plan.file.temporary!r}" if plan.file.temporary else "under a random, hidden name"
    if plan.file.is_direct:
        where = "under the final name: the partner can see a part of it"
    attributes = [] if plan.mode is None else [f"mode {plan.mode:03o}"]
    attributes += [] if plan.modified is None else ["the time of the object"]
    taken = plan.sequence is not None
    return [
        *plan.transforms,
        f"upload the data {where}",
        *([f"set {' and '.join(attributes)}"] if attributes else []),
        *([f"take the next number of the sequence {plan.sequence!r}"] if taken else []),
    ]


_EXISTING = {
    IfExists.REPLACE: "replacing a file that has it",
    IfExists.REFUSE: "unless something has it: then the object is dead-lettered",
    IfExists.SKIP: "unless something has it: then the object is skipped",
    IfExists.NEW_NAME: "or one with a number if something has it",
}


def _sized(companion: PlannedCompanion) -> str:
    size = None if companion.content is None else len(companion.content)
    if size is None:
        return "its content follows from the data"
    return "empty" if not size else f"{size} byte{'s' if size > 1 else ''}"
