"""Plans of keys: for the tests of an app, and at synth for the examples that the rules give."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aws_cdk import aws_s3 as s3
from constructs import IConstruct

from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.arguments import InvalidArgument, is_token
from cdk_s3_to_sftp.hours_warnings import check_hours
from cdk_s3_to_sftp.openpgp import check_keys
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.source_registry import identity
from cdk_s3_to_sftp.sources import Source
from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists
from s3_to_sftp.errors import RemotePathRefused, RuleRefused
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.explanation import plan_as_json
from s3_to_sftp.rules.filter import never_matches
from s3_to_sftp.rules.plan import PlannedObject, plan
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.template import Template

SAMPLE_TIME = 1_767_323_045
"""When an example is put and delivered: 2026-01-02T03:04:05Z."""
SAMPLE_BUCKET = "example-bucket"
_SAMPLE_VERSION = "3sL4kqtJlcpXroDTDmJ-rmSpXd3dIb.Y"
_SAMPLE_BYTES = b"example"
_SAMPLE_VALUE = "x"
_NUMBERS = {"sequence", "event_time", "delivery_time"}
"""Fields that say nothing of the object's key."""


def rules_of(source: Source, server: SftpServer) -> DeliveryRules | None:
    """Return the rules for the objects of a source."""
    return server.rules if source.rules is None else source.rules


def check_filter_of_source(source: Source, server: SftpServer) -> None:
    """Refuse a filter that lets no object of the source through.

    Raises:
        InvalidArgument: It does not.
    """
    rules = rules_of(source, server)
    if rules is None or rules.only is None or is_token(source.prefix) or is_token(source.suffix):
        return
    if why := never_matches(rules.only, prefix=source.prefix or "", suffix=source.suffix or ""):
        raise InvalidArgument("rules", f"must let some objects of {source} be delivered by 'only', but {why}")


def check_numbers_of_source(source: Source, others: Sequence[Source], server: SftpServer) -> None:
    """Refuse names that two sequences give, each to another object: `B_0001.csv` of both.

    Raises:
        InvalidArgument: They do.
    """
    mine = rules_of(source, server)
    for other in others:
        theirs = rules_of(other, server)
        if mine is None or theirs is None or mine.sequence is None or theirs.sequence is None:
            continue
        says_nothing_else = all(field.name in _NUMBERS for field in Template(mine.name).fields)
        is_same = mine.name == theirs.name and _directory(source, server) == _directory(other, server)
        if is_same and says_nothing_else and mine.sequence.name != theirs.sequence.name:
            raise InvalidArgument(
                "rules",
                f"must not give files of two sequences one name, got {mine.name!r} with the sequence "
                f"{theirs.sequence.name!r} for {other} and with {mine.sequence.name!r} for {source}: give "
                "both the same sequence, or one of them another name or directory",
            )


def _directory(source: Source, server: SftpServer) -> str | None:
    return source.directory or server.directory


def has_cut_off(server: SftpServer, sources: Sequence[Source]) -> bool:
    """Return whether any rules have a cut-off."""
    given = [server.rules, *(source.rules for source in sources)]
    return any(rules is not None and rules.cut_off is not None for rules in given)


def may_hold(source: Source, key: str) -> bool:
    """Return whether an object with this key may be one of the source's: Tokens may stand for anything."""
    begins = is_token(source.prefix) or key.startswith(source.prefix or "")
    return begins and (is_token(source.suffix) or key.endswith(source.suffix or ""))


def plan_of(key: str, source: Source, server: SftpServer, *, number: int | None = None) -> DeliveryPlan:
    """Return what will happen to an object, with sample values for what the key does not say.

    Args:
        key: The object's key.
        source: One that holds it.
        server: The partner's server.
        number: In its sequence, if it has one. None: the first.

    Raises:
        RemotePathRefused: The rules give it no name, or one that they or SFTP do not allow.
    """
    rules = rules_of(source, server) or DeliveryRules()
    first = rules.sequence.start if rules.sequence else None
    item = PlannedObject(
        bucket=SAMPLE_BUCKET if is_token(source.bucket_name) else source.bucket_name,
        key=key,
        version_id=_SAMPLE_VERSION,
        directory=source.directory or server.directory or "",
        prefix="" if is_token(source.prefix) else source.prefix or "",
    )
    facts = PlanFacts(
        delivery_time=SAMPLE_TIME,
        event_time=SAMPLE_TIME,
        metadata=dict.fromkeys(rules.metadata_used, _SAMPLE_VALUE),
        tags=dict.fromkeys(rules.tags_used, _SAMPLE_VALUE),
        sequence=first if number is None else number,
        size=len(_SAMPLE_BYTES),
        digests={name: hashlib.new(name, _SAMPLE_BYTES).hexdigest() for name in ("sha256", "md5")},
    )
    return plan(rules, item, facts)


