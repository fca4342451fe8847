"""Checks of arguments, and the error that an invalid one raises."""

import re
from collections.abc import Sequence
from typing import Literal

import aws_cdk as cdk
from constructs import IConstruct

_LONGEST_NAME = 255
_MARK_OF_TOKENS = "${Token["
"""How CDK marks the place of a value in a text."""

_SECONDS_IN_A = {"seconds": 1, "hours": 3600, "days": 86_400}


class InvalidArgument(ValueError):
    """An argument is invalid. The message is a sentence that begins with its name.

    Attributes:
        argument: Its name, from which the stock app finds the context key.
        complaint: The rest of the sentence.
    """

    def __init__(self, argument: str, complaint: str) -> None:
        super().__init__(f"{argument} {complaint}")
        self.argument = argument
        self.complaint = complaint


def is_token(value: object) -> bool:
    """Return whether the value is known only at deployment, and cannot be checked now."""
    # Most are texts, of which CDK would look for this, too: after a message to its process, and the answer.
    if isinstance(value, str) and _MARK_OF_TOKENS not in value:
        return False
    return bool(cdk.Token.is_unresolved(value))


def is_made_here(construct: IConstruct) -> bool:
    """Return whether the app creates the resource. Otherwise it is imported, and cannot be changed."""
    return cdk.Resource.is_owned_resource(construct)


def check_same_place(
    scope: IConstruct, name: str, resource: cdk.IResource, arn: str, *, beside: str, otherwise: str
) -> None:
    """Refuse a resource of another account or Region, where both are known.

    Args:
        scope: Its stack determines the account and Region.
        name: Of the argument.
        resource: What was passed in.
        arn: Its ARN, which holds account and Region: not every import of CDK knows them.
        beside: The resource that it must share its account and Region with.
        otherwise: The consequence that the message names.

    Raises:
        InvalidArgument: It is in another account or Region.
    """
    stack = cdk.Stack.of(scope)
    region, account = (resource.env.region, resource.env.account) if is_token(arn) else arn.split(":")[3:5]
    for what, theirs, ours in (("account", account, stack.account), ("Region", region, stack.region)):
        if theirs != ours and not is_token(theirs) and not is_token(ours):
            raise InvalidArgument(
                name,
                f"must be in account {stack.account} and Region {stack.region}, as the {beside} is, got "
                f"{resource.node.path} in {what} {theirs}: {otherwise}",
            )


def whole_seconds(value: cdk.Duration) -> str:
    """Return the duration as text for an environment variable, whether it is known now or at deployment."""
    return cdk.Tokenization.stringify_number(value.to_seconds())


def check_known(name: str, value: object, what_it_decides: str) -> None:
    """Refuse a Token where the shape of the template depends on the value.

    Raises:
        InvalidArgument: It is a Token.
    """
    if is_token(value):
        raise InvalidArgument(
            name,
            f"must be known when the app is synthesised, since it decides {what_it_decides}: got a Token",
        )


def check_range(name: str, value: float, low: int, high: int, unit: str = "") -> None:
    """Refuse a number outside the range, which includes both ends.

    Raises:
        InvalidArgument: It is outside.
    """
    if not is_token(value) and not low <= value <= high:
        raise InvalidArgument(name, f"must be {low}-{high}{unit and f' {unit}'}, got {value:g}")


def check_duration(
    name: str, value: cdk.Duration, low: int, high: int, unit: Literal["seconds", "hours", "days"]
) -> None:
    """Refuse a duration that is outside the range or has a fraction of a second.

    Raises:
        InvalidArgument: It is one of these.
    """
    if value.is_unresolved():
        return
    seconds = value.to_seconds(integral=False)
    check_range(name, seconds / _SECONDS_IN_A[unit], low, high, unit)
    if seconds % 1:
        raise InvalidArgument(name, f"must be whole seconds, got {seconds:g}")


def check_directory(directory: str | None, *, otherwise: str) -> None:
    """Refuse an invalid remote directory.

    Args:
        directory: The directory, or None.
        otherwise: Where objects go without one.

    Raises:
        InvalidArgument: It is invalid.
    """
    if directory is None or is_token(directory):
        return
    if not directory.strip() or not directory.isprintable():
        raise InvalidArgument(
            "directory",
            f"must be a remote path such as /inbox (leave it out for {otherwise}), got {directory!r}",
        )
    if directory.startswith("~"):
        raise InvalidArgument(
            "directory",
            "must not begin with '~', which SFTP does not expand: write the absolute path, or one relative "
            f"to the login directory (leave it out for {otherwise}), got {directory!r}",
        )
    if longest := next((name for name in directory.split("/") if len(name.encode()) > _LONGEST_NAME), ""):
        raise InvalidArgument(
            "directory",
            f"must have names of at most {_LONGEST_NAME} bytes between '/', as file systems allow, got one "
            f"of "
            f"{len(longest.encode())} that begins with {longest[:40]!r}",
        )


def check_filter(prefix: str | None, suffix: str | None) -> None:
    """Refuse a filter that matches no deliverable key.

    Raises:
        InvalidArgument: It is a Token.
    """
    begun = (prefix or "").split("/") if not is_token(prefix) else [""]
    ended = (suffix or "").split("/") if not is_token(suffix) else [""]
    if begun[0] == "" and len(begun) > 1:
        raise InvalidArgument("prefix", f"must not begin with '/': keys do not, got {prefix!r}")
    if ended[-1] == "" and len(ended) > 1:
        raise InvalidArgument("suffix", f"must not end with '/': such keys are directories, got {suffix!r}")
    # The last segment of a prefix and the first segment of a suffix are only parts of names.
    for argument, names, value in (("prefix", begun[:-1], prefix), ("suffix", ended[1:], suffix)):
        if not {"", ".", ".."}.isdisjoint(names):
            raise InvalidArgument(
                argument, f"must not hold '//', './' or '../': no such key can be delivered, got {value!r}"
            )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is not one of the choices.

    Raises:
        InvalidArgument: It is not one of them.
    """
    if value not in choices:
        raise InvalidArgument(name, f"must be one of {', '.join(choices)}, got {value}")


# Marks of a private key: the PEM header and footer, PuTTY's fields, and the base64 beginning of OpenSSH's
# format.
_PRIVATE_KEY = re.compile(
    r"[-\u2010-\u2015]{1,5}\s*(?:BEGIN|END)\s[A-Z0-9\s]{0,40}PRIVATE\s*KEY|PuTTY-User-Key-File"
    "|Private-(?:Lines|MAC):|b3BlbnNzaC1rZXk|LS0tLS1CRUdJTi"
)


def check_no_private_key(name: str, *values: object) -> None:
    """Refuse a private key in the wrong field, before a message or a template shows it.

    Raises:
        InvalidArgument: One of the values holds one. The message shows nothing of it.
    """
    if any(isinstance(value, str) and _PRIVATE_KEY.search(value) for value in values):
        raise InvalidArgument(
            name,
            "must not hold a private key: it belongs in the secret, as 'private_key'. Replace this one if "
            "the value was kept in a file or in version control",
        )
