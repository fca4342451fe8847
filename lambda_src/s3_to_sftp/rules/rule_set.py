"""Which rules an object has: those of its source, or of the partner."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s3_to_sftp.delivery_plan import DeliveryPlan, default_plan
from s3_to_sftp.errors import ConfigurationError, RuleRefused
from s3_to_sftp.remote_path import SourceDirectory, remote_path, source_of
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from s3_to_sftp.rules.plan import PlannedObject, plan
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.template import Template
from s3_to_sftp.s3.object_ref import ObjectRef

_DEPLOY_AGAIN = "Deploy again: the construct sets SSH_RULES, and attaches the layer with the rules."


@dataclass(frozen=True)
class RulesOfObject:
    """The rules of one object, and what they are applied to.

    Attributes:
        rules: The rules; None: it has none.
        item: The object.
        fingerprint: Identifies rules and directory: a plan that was made with others is made again.
    """

    rules: DeliveryRules | None
    item: PlannedObject
    fingerprint: str

    def plan(self, facts: PlanFacts) -> DeliveryPlan:
        """Return the plan of the object.

        Raises:
            RemotePathRefused: It has no name.
        """
        if self.rules is None:
            return default_plan(remote_path(directory=self.item.directory, key=self.item.key))
        return plan(self.rules, self.item, facts)

    def path_without_asking(self, ref: ObjectRef, *, now: float) -> str:
        """Return the final name as far as the event gives it.

        Raises:
            RemotePathRefused: It has none, or depends on more than the event.
        """
        rules = self.rules
        if rules is not None and Template(rules.name).uses("delivery_time"):
            raise RuleRefused("name", "It depends on when it is sent.", value="delivery_time", hint="")
        return self.plan(self.first_facts(ref, now=now)).file.path

    def first_facts(self, ref: ObjectRef, *, now: float) -> PlanFacts:
        """Return what the event and the clock say."""
        return PlanFacts(
            rules=self.fingerprint,
            delivery_time=int(now),
            event_time=ref.event_time if ref.event_time is not None else int(now),
            size=None if self.rules is not None and self.rules.transforms else ref.size,
        )


class RuleSet:
    """All rules of a partner."""

    def __init__(
        self, document: RulesDocument, *, directory: str, sources: Sequence[SourceDirectory]
    ) -> None:
        """Apply a document.

        Args:
            document: The rules.
            directory: Remote directory of objects whose source has none of its own.
            sources: As they are configured.

        Raises:
            ConfigurationError: A source names rules that the document does not have.
        """
        self._document = document
        # Of each rules by themselves: a change of others is none for the objects of these.
        self._digests = {
            name: RulesDocument(partner=rules, sources={}).digest
            for name, rules in {"": document.partner, **document.sources}.items()
        }
        self._directory = directory
        self._sources = sources
        for source in sources:
            if source.rules and source.rules not in document.sources:
                raise ConfigurationError(
                    f"SSH_SOURCES has a source with the rules {source.rules!r}, and the layer has no such.",
                    hint=_DEPLOY_AGAIN,
                )

    @property
    def has_timing(self) -> bool:
        """Whether any rules say when, or how often, files may come."""
        return self._document.has_timing

    @property
    def sequences(self) -> Sequence[str]:
        """The names of all sequences."""
        return self._document.sequences

    def of(self, ref: ObjectRef) -> RulesOfObject:
        """Return the rules of the object."""
        source = source_of(ref.bucket, ref.key, self._sources) or SourceDirectory(bucket=ref.bucket)
        named = self._document.sources.get(source.rules)
        item = PlannedObject(
            bucket=ref.bucket,
            key=ref.key,
            version_id=ref.version_id or "",
            directory=source.directory or self._directory,
            prefix=source.prefix,
        )
        digest = self._digests.get(source.rules, self._digests[""])
        of_what = f"{digest}\n{item.directory}\n{item.prefix}"
        fingerprint = hashlib.sha256(of_what.encode()).hexdigest()[:16]
        return RulesOfObject(named or self._document.partner, item, fingerprint)


def read_document(digest: str, *, path: Sequence[str] | None = None) -> RulesDocument:
    """Return the rules that the layer holds.

    Args:
        digest: Value of SSH_RULES.
        path: Where to look; by default `sys.path`, which has the `python` directory of each layer.

    Raises:
        ConfigurationError: There are none, or other ones.
    """
    for folder in sys.path if path is None else path:
        file = Path(folder, PACKAGE, FILE)
        if file.is_file():
            break
    else:
        raise ConfigurationError(
            f"SSH_RULES is set, but no layer of the function has {PACKAGE}/{FILE}.", hint=_DEPLOY_AGAIN
        )
    try:
        document = RulesDocument.from_text(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigurationError(
            f"The rules in {PACKAGE}/{FILE} cannot be read: {error}.", hint=_DEPLOY_AGAIN
        ) from None
    if document.digest != digest:
        raise ConfigurationError(
            f"SSH_RULES is {digest!r}, but the rules in the layer are {document.digest!r}.",
            hint=_DEPLOY_AGAIN,
        )
    return document
