"""`SftpServer`: host, port, directory, ciphers and timeouts."""

from contextlib import nullcontext

import aws_cdk as cdk
import pytest

from cdk_s3_to_sftp import InvalidArgument, SftpServer
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.infra.keys import ED25519


def refusal_of(host: str = "sftp.partner.example", **arguments: object) -> str:
    with pytest.raises(InvalidArgument) as caught:
        SftpServer(host, **{"host_keys": [ED25519], **arguments})  # type: ignore[arg-type]  # wrong on purpose
    return str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "sftp-1.partner.example", "partner.", "10.1.2.3", "::1"])
def test_host_names_and_ip_addresses_are_accepted(host: str) -> None:
    assert SftpServer(host, host_keys=[ED25519]).host == host


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "sftp://partner.example",
            "me@partner.example",
            "partner.example:22",
            "a/b",
            "a b",
            "-oProxy=x",
        ),
        *("[::1]", "[::1]:22", "a\0b", "a\nb", "partner.example\n", "\x1b"),
    ],
)
def test_host_with_scheme_user_port_or_path_is_refused(host: str) -> None:
    assert refusal_of(host) == (
        "host must be a bare name or address such as sftp.partner.example "
        f"(no sftp://, no user@, no :port, no path), got {host!r}"
    )


@pytest.mark.parametrize(
    "host",
    ["a" * 64 + ".example", "a" * 240, ".".join(["a" * 49] * 5) + ".abcdef"],
    ids=["label", "240", "256 in all"],
)
def test_host_over_the_dns_length_limits_is_refused(host: str) -> None:
    assert refusal_of(host) == (
        "host must be a valid DNS name, with at most 63 characters between two dots and 253 in total, got "
        f"{len(host)} characters that begin with {host[:32]!r}"
    )


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_port_out_of_range_is_refused(port: int) -> None:
    assert refusal_of(port=port) == f"port must be 1-65535, got {port}"


@pytest.mark.parametrize("directory", ["", "  ", "/in\nbox", "/in\0box"])
def test_empty_directory_or_control_characters_are_refused(directory: str) -> None:
    assert refusal_of(directory=directory) == (
        "directory must be a remote path such as /inbox "
        f"(leave it out for the login directory), got {directory!r}"
    )


def test_directory_with_a_name_that_is_too_long_is_refused() -> None:
    assert refusal_of(directory="/in/" + "x" * 256) == (
        "directory must have names of at most 255 bytes between '/', as file systems allow, got one of 256 "
        "that "
        f"begins with '{'x' * 40}'"
    )


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("0.0.0.0", "stands for no machine, or for many"),
        ("::", "stands for no machine, or for many"),
        ("224.0.0.1", "stands for no machine, or for many"),
        ("ff02::1", "stands for no machine, or for many"),
        ("255.255.255.255", "stands for no machine, or for many"),
        ("999.1.1.1", "ends in a number, as addresses do, and is no address"),
        ("sftp.10", "ends in a number, as addresses do, and is no address"),
        ("sftp..partner.example", "has two dots in a row"),
    ],
)
def test_host_at_which_no_server_can_be_is_refused(host: str, why: str) -> None:
    message = refusal_of(host=host)
    assert message == f"host must be the name or address of one server, got {host!r}, which {why}"


BODY = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3vQ8e0nQ7c2Yy1mFh4kqv0bQF7s9dX2aZ1cT3u"

PRIVATE = f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize("argument", ["host", "directory"])
def test_private_key_in_another_argument_is_refused_without_being_shown(argument: str) -> None:
    message = refusal_of(**{"host": "sftp.partner.example", argument: PRIVATE})
    assert message.startswith(f"{argument} must not hold a private key")
    assert BODY[:12] not in message


def test_arguments_can_be_tokens() -> None:
    app = cdk.App()
    stack = cdk.Stack(app, "Test")
    text = cdk.CfnParameter(stack, "Text").value_as_string
    port = cdk.CfnParameter(stack, "Port", type="Number").value_as_number
    server = SftpServer(
        text,
        port=port,  # type: ignore[arg-type]  # jsii says float
        directory=text,
        host_keys=[text],
        ciphers=[text],
        connect_timeout=cdk.Duration.seconds(port),
        reply_timeout=cdk.Duration.seconds(port),
    )
    assert stack.resolve(server.variables()) == {
        "SSH_HOST": {"Ref": "Text"},
        "SSH_PORT": {"Ref": "Port"},
        "SSH_DIR": {"Ref": "Text"},
        "SSH_HOST_KEY": {"Ref": "Text"},
        "SSH_CIPHERS": {"Ref": "Text"},
        "SSH_CONNECT_TIMEOUT": {"Ref": "Port"},
        "SSH_REPLY_TIMEOUT": {"Ref": "Port"},
    }


