"""What a delivery of an object would do now: answers the operator's command, `s3-to-sftp plan`.

Nothing is written, and nobody connects to the partner. The plan is made as a delivery makes it: from the same
rules, by the same function, from what S3 says of the object and the ledger keeps of its earlier attempts.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from s3_to_sftp.configured_by import VARIABLE, in_words_of_author
from s3_to_sftp.delivery_plan import DeliveryPlan, default_plan
from s3_to_sftp.errors import ConfigurationError, DeliveryError, LedgerError
from s3_to_sftp.outcomes import DeliveriesPaused, FolderMarker
from s3_to_sftp.remote_path import directory_of, remote_path, source_of
from s3_to_sftp.rules.explanation import plan_as_json
from s3_to_sftp.rules.object_properties import read_properties
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.settings import Settings
from s3_to_sftp.state.items import VersionItem, partition_key, read_version, version_key
from s3_to_sftp.state.pause import DynamoPause
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.table import Table

if TYPE_CHECKING:
    from s3_to_sftp.rules.rule_set import RulesOfObject

OPERATION = "plan"
_CONFIG = Config(connect_timeout=5, read_timeout=10)
_NAMES = ("bucket", "key", "version_id", "etag", "sequencer")


def answer(
    event: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    new_client: Callable[..., Any],
    now: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Return the plan of an object as JSON values, or why it has none. Never raises for what others answer.

    Args:
        event: `bucket`, `key`, and `version_id` where it is not the current version; in buckets without
            versions `etag` and `sequencer` as the ledger has them, where the object is in it. `size` (bytes)
            says that the object is not in S3 yet: then nothing asks S3 for it. Or `rules`, which is true: for
            all rules as a document, and nothing else.
        environment: Of the function.
        new_client: `boto3.client`.
        now: Seconds since 1970.
    """
    if event.get("rules") is True:
        return _written_rules(environment)
    document: dict[str, Any] = {
        **dict.fromkeys(("object", "state", "rules", "facts", "plan", "sequence", "waits")),
        "refused": None,
    }
    try:
        ref = _asked_for(event)
        settings = Settings.from_environment(environment)
        _answer(document, ref, _Planner(settings, new_client, now))
    except (DeliveryError, ValueError) as error:
        document |= {"plan": None, "refused": _refused(error, environment.get(VARIABLE, ""))}
    return document


