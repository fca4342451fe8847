"""The construct as a mixin: `bucket.with_(DeliverToSftp("ToBank", server=bank))`."""

import difflib
import inspect
import re
from typing import Any
from weakref import WeakKeyDictionary

import aws_cdk as cdk
import constructs
import jsii
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import IConstruct

from cdk_s3_to_sftp.annotations import validate_with
from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.arguments import InvalidArgument, check_directory, check_filter, is_made_here
from cdk_s3_to_sftp.s3_to_sftp import S3ToSftp
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.sources import Source, Trigger

# constructs has mixins from 10.5 on. Before, there are aspects and a plain call of `apply_to`.
_INTERFACES = [each for each in (cdk.IAspect, getattr(constructs, "IMixin", None)) if each]

_IMPORT_OF_ANOTHER_STACK = re.compile(r"SourceBucket\w*[0-9A-F]{8}")
"""Id under which `S3ToSftp` imports a bucket of another stack into its own."""


@jsii.implements(*_INTERFACES)
class DeliverToSftp:
    """A mixin that delivers every object of the buckets that it is applied to: `S3ToSftp` in one line.

    `bucket.with_(DeliverToSftp("ToBank", server=bank))` makes `S3ToSftp(stack, "ToBank", server=bank,
    bucket=bucket)` in the stack of the bucket: the same resources under the same names, so one can replace
    the other later. Each further bucket becomes another source of the same delivery. A partner counts
    connections, and locks out a login, over all buckets: two deliveries would open twice as many
    connections, and the circuit breaker of one would know nothing about the other.

    There are four ways to apply it: `bucket.with_(mixin)`; `cdk.Mixins.of(stack, selector).apply(mixin)`;
    `cdk.Aspects.of(stack).add(mixin)`, which takes effect at synth; and `mixin.apply_to(bucket)`, the only
    one besides aspects if the installed `constructs` is older than 10.5 and has no mixins. Applied to a
    stack, it delivers all buckets in it, including one for logs: narrow it down with
    `cdk.ConstructSelector`. What CDK imports for itself, such as the bucket of assets, is left out.

    Args:
        id: Id of the delivery in the stack. Renaming it replaces queues and ledger. Mixins with the same id
            and the same arguments share a delivery.
        server: The partner's server.
        prefix: Deliver only objects whose key has this prefix. By default all.
        suffix: Deliver only objects whose key has this suffix. By default all.
        directory: Remote directory for them. By default that of the server.
        trigger: What announces a new object. By default S3's own notification; two partners of one bucket
            need `Trigger.EVENTBRIDGE`.
        **delivery: All other arguments of `S3ToSftp`, except `bucket` and `sources`.

    Raises:
        InvalidArgument: A value is invalid; the message says what to write instead. What depends on the
            bucket is raised when the mixin is applied. `with_` calls this class through Node, which turns
            the error into a RuntimeError with the same sentence.
    """

    @checks_types
    def __init__(
        self,
        id: str,  # noqa: A002 -- what every construct calls it
        *,
        server: SftpServer,
        prefix: str | None = None,
        suffix: str | None = None,
        directory: str | None = None,
        trigger: Trigger = Trigger.NOTIFICATION,
        **delivery: Any,
    ) -> None:
        check_filter(prefix, suffix)
        check_directory(directory, otherwise="the directory of the server")
        _check_names(delivery)
        self._id = id
        self._arguments = {"server": server, **delivery}
        self._source: dict[str, Any] = {
            "prefix": prefix,
            "suffix": suffix,
            "directory": directory,
            "trigger": trigger,
        }
        self._delivery: S3ToSftp | None = None
        self._applied_to: set[str] = set()
        self._asked_in: set[IConstruct] = set()

    @property
    def delivery(self) -> S3ToSftp:
        """The delivery, with its `credentials`, `dead_letter_queue`, `outputs` and so on.

        Raises:
            LookupError: The mixin has not been applied to a bucket yet.
        """
        if self._delivery is None:
            raise LookupError(
                f"DeliverToSftp '{self._id}' has no delivery yet: apply it to a bucket first "
                "(as an aspect it is applied at synth)"
            )
        return self._delivery

    def supports(self, construct: IConstruct) -> bool:
        """Return whether the construct is a bucket. CDK skips the others of a tree."""
        if _is_bucket(construct):
            return True
        root = construct.node.root
        if root not in self._asked_in:
            self._asked_in.add(root)
            validate_with(construct, self._errors)  # type: ignore[arg-type]  # asks for its node only
        return False

    def apply_to(self, construct: IConstruct) -> None:
        """Deliver the objects of a bucket. Idempotent.

        Raises:
            InvalidArgument: It is not a bucket, or belongs to another stack, or `S3ToSftp` raises it.
        """
        if not isinstance(construct, s3.BucketBase):
            raise InvalidArgument(
                "construct",
                "must be a bucket (s3.Bucket, or one imported by its name or ARN), got "
                f"{construct.node.path}, a {type(construct).__name__}",
            )
        if construct.node.addr in self._applied_to:
            return  # an aspect visits it at every synth
        stack = cdk.Stack.of(construct)
        self._check_stack(construct, stack)
        source = Source(construct, **self._source)
        if existing := self._find_existing(stack):
            self._delivery = existing
            existing.add_source(construct, **self._source)
        else:
            self._delivery = S3ToSftp(stack, self._id, sources=[source], **self._arguments)
            _MADE_BY[self._delivery] = self
        self._applied_to.add(construct.node.addr)

    def visit(self, node: IConstruct) -> None:
        """Apply it as an aspect to each bucket.

        Raises:
            InvalidArgument: As `apply_to` does.
        """
        if self.supports(node):
            self.apply_to(node)

    def _check_stack(self, bucket: IConstruct, stack: cdk.Stack) -> None:
        ours = cdk.Stack.of(self._delivery) if self._delivery else stack
        if ours.node.addr != stack.node.addr:
            raise InvalidArgument(
                "construct",
                f"must be in stack {ours.node.path}, where this DeliverToSftp has its delivery, got "
                f"{bucket.node.path} in stack {stack.node.path}: a second delivery would open "
                "max_connections of its own. Have one deliver both with S3ToSftp(...).add_source(bucket), or "
                "make a second DeliverToSftp with its share of the connections",
            )

    def _find_existing(self, stack: cdk.Stack) -> S3ToSftp | None:
        """Return the delivery with this id that this mixin, or one with the same arguments, has created."""
        if self._delivery or not (found := stack.node.try_find_child(self._id)):
            return self._delivery
        maker = _MADE_BY.get(found)
        if not maker:
            owner = f"which belongs to {found.node.path}, created by no mixin"
        elif differing := maker._differences(self):
            owner = (
                f"which belongs to a DeliverToSftp with a different {', '.join(differing)} in stack "
                f"{stack.node.path}"
            )
        else:
            return maker.delivery
        raise InvalidArgument(
            "id",
            f"must not be '{self._id}', {owner}: use another id for another partner; for the "
            "same one, apply the same DeliverToSftp to both buckets",
        )

    def _differences(self, other: "DeliverToSftp") -> list[str]:
        names = {**self._arguments, **other._arguments}
        return [name for name in names if self._arguments.get(name) != other._arguments.get(name)]

    def _errors(self) -> list[str]:
        if self._applied_to:
            return []
        return [
            f"DeliverToSftp '{self._id}' was not applied to any bucket, so nothing is delivered: apply it to "
            "an s3.Bucket, an imported bucket, or a construct that contains one"
        ]


