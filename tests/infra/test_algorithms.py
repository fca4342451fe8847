"""`Algorithms`: what is refused when it is written, and what synth warns of."""

import aws_cdk as cdk
import pytest

from cdk_s3_to_sftp import Algorithms, InvalidArgument, S3ToSftp, SftpServer
from s3_to_sftp.algorithm_rule import DEFAULT, WEAK, AlgorithmRule, Policy
from tests.infra.conftest import new_app, warnings_of
from tests.support.infra.keys import ECDSA, ED25519

HOST = "sftp.partner.example"


def refusal_of(**arguments: object) -> str:
    with pytest.raises(InvalidArgument) as caught:
        Algorithms(**arguments)  # type: ignore[arg-type]  # wrong on purpose
    return str(caught.value)


def refusal_of_server(**arguments: object) -> str:
    with pytest.raises(InvalidArgument) as caught:
        SftpServer(HOST, **{"host_keys": [ED25519], **arguments})  # type: ignore[arg-type]  # wrong on purpose
    return str(caught.value)


@pytest.mark.parametrize("name", WEAK)
def test_each_weak_algorithm_can_be_allowed_and_has_its_risk(name: str) -> None:
    algorithms = Algorithms(allow=[name])
    assert AlgorithmRule.from_text(algorithms.as_text()) == algorithms.rule
    stack = with_server(SftpServer(HOST, host_keys=[ED25519], algorithms=algorithms))
    (sentence,) = warnings_of(stack, "weakAlgorithm")
    assert f"{HOST} is offered {name}, which " in sentence
    assert WEAK[name].risk in sentence


def test_weak_cipher_by_the_older_argument_is_warned_of_too() -> None:
    stack = with_server(SftpServer(HOST, host_keys=[ED25519], ciphers=["aes256-cbc", "aes256-ctr"]))
    assert len(warnings_of(stack, "weakAlgorithm")) == 1


def test_warning_can_be_acknowledged_by_its_own_id() -> None:
    server = SftpServer(HOST, host_keys=[ED25519], algorithms=Algorithms(allow=["ssh-rsa", "3des-cbc"]))
    stack = with_server(server, acknowledged="cdk-s3-to-sftp:weakAlgorithm-ssh-rsa")
    (left,) = warnings_of(stack, "weakAlgorithm")
    assert "3des-cbc" in left


def test_default_and_policies_are_not_warned_of() -> None:
    for algorithms in (None, Algorithms(), Algorithms.post_quantum_required()):
        stack = with_server(SftpServer(HOST, host_keys=[ED25519], algorithms=algorithms))
        assert warnings_of(stack, "weakAlgorithm") == []


def test_fips_is_warned_to_be_about_names_and_no_validated_module() -> None:
    fips = SftpServer(HOST, host_keys=[ECDSA], algorithms=Algorithms.fips())
    (said,) = warnings_of(with_server(fips), "fipsIsAboutNames")
    assert "restricts the names of the algorithms" in said
    assert (
        "It does not make the function's cryptographic library a module that was validated under FIPS" in said
    )
    other = SftpServer(HOST, host_keys=[ECDSA], algorithms=Algorithms.post_quantum_required())
    assert warnings_of(with_server(other), "fipsIsAboutNames") == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ssh_rsa", "did you mean ssh-rsa?"),
        ("3DES-CBC", "did you mean 3des-cbc"),
        ("diffie-hellman-group14", "did you mean diffie-hellman-group14-sha1"),
    ],
)
def test_unknown_name_is_refused_with_what_it_resembles(name: str, near: str) -> None:
    sentence = refusal_of(allow=[name])
    assert sentence.startswith("allow must be some of diffie-hellman-group14-sha1, ")
    assert f"got {name!r}; {near}" in sentence


def test_unknown_name_that_resembles_nothing_is_refused() -> None:
    assert refusal_of(allow=["zzz"]).endswith("got 'zzz'")


def test_algorithm_that_is_on_anyway_is_refused() -> None:
    assert refusal_of(allow=["aes256-ctr"]) == (
        "allow must be algorithms that are off by default, got 'aes256-ctr', which is on"
    )


def test_policy_and_old_algorithms_exclude_each_other() -> None:
    assert refusal_of(policy=Policy.FIPS, allow=["ssh-rsa"]) == (
        "allow must be empty where the policy is fips, which forbids ssh-rsa, got ssh-rsa"
    )


@pytest.mark.parametrize("policy", ["fips", "modern"])
def test_policy_in_words_is_refused_with_what_to_write(policy: str) -> None:
    assert refusal_of(policy=policy) == (
        f"policy must be one of Algorithms.fips() and Algorithms.post_quantum_required(), got {policy!r}"
    )


def test_one_string_is_refused() -> None:
    assert "got one string: put it in [brackets]" in refusal_of(allow="ssh-rsa")


def test_token_is_refused() -> None:
    token = cdk.CfnParameter(cdk.Stack(cdk.App(), "Test"), "Text").value_as_string
    assert refusal_of(allow=[token]) == "allow must be known when the app is synthesised, got a Token"


def test_policies_reach_the_function_by_their_names() -> None:
    server = SftpServer(HOST, host_keys=[ECDSA], algorithms=Algorithms.fips())
    assert server.variables()["SSH_ALGORITHMS"] == "fips"
    server = SftpServer(HOST, host_keys=[ECDSA], algorithms=Algorithms.post_quantum_required())
    assert server.variables()["SSH_ALGORITHMS"] == "post_quantum_required"


def test_without_algorithms_there_is_no_variable() -> None:
    assert "SSH_ALGORITHMS" not in SftpServer(HOST, host_keys=[ED25519]).variables()
    server = SftpServer(HOST, host_keys=[ED25519], algorithms=Algorithms())
    assert "SSH_ALGORITHMS" not in server.variables()


def test_host_keys_that_the_policy_forbids_are_refused() -> None:
    assert refusal_of_server(algorithms=Algorithms.fips()) == (
        "host_keys must contain a key of a type that the policy fips allows (ECDSA or RSA), got only "
        "ssh-ed25519: ask the partner for another host key (ssh-keyscan -t ecdsa,rsa)"
    )
    assert SftpServer(HOST, host_keys=[ED25519, ECDSA], algorithms=Algorithms.fips())


def test_cipher_that_the_policy_forbids_is_refused() -> None:
    assert refusal_of_server(host_keys=[ECDSA], algorithms=Algorithms.fips(), ciphers=["3des-cbc"]) == (
        "ciphers must be some of aes128-gcm@openssh.com, aes256-gcm@openssh.com, aes128-ctr, aes192-ctr, "
        "aes256-ctr where algorithms is fips, got '3des-cbc'"
    )


@pytest.mark.parametrize("policy", Policy)
def test_policy_leaves_something_of_each_kind(policy: Policy) -> None:
    rule = AlgorithmRule(policy=policy)
    for kind, names in DEFAULT.items():
        offered = rule.offered(kind)
        assert offered
        assert [name for name in names if name in offered] == list(offered)


def with_server(server: SftpServer, *, acknowledged: str = "") -> cdk.Stack:
    stack = cdk.Stack(new_app(), "Test")
    delivery = S3ToSftp(stack, "Delivery", server=server)
    if acknowledged:
        cdk.Annotations.of(delivery).acknowledge_warning(acknowledged)
    return stack