def _written_rules(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the rules as `RulesDocument.from_text` reads them; null: none can be read."""
    try:
        digest = Settings.from_environment(environment).rules
        if digest is None:
            return {"rules": None}
        from s3_to_sftp.rules.rule_set import read_document

        return {"rules": read_document(digest).as_text()}
    except DeliveryError as error:
        return {"rules": None, "refused": _refused(error, environment.get(VARIABLE, ""))}


def _asked_for(event: Mapping[str, Any]) -> ObjectRef:
    texts = {name: event.get(name) or None for name in _NAMES}
    if not all(isinstance(text, str) for text in texts.values() if text is not None):
        raise ValueError("The request names no object: bucket, key and version are texts.")
    if texts["bucket"] is None or texts["key"] is None:
        raise ValueError("The request names no object: bucket and key are needed.")
    size = event.get("size")
    if size is not None and (type(size) is not int or size < 0):
        raise ValueError("The request names no object: a size is a number of bytes.")
    return ObjectRef(**texts, size=size)  # type: ignore[arg-type] # they are texts


def _answer(document: dict[str, Any], ref: ObjectRef, planner: "_Planner") -> None:
    """Fill the document as far as it goes: what is known before an error is told, too."""
    ref = planner.known(ref)
    document["object"] = {
        "bucket": ref.bucket,
        "key": ref.key,
        "version_id": ref.version_id,
        "bytes": ref.size,
    }
    document["rules"] = planner.which_rules(ref)
    version = planner.version(ref)
    document["state"] = None if version is None else version.state.value
    if ref.is_named_like_a_folder and ref.size == 0:
        raise FolderMarker(f"{ref} is the marker of a folder.", hint="No action needed: it has no content.")
    planned = planner.planned(ref, version)
    document["facts"] = _shown(planned.facts)
    document["plan"] = plan_as_json(planned.plan)
    document["sequence"] = planned.sequence
    document["waits"] = planner.waits(ref, planned.plan)


@dataclass(frozen=True)
class _Planned:
    """A plan, what it was made from, and the numbers that it takes one of."""

    plan: DeliveryPlan
    facts: PlanFacts
    sequence: dict[str, Any] | None = None


class _Planner:
    """Makes plans as the function's deliveries do."""

    def __init__(self, settings: Settings, new_client: Callable[..., Any], now: Callable[[], float]) -> None:
        self._settings = settings
        self._s3 = new_client("s3", config=_CONFIG)
        self._now = now
        self._table = (
            None
            if settings.ledger_table is None
            else Table(new_client("dynamodb", config=_CONFIG), settings.ledger_table)
        )

    def known(self, ref: ObjectRef) -> ObjectRef:
        """Return the object with what its event would say.

        Raises:
            ObjectReadError: S3 does not tell.
        """
        if ref.size is not None:
            return replace(ref, event_time=int(self._now()))
        there = read_properties(self._s3, ref)
        version_id = ref.version_id or there.version_id
        etag = ref.etag or there.etag
        return replace(ref, version_id=version_id, etag=etag, size=there.size, event_time=there.put_at)

    def version(self, ref: ObjectRef) -> VersionItem | None:
        """Return what the ledger has of the version; None: nothing.

        Raises:
            LedgerError: It cannot be read.
        """
        if self._table is None:
            return None
        item = find_record(self._table, partition_key(ref), version_key(ref))
        return None if item is None else read_version(item)

    def which_rules(self, ref: ObjectRef) -> dict[str, Any]:
        """Return whose rules the object has, and the source that they may be of."""
        source = source_of(ref.bucket, ref.key, self._settings.sources)
        about = (
            {"bucket": source.bucket, "prefix": source.prefix, "suffix": source.suffix} if source else None
        )
        rules = "partner" if self._settings.rules is not None else "none"
        return {"of": "source" if source is not None and source.rules else rules, "source": about}

    def planned(self, ref: ObjectRef, version: VersionItem | None) -> _Planned:
        """Return the plan.

        Raises:
            RemotePathRefused: It has no name.
            ObjectReadError: S3 does not tell what the plan depends on.
            ConfigurationError, LedgerError: Rules or ledger cannot be read.
        """
        settings = self._settings
        if settings.rules is None:
            directory = directory_of(ref.bucket, ref.key, settings.sources, otherwise=settings.directory)
            facts = PlanFacts(delivery_time=int(self._now()), event_time=ref.event_time or 0, size=ref.size)
            return _Planned(default_plan(remote_path(directory=directory, key=ref.key)), facts)
        from s3_to_sftp.rules.object_facts import first_facts  # functions without rules do not load them
        from s3_to_sftp.rules.recorded_plan import plan_of_file
        from s3_to_sftp.rules.rule_set import RuleSet, read_document

        document = read_document(settings.rules)
        rules = RuleSet(document, directory=settings.directory, sources=settings.sources).of(ref)
        commit = version.commit if version is not None else None
        if commit is not None and commit.is_renamed and commit.plan:  # only what is beside it is missing
            return _Planned(plan_of_file(commit), _kept(version, PlanFacts(rules=rules.fingerprint)))
        facts = first_facts(rules, ref, self._s3, now=self._now())
        if rules.rules is not None and rules.rules.only is not None:
            from s3_to_sftp.rules.filtered_objects import refuse_unwanted

            is_under_way = version is not None and version.is_under_way
            refuse_unwanted(
                rules.rules.only,
                ref,
                self._s3,
                tags=facts.tags,
                now=self._now(),
                is_under_way=lambda: is_under_way,
            )
        made = self._with_number(ref, rules, replace(_kept(version, facts), size=facts.size))
        if made.plan.timing is None or rules.rules is None:
            return made
        from s3_to_sftp.rules.timing import timing_of

        # As of now, whenever the object was first planned.
        timing = timing_of(rules.rules, event_time=made.facts.event_time, now=self._now())
        return replace(made, plan=replace(made.plan, timing=timing))

    def waits(self, ref: ObjectRef, plan: DeliveryPlan) -> dict[str, Any] | None:
        """Return what the object waits for; None: nothing.

        Raises:
            ConfigurationError: The rules cannot be read.
        """
        settings, now = self._settings, self._now()
        if self._table is None or settings.ledger_table is None:
            return None
        timing = None
        if plan.timing is not None and settings.rules is not None:
            from s3_to_sftp.rules.drops import Drops
            from s3_to_sftp.rules.partner_hours import PartnerHours
            from s3_to_sftp.rules.rule_set import RuleSet, read_document

            document = read_document(settings.rules)
            rules = RuleSet(document, directory=settings.directory, sources=settings.sources)
            drops = Drops(self._table, clock=self._now, random=lambda: 0)
            timing = PartnerHours(rules, drops, self._table, random=lambda: 0)
        pause = DynamoPause(self._table, timing=timing, clock=self._now, random=lambda: 0)
        for error in pause.held([ref]).values():
            ends = None if isinstance(error, DeliveriesPaused) else now + error.retry_after
            return {"error": type(error).__name__, "reason": error.reason, "until": ends}
        return None

    def _with_number(self, ref: ObjectRef, rules: "RulesOfObject", facts: PlanFacts) -> _Planned:
        written = rules.rules
        if written is None or written.sequence is None:
            return _Planned(rules.plan(facts), facts)
        if self._table is None:
            raise ConfigurationError(
                "SSH_RULES needs a ledger, and LEDGER_TABLE is not set.",
                hint="Set it in the function's configuration.",
            )
        from s3_to_sftp.rules.sequence_numbers import SequenceNumbers

        now, asked = int(self._now()), written.sequence
        period = asked.period(datetime.fromtimestamp(now, written.zone))
        number, taken_at, held_by = SequenceNumbers(self._table).next_number(
            ref, asked.name, start=asked.start, period=period
        )
        at = now if taken_at is None else taken_at
        then = replace(facts, sequence=number, delivery_time=at)
        facts = replace(facts, sequence=None) if taken_at is None else then
        about = {
            "name": asked.name,
            "number": number,
            "is_taken": taken_at is not None,
            "held_by": held_by or None,
            "remote_paths": list(rules.plan(then).paths),
        }
        return _Planned(rules.plan(facts), facts, about)


def _kept(version: VersionItem | None, facts: PlanFacts) -> PlanFacts:
    """Return the facts that an earlier attempt has recorded, where they stay: see `Snapshot.lease`."""
    if version is None or version.plan.partition(" ")[0] != facts.rules or not version.plan:
        return facts
    if version.state == "UNKNOWN" and not version.has_data_at_partner:
        return facts
    try:
        return PlanFacts.from_text(version.plan)
    except ValueError as error:
        raise LedgerError(
            f"The plan in the ledger is corrupt: {error}.",
            hint="Look at the item; remove its attribute 'plan', then redrive the message.",
        ) from None


def _shown(facts: PlanFacts) -> dict[str, Any]:
    return {
        "event_time": facts.event_time,
        "delivery_time": facts.delivery_time,
        "metadata": dict(facts.metadata),
        "tags": dict(facts.tags),
    }


def _refused(error: Exception, author: str) -> dict[str, Any]:
    is_ours = isinstance(error, DeliveryError)
    return {
        "error": type(error).__name__,
        "rule": getattr(error, "rule", None),
        "value": getattr(error, "value", None),
        "reason": error.reason if isinstance(error, DeliveryError) else str(error),
        "hint": in_words_of_author(error.hint, author) if is_ours else "",  # type: ignore[attr-defined]
    }
