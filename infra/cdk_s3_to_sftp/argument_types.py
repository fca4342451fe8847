"""Checks arguments against their type annotations.

Python does not check annotations, and jsii does so late: a string in place of an enum would count as the
default, and `8.0` in place of `8` would reach the function as `4.0`, which it cannot parse.
"""

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, ParamSpec, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

from cdk_s3_to_sftp.arguments import InvalidArgument, is_token

_Parameters = ParamSpec("_Parameters")
_Returned = TypeVar("_Returned")

_LONGEST_SHOWN = 40
"""Characters of a string given in place of an enum. A longer one was meant for something else, perhaps a
secret."""

_EXAMPLES = {
    "Alarms": "Alarms(errors=5)",
    "ApplicationLogLevel": "lambda_.ApplicationLogLevel.DEBUG",
    "Architecture": "lambda_.Architecture.ARM_64",
    "DeliveryRules": 'DeliveryRules(name="{stem}_{event_time:%Y%m%d}{ext}")',
    "Duration": "cdk.Duration.hours(2)",
    "IBucket": 's3.Bucket.from_bucket_name(self, "Theirs", "their-bucket")',
    "IGrantable": 'iam.Role.from_role_name(self, "OnCall", "their-role")',
    "IEventBus": 'events.EventBus.from_event_bus_name(self, "Bus", "their-bus")',
    "IIpAddresses": 'ec2.IpAddresses.cidr("10.213.0.0/24")',
    "IKey": 'kms.Key.from_key_arn(self, "Key", "arn:aws:kms:...")',
    "ILogGroup": 'logs.LogGroup.from_log_group_name(self, "Log", "their-log")',
    "IQueue": 'sqs.Queue.from_queue_arn(self, "Queue", "arn:aws:sqs:...")',
    "IRole": 'iam.Role.from_role_name(self, "Role", "their-role")',
    "ISecret": 'secretsmanager.Secret.from_secret_name_v2(self, "Login", "their-login")',
    "ISecurityGroup": 'ec2.SecurityGroup.from_security_group_id(self, "Out", "sg-...")',
    "ITable": 'dynamodb.Table.from_table_name(self, "Ledger", "their-table")',
    "ITopic": 'sns.Topic.from_topic_arn(self, "OnCall", "arn:aws:sns:...")',
    "IVpc": 'ec2.Vpc.from_lookup(self, "Vpc", vpc_id="vpc-...")',
    "RemovalPolicy": "cdk.RemovalPolicy.DESTROY",
    "RetentionDays": "logs.RetentionDays.ONE_YEAR",
    "Runtime": "lambda_.Runtime.PYTHON_3_13",
    "SftpServer": 'SftpServer("sftp.partner.example", host_keys=[...])',
    "Source": 'Source(bucket, prefix="outgoing/")',
    "SubnetSelection": "ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)",
    "Tracing": "lambda_.Tracing.ACTIVE",
}
"""Name of a type -> an example of a value."""


def checks_types(function: Callable[_Parameters, _Returned]) -> Callable[_Parameters, _Returned]:
    """Decorate a function or method so that its arguments are checked against its annotations."""

    @functools.wraps(function)
    def checked(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Returned:
        signature, hints = _annotations(function)
        # Too few or too many arguments are left to Python, which names the function.
        with contextlib.suppress(TypeError):
            _check(hints, signature.bind(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return checked


def check_fields(value: object) -> None:
    """Check the fields of a dataclass against their annotations.

    Raises:
        InvalidArgument: A field has the wrong type.
    """
    _check(get_type_hints(type(value)), vars(value))


def _check(hints: Mapping[str, Any], given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if name in hints and not _is(value, hints[name]):
            raise InvalidArgument(name, _complaint(value, hints[name]))


@functools.cache
def _annotations(function: Callable[..., object]) -> tuple[inspect.Signature, dict[str, Any]]:
    signature = inspect.signature(function)
    # The rest (`**stack`) is checked by the callee that receives it.
    names = {each.name for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD}
    return signature, {name: hint for name, hint in get_type_hints(function).items() if name in names}


def _is(value: object, hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_is(value, each) for each in get_args(hint))
    if get_origin(hint) is Sequence:
        return _is_list(value) and all(_is(item, get_args(hint)[0]) for item in value)
    if hint is Any:
        return True
    if hint is int:
        # CDK represents numbers that it does not know yet as floats.
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole or (isinstance(value, float) and is_token(value))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if getattr(hint, "_is_protocol", False):
        return _has_members_of(value, hint)
    return isinstance(value, hint)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _has_members_of(value: object, interface: type) -> bool:
    """Return whether its class has the members of an interface of CDK.

    jsii's interfaces do not support `isinstance`.

    Inspects classes only: inspecting the object would make Node read each property.
    """
    members = [name for name in vars(interface) if not name.startswith("_")]
    # What CDK returns as a bare interface is a proxy that holds objects with the members.
    classes = [type(value), *(type(each) for each in getattr(value, "_delegates", ()))]
    return all(any(hasattr(each, member) for each in classes) for member in members)


def _complaint(value: object, hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(each for each in get_args(hint) if each is not types.NoneType)
    if get_origin(hint) is not Sequence:
        return f"must be {_described(hint)}, got {_shown(value, hint)}"
    (item,) = get_args(hint)
    if isinstance(value, str):
        return f"must be a list of {_listed(item)}, got one string: put it in [brackets]"
    if not _is_list(value):
        return f"must be a list of {_listed(item)}, got {_shown(value, hint)}"
    position, wrong = next((at, each) for at, each in enumerate(value, start=1) if not _is(each, item))
    return f"must be a list of {_listed(item)}, got {_shown(wrong, item)} at place {position}"


def _listed(hint: Any) -> str:
    """Describe several values of the type."""
    own = {int: "whole numbers", str: "texts"}
    return own.get(hint) or f"{hint.__name__} objects{_such_as(hint)}"


def _described(hint: Any) -> str:
    """Describe one value of the type, with an example unless it is one of Python's own."""
    own = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}
    return own.get(hint) or f"{_article(hint.__name__)} {hint.__name__}{_such_as(hint)}"


def _such_as(hint: Any) -> str:
    example = _EXAMPLES.get(hint.__name__) or next(_members(hint), "")
    return f" such as {example}" if example else ""


def _article(name: str) -> str:
    # The I of an interface is pronounced as a letter: an I-bucket. So is the S of SFTP: an S-F-T-P server.
    return "an" if name[0].lower() in "aeio" or name.startswith("Sftp") else "a"


def _members(hint: Any) -> Iterator[str]:
    if isinstance(hint, type) and issubclass(hint, Enum):
        yield from (f"{hint.__name__}.{member.name}" for member in hint)


def _shown(value: object, hint: Any) -> str:
    """Return the value if it is short and cannot hold a secret, else its type."""
    if value is None or isinstance(value, bool | int | float):
        return f"{value}"
    if not isinstance(value, str):
        return f"{_article(type(value).__name__)} {type(value).__name__}"
    names_member = isinstance(hint, type) and (
        issubclass(hint, Enum) or hint.__name__ in ("Architecture", "Runtime")
    )
    if not names_member or len(value) > _LONGEST_SHOWN:
        return "text"
    same = [
        f"{hint.__name__}.{name}"
        for name in dir(hint)
        if name.isupper() and name.replace("_", "").lower() == value.replace("_", "").replace(".", "").lower()
    ]
    return f"the text {value!r}" + (f": write {same[0]}" if same else "")
