"""From rules and object to everything that will happen: one pure function."""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from s3_to_sftp.delivery_plan import DeliveryPlan, PlanFacts, PlannedCompanion, PlannedFile
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.remote_path import remote_path
from s3_to_sftp.rules.companion import Checksum, Companion
from s3_to_sftp.rules.delivery_rules import FOLDER_FIELDS, DeliveryRules
from s3_to_sftp.rules.template import MissingValue, Pending, Template

_MOST_CONTENT_BYTES = 256 * 1024
"""Of a companion's content."""


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
            are not, companions have no content yet.

    Raises:
        RuleRefused: The rules give it no name, or one that they do not allow. It names rule, value, and what
            to change.
        RemotePathRefused: Its name would leave the directory, or is none.
    """
    values = _values(rules, item, facts)
    path = _path(rules, item, facts, values)
    file = PlannedFile(path=path, temporary=_temporary(rules, facts, path))
    beside = {**values, **_of_name(posixpath.basename(path)), **_of_content(item, facts, path)}
    companions = [
        _companion(str(place), companion, rules, facts, path, beside)
        for place, companion in enumerate(rules.companions, 1)
    ]
    _require_different_names(item, path, companions)
    used = {name for name in Checksum if any(template.uses(name) for template in rules.templates)}
    return DeliveryPlan(
        file=file,
        companions=tuple(sorted(companions, key=lambda each: not each.is_before)),
        if_exists=rules.if_exists,
        claims_name=not _is_unique(rules),
        mode=rules.mode,
        modified=facts.event_time if rules.preserve_time else None,
        requires_attributes=rules.require_attributes,
        sequence=rules.sequence.name if rules.sequence else None,
        digests=tuple(sorted(used)),
    )


def _values(rules: DeliveryRules, item: PlannedObject, facts: PlanFacts) -> dict[str, object]:
    relative = item.key.removeprefix(item.prefix) or item.key
    values: dict[str, object] = {
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
        "sequence": facts.sequence,
        **({"sequence": Pending("sequence")} if _is_pending(rules, facts) else {}),
        **_of_name(item.key.rpartition("/")[2]),
    }
    return values


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


def _path(rules: DeliveryRules, item: PlannedObject, facts: PlanFacts, values: Mapping[str, object]) -> str:
    for field in Template(rules.name).fields:
        if field.name not in FOLDER_FIELDS:
            _require_one_name(item, str(field), values, field.name, field.index)
    path = facts.name or _rendered("name", rules.name, item, values)
    folder, name = _folder(path), path.rpartition("/")[2]
    name = _in_case(rules, name)
    if _is_pending(rules, facts):  # so much can be said about the name
        _check_name(rules, item, name.replace(_NUMBER, _first_number(rules)))
    else:
        _check_name(rules, item, name)
    return remote_path(directory=item.directory, key=folder + name, named_by=f"The rules give {item.key!r}")


def _first_number(rules: DeliveryRules) -> str:
    form = next((field.form for field in Template(rules.name).fields if field.name == "sequence"), "")
    return format(rules.sequence.start if rules.sequence else 0, form)


def _in_case(rules: DeliveryRules, name: str) -> str:
    before, pending, after = name.partition(_NUMBER)
    parts = [before, after]
    if rules.case is not None:
        parts = [part.upper() if rules.case == "upper" else part.lower() for part in parts]
    return pending.join(parts) if pending else parts[0]


def _require_one_name(
    item: PlannedObject, shown: str, values: Mapping[str, object], field: str, index: str
) -> None:
    """Refuse a value that would add directories, or leave one: it is text of others."""
    value = values.get(field)
    if isinstance(value, Mapping):
        value = value.get(index)
    if isinstance(value, str) and re.search(r"[/\\]", value):
        raise RuleRefused(
            "name",
            f"The field {{{shown}}} of the rule 'name' is {value!r} for {item.key!r}: it holds '/' or '\\', "
            "and would lead to another directory.",
            value=value,
            hint=f"Put the object again with another {shown}, or leave the field out of the rule.",
        )


def _check_name(rules: DeliveryRules, item: PlannedObject, name: str) -> None:
    if rules.max_name_length is not None and len(name) > rules.max_name_length:
        raise RuleRefused(
            "max_name_length",
            f"The name {name!r} of {item.key!r} has {len(name)} characters, and the rule 'max_name_length' "
            f"allows {rules.max_name_length}.",
            value=name,
            hint="Put the object again under a shorter key, or cut a field of the rule 'name', as in "
            "{stem:.20}.",
        )
    if rules.allowed_names is not None and not re.fullmatch(rules.allowed_names, name):
        raise RuleRefused(
            "allowed_names",
            f"The name {name!r} of {item.key!r} does not match the rule 'allowed_names', "
            f"{rules.allowed_names!r}.",
            value=name,
            hint="Put the object again under a key whose name matches, or change the rule 'name' or "
            "'allowed_names'.",
        )


def _rendered(rule: str, text: str, item: PlannedObject, values: Mapping[str, object]) -> str:
    try:
        return Template(text).rendered(values)
    except MissingValue as missing:
        raise RuleRefused(
            rule,
            f"The rule {rule!r}, {text!r}, needs {{{missing.field}}}, which {item.key!r} does not have.",
            value=missing.field,
            hint=f"Put the object again with a {missing.field}, or change the rule {rule!r}.",
        ) from None


def _temporary(rules: DeliveryRules, facts: PlanFacts, path: str) -> str:
    if rules.temporary is None:
        return ""
    directory, name = posixpath.split(path)
    # The bytes are there before the number is known.
    name = name.replace(_NUMBER, str(_TOKEN)) if _is_pending(rules, facts) else name
    text = Template(rules.temporary).rendered({**_of_name(name), "token": _TOKEN})
    return text if "/" in text else posixpath.join(directory, text)


def _companion(
    number: str,
    companion: Companion,
    rules: DeliveryRules,
    facts: PlanFacts,
    path: str,
    values: Mapping[str, object],
) -> PlannedCompanion:
    name = Template(companion.name).rendered(values)
    own = posixpath.join(posixpath.dirname(path), name)
    if "/" in name or name in {"", ".", ".."}:
        raise RuleRefused(
            "companions",
            f"The name {name!r} of a companion of {path!r} is no file name.",
            value=name,
            hint="Change the rule 'companions': companions are in the directory of the data.",
        )
    return PlannedCompanion(
        id=number,
        path=remote_path(directory=posixpath.dirname(own), key=name, named_by="The rule 'companions' gives"),
        temporary=_temporary(rules, facts, own),
        is_before=companion.before,
        content=_content(companion, path, values),
    )


def _content(companion: Companion, path: str, values: Mapping[str, object]) -> bytes | None:
    template = Template(companion.content)
    used = [values.get(field.name) for field in template.fields]
    if any(isinstance(value, Pending) for value in (*used, values.get("sequence"))):
        return None
    try:
        text = template.rendered(values)
    except MissingValue as missing:
        raise RuleRefused(
            "companions",
            f"The content of {companion.name!r} needs {{{missing.field}}}, which the object does not have.",
            value=missing.field,
            hint=f"Put the object again with a {missing.field}, or change the rule 'companions'.",
        ) from None
    try:
        content = text.encode(companion.encoding)
    except UnicodeEncodeError:
        raise RuleRefused(
            "companions",
            f"The content of {companion.name!r} for {path!r} cannot be written in {companion.encoding}.",
            value=companion.encoding,
            hint="Change 'encoding' of the rule 'companions', or the name of the object.",
        ) from None
    if len(content) > _MOST_CONTENT_BYTES:
        raise RuleRefused(
            "companions",
            f"The content of {companion.name!r} for {path!r} has {len(content)} bytes, and at most "
            f"{_MOST_CONTENT_BYTES} are allowed.",
            value=companion.name,
            hint="Shorten the content in the rule 'companions'.",
        )
    return content


def _require_different_names(item: PlannedObject, path: str, companions: list[PlannedCompanion]) -> None:
    paths = [path, *(companion.path for companion in companions)]
    repeated = [each for each in paths if paths.count(each) > 1]
    if repeated:
        raise RuleRefused(
            "companions",
            f"The rules give two files of {item.key!r} the name {repeated[0]!r}.",
            value=repeated[0],
            hint="Change a name in the rule 'companions'.",
        )


def _is_unique(rules: DeliveryRules) -> bool:
    """Return whether two keys never get the same name."""
    whole = any(
        field.name in {"key", "relative_key", "version", "sequence"} and not field.form.startswith(".")
        for field in Template(rules.name).fields
    )
    return whole and rules.case is None
