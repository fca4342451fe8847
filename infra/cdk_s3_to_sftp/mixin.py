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

_WATCHED_FOR_ANOTHER_STACK = re.compile(r"Watched\w*[0-9A-F]{8}")
"""Id of what `S3ToSftp` imports into its stack of a bucket that another stack owns."""


@jsii.implements(*_INTERFACES)
class DeliverToSftp:
    """A mixin that delivers every object of the buckets that it is applied to: `S3ToSftp` in one line.

    `bucket.with_(DeliverToSftp("ToBank", server=bank))` makes `S3ToSftp(stack, "ToBank", server=bank,
    bucket=bucket)` in the stack of the bucket: the same resources under the same names, so one can take the
    place of the other later. Whatever bucket comes next becomes another source of the same delivery. A
    partner counts connections, and locks out a login, over all buckets: two deliveries would open twice as
    many connections, and the circuit breaker of one would know nothing about the other.

    It can be applied in four ways: `bucket.with_(mixin)`; `cdk.Mixins.of(stack, selector).apply(mixin)`;
    `cdk.Aspects.of(stack).add(mixin)`, which waits for the synth; and `mixin.apply_to(bucket)`, the only one
    beside aspects where the installed `constructs` is older than 10.5 and has no mixins. Applied to a stack,
    it takes all the buckets in it, also one for logs: choose with `cdk.ConstructSelector`. What CDK imports
    for itself, such as the bucket of assets, is left out.

    Args:
        id: Name of the delivery in the stack, as that of any construct: rename it, and queues and ledger are
            replaced. Mixins with the same id and the same arguments share a delivery.
        server: The partner's server.
        prefix: Deliver only objects whose key has this prefix. By default all.
        suffix: Deliver only objects whose key has this suffix. By default all.
        directory: Remote directory for them. By default that of the server.
        trigger: What announces a new object. By default S3's own notification; two partners of one bucket
            need `Trigger.EVENTBRIDGE`.
        **delivery: All other arguments of `S3ToSftp`, but for `bucket` and `sources`.

    Raises:
        InvalidArgument: A value cannot be right; the message says what to write instead. What can only be
            known with the bucket is raised when the mixin is applied. Node is between `with_` and this
            class: from there it is a RuntimeError with the same sentence.
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
        """What delivers: for its `credentials`, `dead_letter_queue`, `outputs` and so on.

        Raises:
            LookupError: The mixin was not applied to a bucket yet.
        """
        if self._delivery is None:
            raise LookupError(
                f"DeliverToSftp '{self._id}' has no delivery yet: apply it to a bucket first "
                "(as an aspect it is applied at synth)"
            )
        return self._delivery

    def supports(self, construct: IConstruct) -> bool:
        """Return whether the construct is a bucket. CDK asks about each of a tree, and skips the others."""
        if _is_bucket(construct):
            return True
        root = construct.node.root
        if root not in self._asked_in:
            self._asked_in.add(root)
            validate_with(construct, self._errors)  # type: ignore[arg-type]  # asks for its node only
        return False

    def apply_to(self, construct: IConstruct) -> None:
        """Deliver the objects of a bucket. Once: again it changes nothing.

        Raises:
            InvalidArgument: It is no bucket or one of another stack, or what `S3ToSftp` raises.
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
        """Do the same as an aspect, with what is a bucket.

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
        """The delivery with this id, where this mixin, or one with the same arguments, has made it."""
        if self._delivery or not (found := stack.node.try_find_child(self._id)):
            return self._delivery
        maker = _MADE_BY.get(found)
        if not maker:
            owner = f"which {found.node.path} has, made by no mixin"
        elif differing := maker._differences(self):
            owner = (
                f"which a DeliverToSftp with another {', '.join(differing)} has in stack {stack.node.path}"
            )
        else:
            return maker.delivery
        raise InvalidArgument(
            "id",
            f"must be another one than '{self._id}', {owner}: give another id to another partner; for the "
            "same one, apply the same DeliverToSftp to both buckets",
        )

    def _differences(self, other: "DeliverToSftp") -> list[str]:
        names = {**self._arguments, **other._arguments}
        return [name for name in names if self._arguments.get(name) != other._arguments.get(name)]

    def _errors(self) -> list[str]:
        if self._applied_to:
            return []
        return [
            f"DeliverToSftp '{self._id}' was applied to no bucket, so nothing is delivered: apply it to an "
            "s3.Bucket, to one that is imported, or to a construct with one in it"
        ]


_MADE_BY: WeakKeyDictionary[IConstruct, DeliverToSftp] = WeakKeyDictionary()
"""Deliveries that a mixin has made, and which."""


def _is_bucket(construct: IConstruct) -> bool:
    """Whether it is a bucket, and none that CDK or `S3ToSftp` imports for its own use."""
    if not isinstance(construct, s3.BucketBase) or is_made_here(construct):
        return isinstance(construct, s3.BucketBase)
    scope = construct.node.scope
    of_asset = isinstance(scope, assets.Asset)
    of_delivery = isinstance(scope, cdk.Stack) and _WATCHED_FOR_ANOTHER_STACK.fullmatch(construct.node.id)
    return not (of_asset or of_delivery)


def _check_names(delivery: dict[str, Any]) -> None:
    """Refuse what `S3ToSftp` would refuse only later, on the far side of Node."""
    known = list(inspect.signature(S3ToSftp.__init__).parameters)
    for name in delivery:
        if name in ("bucket", "sources", "scope", "self"):
            raise InvalidArgument(name, "must not be given: the mixin delivers what it is applied to")
        if name not in known:
            similar = difflib.get_close_matches(name, known, 1)
            hint = f": did you mean {similar[0]}?" if similar else ""
            raise InvalidArgument(name, f"must be an argument of S3ToSftp, which has none of this name{hint}")
