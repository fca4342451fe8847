"""`S3ToSftpStack` accepts every argument of `aws_cdk.Stack`, and refuses all others."""

import inspect
from typing import Any, Unpack, get_args, get_origin, get_type_hints

import aws_cdk as cdk
import pytest

from cdk_s3_to_sftp import InvalidArgument, S3ToSftpStack, SftpServer
from cdk_s3_to_sftp.stack_arguments import StackArguments, stack_parameters
from tests.infra.conftest import new_app
from tests.support.infra.keys import ED25519


def union_members(hint: Any) -> set[Any]:
    """Return the members of a union, without the difference between typing and collections.abc."""
    return {get_origin(each) or each for each in get_args(hint)}


def test_every_argument_of_the_cdk_stack_is_accepted() -> None:
    assert stack_parameters() <= set(StackArguments.__annotations__)
    ours, theirs = get_type_hints(StackArguments), get_type_hints(cdk.Stack.__init__)
    for name in stack_parameters():
        assert union_members(ours[name]) == union_members(theirs[name]), name
    parameters = inspect.signature(vars(S3ToSftpStack)["__init__"]).parameters
    assert not set(parameters) & set(StackArguments.__annotations__)


@pytest.mark.parametrize(
    ("keyword", "suggestion"),
    [
        ("termination_protected", "did you mean termination_protection?"),
        ("maximum_connections", "did you mean max_connections?"),
    ],
)
def test_unknown_keyword_is_refused_with_a_suggestion(keyword: str, suggestion: str) -> None:
    wrong: dict[str, Any] = {keyword: True}
    app = new_app()
    with pytest.raises(InvalidArgument) as caught:
        S3ToSftpStack(app, "Bank", server=SftpServer("sftp.partner.example", host_keys=[ED25519]), **wrong)
    assert (
        str(caught.value) == f"{keyword} is not an argument of S3ToSftpStack or aws_cdk.Stack: {suggestion}"
    )
    assert app.node.try_find_child("Bank") is None


def test_keywords_are_typed_for_type_checkers() -> None:
    """PEP 692: `Unpack` of the TypedDict makes type checkers refuse a wrong keyword or type."""
    hints = get_type_hints(vars(S3ToSftpStack)["__init__"].__wrapped__)
    assert hints["stack"] == Unpack[StackArguments]
