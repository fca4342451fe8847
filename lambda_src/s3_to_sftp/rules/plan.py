"""From rules and object to everything that will happen: one pure function."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from s3_to_sftp.delivery_plan import DeliveryPlan, PlannedCompanion, PlannedFile
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.remote_path import joined
from s3_to_sftp.rules.after_plan import planned_action
from s3_to_sftp.rules.companion import Checksum
from s3_to_sftp.rules.contents import content_of
from s3_to_sftp.rules.delivery_rules import FOLDER_FIELDS, DeliveryRules
from s3_to_sftp.rules.plan_checks import check_field, check_files, check_name, check_temporary
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.template import MissingValue, Pending, Template, value_of
from s3_to_sftp.rules.transformed_object import TransformedObject
from s3_to_sftp.rules.uniqueness import is_unique


@dataclass(frozen=True, kw_only=True)
class PlannedObject:
    """The object that a plan is for.

    Attributes:
        bucket: Its bucket.
        key: Its decoded key.
        version_id: Its version; empty: it has none.
        directory: Remote directory of its source.
        prefix: Of its source, which `relative_key` leaves out.
    """

    bucket: str
    key: str
    version_id: str = ""
    directory: str = ""
    prefix: str = ""


_NUMBER = str(Pending("sequence"))
_TOKEN = Pending("token")


def plan(rules: DeliveryRules, item: PlannedObject, facts: PlanFacts) -> DeliveryPlan:
    """Return everything that will happen to the object: names, order, and what is beside it.

    Args:
        rules: Of the partner, or of the object's source.
        item: The object.
        facts: What is known besides. Where the number is not, names hold `{sequence}`; where size or digests
            are not, companions have no content yet. What does not depend on the number is checked without
            it: a number is not taken for an object that is refused.

    Raises:
        RuleRefused: The rules give it no name, or one that they do not allow, or one that is none below the
            directory. It names rule, value, and what to change.
    """
    values = _values(rules, item, facts)
    path = _checked_path(rules, item, facts, values)
    paths = _paths(rules, path, values)
    files = [PlannedFile(path=each, temporary=_temporary(rules, facts, each)) for each in paths]
    check_temporary(rules, item.key, files)
    beside = {**values, **_of_name(posixpath.basename(path)), **_of_content(item, facts, path)}
    companions = [
        PlannedCompanion(
            id=companion.name,
            path=file.path,
            temporary=file.temporary,
            is_before=companion.before,
            content=content_of(companion, path, beside),
        )
        for companion, file in zip(rules.companions, files[1:], strict=True)
    ]
    used = {name for name in Checksum if any(template.uses(name) for template in rules.templates)}
    return DeliveryPlan(
        file=files[0],
        companions=tuple(sorted(companions, key=lambda each: not each.is_before)),
        if_exists=rules.if_exists,
        claims_name=not is_unique(
            rules.name, tuple(each.name for each in rules.companions), keeps_case=rules.case is None
        ),
        mode=rules.mode,
        modified=facts.event_time if rules.preserve_time else None,
        requires_attributes=rules.require_attributes,
        sequence=rules.sequence.name if rules.sequence else None,
        number=facts.sequence if rules.sequence else None,
        digests=tuple(sorted(used)),
        transforms=tuple(each.described(transformed_object(item, facts)) for each in rules.transforms),
        after=planned_action(rules.after_delivery, item),
    )


def transformed_object(item: PlannedObject, facts: PlanFacts) -> TransformedObject:
    """Return what transforms know of the object."""
    return TransformedObject(name=item.key.rpartition("/")[2], event_time=facts.event_time)


def _values(rules: DeliveryRules, item: PlannedObject, facts: PlanFacts) -> dict[str, object]:
    # A prefix may end within a path, as `in` does: then '/' would be left in front.
    relative = item.key.removeprefix(item.prefix).removeprefix("/") if item.prefix else item.key
    relative = relative or item.key
    number = Pending("sequence") if _is_pending(rules, facts) else facts.sequence
    return {
        "key": item.key,
        "relative_key": relative,
        "folder": _folder(item.key),
        "relative_folder": _folder(relative),
        "part": item.key.split("/"),
        "version": item.version_id or None,
        "metadata": facts.metadata,
        "tag": facts.tags,
        "event_time": _time(rules, facts.event_time),
        "delivery_time": _time(rules, facts.delivery_time),
        "sequence": number,
        **_of_name(item.key.rpartition("/")[2]),
    }


def _is_pending(rules: DeliveryRules, facts: PlanFacts) -> bool:
    return rules.sequence is not None and facts.sequence is None


def _time(rules: DeliveryRules, seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).astimezone(rules.zone)


def _folder(key: str) -> str:
    return key[: key.rfind("/") + 1]


def _of_name(name: str) -> dict[str, object]:
    stem, ext = posixpath.splitext(name)
    return {"name": name, "stem": stem, "ext": ext}


def _of_content(item: PlannedObject, facts: PlanFacts, path: str) -> dict[str, object]:
    known: dict[str, object] = {str(name): facts.digests.get(name) or Pending(name) for name in Checksum}
    size = Pending("bytes") if facts.size is None else facts.size
    return {"path": path, "bytes": size, "count": 1, "bucket": item.bucket, "key": item.key, **known}


def _checked_path(
    rules: DeliveryRules, item: PlannedObject, facts: PlanFacts, values: Mapping[str, object]
) -> str:
    """Return the path of the data, which has been checked with the first number if it has none yet."""
    if facts.name:
        name = facts.name
    else:
        for field in Template(rules.name).fields:
            if field.name not in FOLDER_FIELDS:
                check_field(item.key, field, value_of(field, values))
        name = _rendered(rules, item, values)
    path = joined(directory=item.directory, name=_in_case(rules, name, facts))
    if rules.sequence is None or facts.sequence is not None:
        check_name(rules, item, _in_case(rules, name, facts))
        check_files(item.key, _paths(rules, path, values))
        return path
    numbered = replace(facts, sequence=rules.sequence.start)
    with_number = _values(rules, item, numbered)
    known = _checked_path(rules, item, numbered, with_number)
    for companion in rules.companions:
        beside = {**with_number, **_of_name(posixpath.basename(known)), **_of_content(item, facts, known)}
        content_of(companion, known, beside)
    return path


def _rendered(rules: DeliveryRules, item: PlannedObject, values: Mapping[str, object]) -> str:
    try:
        return Template(rules.name).rendered(values)
    except MissingValue as missing:
        raise RuleRefused(
            "name",
            f"The rule 'name', {rules.name!r}, needs {{{missing.field}}}, which {item.key!r} does not have.",
            value=missing.field,
            hint=f"Put the object again with a {missing.field}, or change the rule 'name'.",
        ) from None


def _in_case(rules: DeliveryRules, path: str, facts: PlanFacts) -> str:
    folder, name = _folder(path), path.rpartition("/")[2]
    parts = name.split(_NUMBER) if _is_pending(rules, facts) else [name]
    return folder + _NUMBER.join(map(rules.in_case, parts))


def _paths(rules: DeliveryRules, path: str, values: Mapping[str, object]) -> list[str]:
    """Return the paths of the data and of the files beside it."""
    directory, name = posixpath.split(path)
    beside = {**values, **_of_name(name)}
    names = [Template(companion.name).rendered(beside) for companion in rules.companions]
    return [path, *(posixpath.join(directory, each) for each in names)]


def _temporary(rules: DeliveryRules, facts: PlanFacts, path: str) -> str:
    if rules.temporary is None:
        return ""
    directory, name = posixpath.split(path)
    # The bytes are there before the number is known.
    name = name.replace(_NUMBER, str(_TOKEN)) if _is_pending(rules, facts) else name
    text = Template(rules.temporary).rendered({**_of_name(name), "token": _TOKEN})
    return text if "/" in text else posixpath.join(directory, text)