_MADE_BY: WeakKeyDictionary[IConstruct, DeliverToSftp] = WeakKeyDictionary()
"""Delivery -> the mixin that created it."""


def _is_bucket(construct: IConstruct) -> bool:
    """Return whether it is a bucket, except those that CDK or `S3ToSftp` imports for its own use."""
    if not isinstance(construct, s3.BucketBase) or is_made_here(construct):
        return isinstance(construct, s3.BucketBase)
    scope = construct.node.scope
    of_asset = isinstance(scope, assets.Asset)
    of_delivery = isinstance(scope, cdk.Stack) and _IMPORT_OF_ANOTHER_STACK.fullmatch(construct.node.id)
    return not (of_asset or of_delivery)


def _check_names(delivery: dict[str, Any]) -> None:
    """Refuse early what `S3ToSftp` would refuse later, when the error has to pass through Node."""
    known = list(inspect.signature(S3ToSftp.__init__).parameters)
    for name in delivery:
        if name in ("bucket", "sources", "scope", "self"):
            raise InvalidArgument(name, "must not be given: the mixin delivers what it is applied to")
        if name not in known:
            similar = difflib.get_close_matches(name, known, 1)
            hint = f": did you mean {similar[0]}?" if similar else ""
            raise InvalidArgument(name, f"must be an argument of S3ToSftp, which has none of this name{hint}")