def test_ciphers_keep_their_order() -> None:
    server = SftpServer("sftp.partner.example", host_keys=[ED25519], ciphers=["aes256-ctr", "aes128-ctr"])
    assert server.variables()["SSH_CIPHERS"] == "aes256-ctr,aes128-ctr"


@pytest.mark.parametrize("cipher", ["aes256-gcm", "", "aes256-ctr,aes128-ctr", "none"])
def test_unsupported_cipher_is_refused(cipher: str) -> None:
    assert refusal_of(ciphers=["aes256-ctr", cipher]) == (
        "ciphers must be some of aes128-gcm@openssh.com, aes256-gcm@openssh.com, aes128-ctr, aes192-ctr, "
        f"aes256-ctr, aes128-cbc, aes192-cbc, aes256-cbc, 3des-cbc, got {cipher!r}"
    )


def test_string_instead_of_a_list_of_ciphers_is_refused() -> None:
    assert refusal_of(ciphers="aes256-ctr") == (
        "ciphers must be a list of texts, got one string: put it in [brackets]"
    )


@pytest.mark.parametrize(
    ("timeout", "seconds", "sentence"),
    [
        ("connect_timeout", 0, "connect_timeout must be 1-300 seconds, got 0"),
        ("connect_timeout", 301, "connect_timeout must be 1-300 seconds, got 301"),
        ("reply_timeout", 9, "reply_timeout must be 10-600 seconds, got 9"),
        ("reply_timeout", 601, "reply_timeout must be 10-600 seconds, got 601"),
    ],
)
def test_timeout_out_of_range_is_refused(timeout: str, seconds: int, sentence: str) -> None:
    arguments: dict[str, object] = {timeout: cdk.Duration.seconds(seconds)}
    assert refusal_of("sftp.partner.example", **arguments) == sentence


def test_fractional_seconds_are_refused() -> None:
    assert refusal_of(connect_timeout=cdk.Duration.millis(1500)) == (
        "connect_timeout must be whole seconds, got 1.5"
    )


@pytest.mark.parametrize(("connect", "reply"), [(1, 10), (300, 600)])
def test_timeout_variables_are_in_seconds(connect: int, reply: int) -> None:
    server = SftpServer(
        "sftp.partner.example",
        host_keys=[ED25519],
        connect_timeout=cdk.Duration.seconds(connect),
        reply_timeout=cdk.Duration.seconds(reply),
    )
    assert server.variables()["SSH_CONNECT_TIMEOUT"] == str(connect)
    assert server.variables()["SSH_REPLY_TIMEOUT"] == str(reply)


def test_documented_default_timeouts_equal_those_of_the_function() -> None:
    text = " ".join(str(SftpServer.__doc__).split())
    assert f"1 to 300 seconds. By default {Timeouts().connect:g} seconds." in text
    assert f"end of a large file. By default {Timeouts().reply:g} seconds." in text


@pytest.mark.parametrize(
    ("reply", "timeout", "passes"), [(60, 60, False), (60, 61, True), (None, 120, False)]
)
def test_function_timeout_must_exceed_the_reply_timeout(
    reply: int | None,
    timeout: int,
    passes: bool,  # noqa: FBT001 - a parameter
) -> None:
    server = SftpServer(
        "sftp.partner.example",
        host_keys=[ED25519],
        reply_timeout=cdk.Duration.seconds(reply) if reply else None,
    )
    with nullcontext() if passes else pytest.raises(InvalidArgument, match=f"{reply or 120} seconds"):
        server.check_replies_within(cdk.Duration.seconds(timeout))


def test_omitted_arguments_set_no_variable() -> None:
    server = SftpServer("sftp.partner.example", host_keys=[ED25519])
    assert set(server.variables()) == {"SSH_HOST", "SSH_PORT", "SSH_HOST_KEY"}
