"""Host keys: which are accepted, and what the error says about a wrong one, without showing a private key."""

import pytest

from cdk_s3_to_sftp import InvalidArgument, SftpServer
from s3_to_sftp.host_key_setting import pinned_host_keys
from tests.support.infra.keys import ECDSA, ED25519, RSA


def refusal_of(host: str = "sftp.partner.example", **arguments: object) -> str:
    with pytest.raises(InvalidArgument) as caught:
        SftpServer(host, **{"host_keys": [ED25519], **arguments})  # type: ignore[arg-type]  # wrong on purpose
    return str(caught.value)


@pytest.mark.parametrize("key", [ED25519, ECDSA, RSA], ids=["ed25519", "ecdsa", "rsa"])
def test_common_key_types_are_accepted(key: str) -> None:
    assert SftpServer("sftp.partner.example", host_keys=[key]).host_keys == (key,)


def test_whitespace_around_a_key_is_removed() -> None:
    pasted = f"  {ED25519.replace(' ', '   ')}\n"
    assert SftpServer("sftp.partner.example", host_keys=[pasted]).host_keys == (ED25519,)


HASHED = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg="
KEYSCAN = f"""\
# sftp.bank.example:22 SSH-2.0-OpenSSH_9.9
sftp.bank.example {RSA}
# sftp.bank.example:22 SSH-2.0-OpenSSH_9.9
sftp.bank.example {ED25519}
"""


@pytest.mark.parametrize(
    "line",
    [
        f"sftp.bank.example {ED25519}",
        f"[sftp.bank.example]:2222 {ED25519}",
        f"sftp.bank.example,192.0.2.7 {ED25519} root@bank",
        f"{ED25519} root@bank old",
        f"{HASHED} {ED25519}",
    ],
    ids=["ssh-keyscan", "with a port", "several names and a comment", "public key file", "hashed name"],
)
def test_lines_of_known_hosts_are_accepted(line: str) -> None:
    assert SftpServer("sftp.bank.example", host_keys=[line]).host_keys == (ED25519,)


@pytest.mark.parametrize("pasted", [[KEYSCAN], KEYSCAN.splitlines()], ids=["one text", "lines"])
def test_output_of_ssh_keyscan_is_accepted_as_it_is(pasted: list[str]) -> None:
    assert SftpServer("sftp.bank.example", host_keys=pasted).host_keys == (RSA, ED25519)


def test_comment_lines_alone_are_no_keys() -> None:
    assert "got none" in refusal_of(host_keys=["# bank SSH-2.0-x"])


@pytest.mark.parametrize("lines", [KEYSCAN, f"{HASHED} {ED25519}", f"a,192.0.2.7 {RSA} b c"])
def test_function_reads_the_same_keys_from_pasted_lines(lines: str) -> None:
    assert SftpServer("sftp.bank.example", host_keys=[lines]).host_keys == pinned_host_keys(lines)


def test_missing_host_keys_error_explains_ssh_keyscan() -> None:
    message = refusal_of(port=2222, host_keys=[])
    assert "'ssh-keyscan -p 2222 sftp.partner.example'" in message
    assert "verify the fingerprints ('ssh-keygen -lf FILE') with the partner out of band" in message


def test_string_instead_of_a_list_is_refused() -> None:
    assert refusal_of(host_keys=ED25519) == (
        "host_keys must be a list of texts, got one string: put it in [brackets]"
    )


@pytest.mark.parametrize(
    ("pasted", "complaint"),
    [
        (
            f"@revoked [bank]:2222 {ED25519} root@bank",
            "must be keys to trust, got a line with the marker '@revoked': remove it",
        ),
        ("ssh-ed25519", "must be of the form 'type base64', got only the type 'ssh-ed25519'"),
        ("bank.example ssh-rsa", "must be of the form 'type base64', got only the type 'ssh-rsa'"),
        (" ", "must be public keys of the form 'ssh-ed25519 AAAA...' (types: ssh-ed25519, ssh-rsa, "),
        (
            "SHA256:pQ+9",
            "must be whole public keys, got the fingerprint 'SHA256:pQ+9': print the keys with 'ssh-keyscan'",
        ),
        (ED25519.split()[1], "must begin with the type of the key, such as ssh-ed25519, got 'AAAAC3Nz"),
        ("hunter2", "must be public keys of the form 'ssh-ed25519 AAAA...' (types: ssh-ed25519, ssh-rsa, "),
        (ED25519.replace("ssh-ed25519", "ssh-rsa"), "must be unaltered: 'ssh-rsa AAAAC3Nz"),
        (
            "ssh-ed25519 AAAA....",
            "must be complete keys: the base64 of 'ssh-ed25519 AAAA....' cannot be decoded "
            "(Only base64 data is allowed)",
        ),
    ],
    ids=[
        "revoked",
        "type alone",
        "host and type",
        "blank",
        "fingerprint",
        "no type",
        "no key",
        "another type",
        "no base64",
    ],
)
def test_malformed_key_error_names_the_defect(pasted: str, complaint: str) -> None:
    assert refusal_of(host_keys=[ED25519, pasted]).startswith(f"host_keys {complaint}")


def test_key_type_mismatch_is_refused() -> None:
    message = refusal_of(host_keys=[ED25519.replace("ssh-ed25519", "ssh-rsa")])
    assert message.endswith(" begins with ssh-rsa, but contains ssh-ed25519")


@pytest.mark.parametrize("key", [ED25519, ECDSA, RSA], ids=["ed25519", "ecdsa", "rsa"])
def test_truncated_key_is_refused(key: str) -> None:
    whole_base64_groups = key[: -len(key.split()[1]) + 40]
    assert "the end of" in refusal_of(host_keys=[whole_base64_groups])


def test_private_key_is_refused_without_being_shown() -> None:
    message = refusal_of(host_keys=["-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA"])
    assert (
        message
        == "host_keys must be public keys, got a private key: paste the public one, 'ssh-ed25519 AAAA...'"
    )


BODY = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3vQ8e0nQ7c2Yy1mFh4kqv0bQF7s9dX2aZ1cT3u"

PRIVATE = f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "pasted",
    [
        [PRIVATE],
        PRIVATE.splitlines(),
        [PRIVATE.replace("\n", " ")],
        [PRIVATE.replace("-----", "\u2014\u2014-")],
        [BODY],
        [f"ssh-ed25519 {BODY}"],
        ["ssh-ed25519 AAAA", BODY],
        ["ssh-ed25519 b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"],
    ],
)
def test_error_shows_no_part_of_a_private_key(pasted: list[str]) -> None:
    message = refusal_of(host_keys=pasted)
    assert "got a private key" in message
    assert not any(part in message for part in (BODY[:12], BODY[-12:], "b3BlbnNz"))


def test_certificate_authority_with_host_patterns_is_accepted() -> None:
    line = f"@cert-authority *.partner.example,10.0.0.? {ED25519}"
    server = SftpServer("sftp.partner.example", host_keys=[f"{line} comment", ED25519])
    assert server.variables()["SSH_HOST_KEY"] == f"{line}\n{ED25519}"


def test_certificate_authority_without_host_patterns_is_refused() -> None:
    assert refusal_of(host_keys=[f"@cert-authority {ED25519}"]).startswith(
        "host_keys must be '@cert-authority patterns type base64', got"
    )
