"""What the rules need to know about an object beside its event."""

from dataclasses import replace
from typing import Any

from s3_to_sftp.rules.object_properties import read_properties, read_tags
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.rule_set import RulesOfObject
from s3_to_sftp.s3.object_ref import ObjectRef


def first_facts(rules: RulesOfObject, ref: ObjectRef, s3: Any, *, now: float) -> PlanFacts:
    """Return the facts of an object that is planned for the first time; S3 is asked where the rules need it.

    Args:
        rules: Of the object.
        ref: The object.
        s3: boto3's S3 client.
        now: Seconds since 1970.

    Raises:
        ObjectReadError: S3 does not tell.
    """
    facts = rules.first_facts(ref, now=now)
    written = rules.rules
    if written is None:
        return facts
    if written.metadata_used or (ref.event_time is None and written.uses_event_time):
        properties = read_properties(s3, ref)
        metadata = {name: properties.metadata.get(name.lower()) for name in written.metadata_used}
        event_time = ref.event_time if ref.event_time is not None else properties.put_at
        facts = replace(facts, metadata=_known(metadata), event_time=event_time)
    if written.tags_used:
        tags = read_tags(s3, ref)
        facts = replace(facts, tags=_known({name: tags.get(name) for name in written.tags_used}))
    return facts


def _known(values: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
