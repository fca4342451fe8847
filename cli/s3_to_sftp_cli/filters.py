"""The filters of a partner's rules, as the function has them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp_cli.context import Context
from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.stored_objects import StoredObject


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which objects the function does not deliver, by the rule `only`.

    Attributes:
        sources: Of the function.
        named: Filters of rules that sources have of their own, by the rules' names; None: they have none.
        partner: Filter of all others.
    """

    sources: Sequence[WatchedSource] = ()
    named: Mapping[str, Filter | None] = field(default_factory=dict)
    partner: Filter | None = None

    def refuses(self, stored: StoredObject, *, now: float) -> bool:
        """Return whether the object would not be delivered, as far as a listing tells: not by its tags."""
        watching = [each for each in self.sources if each.watches(stored.bucket, stored.key)]
        # As the function does: the source that names the object most closely.
        source = max(watching, key=lambda each: (len(each.prefix), len(each.suffix)), default=None)
        rule = self.named.get(source.rules) if source is not None and source.rules else self.partner
        if rule is None:
            return False
        age = 0 if stored.modified is None else now - stored.modified.timestamp()
        return bool(
            rule.refusal_of_key(stored.key) or rule.refusal_of_size(stored.size) or rule.refusal_of_age(age)
        )


def read_filters(context: Context) -> Filters:
    """Return the filters of the function; needs `lambda:InvokeFunction` where it has rules.

    What cannot be read is said, and filters nothing here: the function filters anyway.
    """
    if not context.delivery.rules:
        return Filters()
    try:
        document = RulesDocument.from_text(_written_rules(context))
    except (ClientError, BotoCoreError, ValueError, TypeError) as error:
        context.output.note(
            f"note: the function does not tell its rules ({type(error).__name__}); what they filter out is "
            "counted here, and not delivered."
        )
        return Filters()
    return Filters(
        sources=context.delivery.sources,
        named={name: rules.only for name, rules in document.sources.items()},
        partner=document.partner.only if document.partner is not None else None,
    )


def _written_rules(context: Context) -> str:
    event = {"operation": "plan", "rules": True}
    client = context.aws.client("lambda")
    answer = client.invoke(FunctionName=context.delivery.function, Payload=json.dumps(event).encode())
    said: Any = json.loads(answer["Payload"].read())
    if answer.get("FunctionError") or not isinstance(said, dict) or not isinstance(said.get("rules"), str):
        raise ValueError("its answer is not the rules")
    text: str = said["rules"]
    return text
