"""What is known only at deployment is recognised as CDK does, in whatever form an argument has it."""

import aws_cdk as cdk
import jsii
import pytest

from cdk_s3_to_sftp.arguments import is_token

KNOWN = ["", "sftp.example", "${Token", "${TOKEN[1]}", "${name}", "#{Token[a.1]}", 22, None]


@jsii.implements(cdk.IStableStringProducer)
class Producer:
    """Knows the text at the end of the synth."""

    def produce(self) -> str:
        return "later"


def forms() -> dict[str, object]:
    stack = cdk.Stack(cdk.App(), "Test")
    text = cdk.CfnParameter(stack, "Text").value_as_string
    texts = cdk.CfnParameter(stack, "Texts", type="CommaDelimitedList")
    return {
        "text": text,
        "in a text": f"sftp.{text}.example",
        "number": cdk.CfnParameter(stack, "Number", type="Number").value_as_number,
        "list": texts.value_as_list,
        "reference": cdk.Fn.ref("Text"),
        "intrinsic": cdk.Token.as_any({"Ref": "Text"}),
        "lazy": cdk.Lazy.string(Producer()),
    }


def test_value_of_the_deployment_is_recognised() -> None:
    assert {form: is_token(value) for form, value in forms().items()} == dict.fromkeys(forms(), True)


@pytest.mark.parametrize("value", KNOWN)
def test_value_that_is_known_is_none(value: object) -> None:
    assert not is_token(value)


def test_cdk_says_the_same_of_all() -> None:
    values = [*forms().values(), *(value for value in KNOWN if value is not None), "${Token[]}"]
    assert [is_token(value) for value in values] == [cdk.Token.is_unresolved(value) for value in values]