def plan_for(
    key: str, server: SftpServer, sources: Sequence[Source], *, bucket: s3.IBucket | None
) -> dict[str, Any]:
    """Return what will happen to an object, as JSON values.

    Args:
        key: The object's key.
        server: The partner's server.
        sources: All sources.
        bucket: The object's bucket. None: that of the only source that the key may be of.

    Raises:
        InvalidArgument: No source has such an object, several have one, or the rules refuse it.
    """
    wanted = bucket and identity(bucket)
    holding = [each for each in sources if may_hold(each, key) and wanted in (None, identity(each.bucket))]
    if not holding:
        watched = ", ".join(map(str, sources)) or "none"
        raise InvalidArgument(
            "key", f"must be of an object of a source, got {key!r}: the sources are {watched}"
        )
    if len({identity(each.bucket) for each in holding}) > 1:
        found = ", ".join(map(str, holding))
        raise InvalidArgument("bucket", f"must be given where several sources have such a key: {found}")
    try:
        # As the function does: the source that names the object most closely.
        source = max(holding, key=lambda each: (len(each.prefix or ""), len(each.suffix or "")))
        return plan_as_json(plan_of(key, source, server))
    except RemotePathRefused as refused:
        raise InvalidArgument("key", f"must be one that can be delivered: {refused.reason}") from None


def example_errors(server: SftpServer, sources: Sequence[Source]) -> list[str]:
    """Return a sentence for each example that cannot be delivered, or that has the name of another one."""
    named: dict[str, str] = {}
    numbers: dict[str, int] = {}
    return [
        error
        for rules, examples in _examples(server, sources).items()
        for key in examples
        for error in _errors_of(key, rules, server, sources, named, numbers)
    ]


def warn_of_rules(scope: IConstruct, rules: DeliveryRules) -> None:
    """Warn if rules weaken a guarantee, or if nothing shows at synth that they can be kept.

    Raises:
        InvalidRule: Keys that they name cannot be used today, or no window opens within a year.
    """
    check_keys(scope, rules)
    check_hours(scope, rules)
    if rules.is_direct:
        warn(
            scope,
            "filesUnderFinalNames",
            "The rule temporary='{name}' has files written under their final names: the partner can see and "
            "take a part of a file. If the partner allows another name until a file is complete, write it, "
            "such as temporary='{name}.partial'.",
        )
    if rules.allowed_names is not None and not rules.examples:
        warn(
            scope,
            "rulesWithoutExamples",
            f"Nothing shows whether names match the rule allowed_names, {rules.allowed_names!r}: objects "
            "whose names do not match will be dead-lettered. Give the rules examples=[...], some keys.",
        )


def _examples(server: SftpServer, sources: Sequence[Source]) -> Mapping[DeliveryRules, list[str]]:
    """Return the examples of all rules, each key once. Rules that are equal may have different ones."""
    given = [each for each in (server.rules, *(source.rules for source in sources)) if each is not None]
    return {
        rules: list(dict.fromkeys(key for each in given if each == rules for key in each.examples))
        for rules in given
    }


def _errors_of(
    key: str,
    rules: DeliveryRules,
    server: SftpServer,
    sources: Sequence[Source],
    named: dict[str, str],
    numbers: dict[str, int],
) -> Iterator[str]:
    """Check one example.

    Args:
        key: The example.
        rules: The rules that it is of.
        server: The partner's server.
        sources: All sources.
        named: By final name, the key of the example that has it. Changed.
        numbers: By sequence, the next number. Changed.
    """
    having = [source for source in sources if rules_of(source, server) == rules]
    holding = [source for source in having if may_hold(source, key)]
    if not holding:
        filters = ", ".join(f"'{each.prefix or ''}*{each.suffix or ''}'" for each in having)
        yield (
            f"the example {key!r} of the rules is an object of no source that has these rules "
            f"({filters or 'there is none'}): change the example, or the prefix or suffix of a source"
        )
    if rules.only is not None and (why := rules.only.refusal_of_key(key)):
        yield (
            f"the example {key!r} of the rules is not delivered, by their rule 'only': {why}. Change the "
            "example, or the rule"
        )
        return
    number = None
    if rules.sequence:
        number = numbers.setdefault(rules.sequence.name, rules.sequence.start)
        numbers[rules.sequence.name] += 1
    for source in holding:
        try:
            planned = plan_of(key, source, server, number=number)
        except RemotePathRefused as refused:
            rule = refused.rule if isinstance(refused, RuleRefused) else "name"
            # Nobody can say yet what the real value will be.
            if not (rule == "allowed_names" and _depends_on_object(rules)):
                yield (
                    f"the example {key!r} of the rules cannot be delivered: {refused.reason} Change the rule "
                    f"{rule!r}, or the example"
                )
            continue
        yield from _repeated(key, rules, planned, named)


def _repeated(key: str, rules: DeliveryRules, planned: DeliveryPlan, named: dict[str, str]) -> Iterator[str]:
    if rules.if_exists is IfExists.NEW_NAME or _depends_on_object(rules):
        return
    for path in planned.paths:
        other = named.setdefault(path, key)
        if other != key:
            yield (
                f"the examples {other!r} and {key!r} of the rules have the same name {path!r} at the "
                "partner: add a field to the rule 'name' that tells them apart, or change an example"
            )


def _depends_on_object(rules: DeliveryRules) -> bool:
    """Return whether names depend on what the key does not say, for which there is only a sample value."""
    return Template(rules.name).uses("metadata", "tag", "version")
