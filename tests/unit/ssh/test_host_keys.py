"""Host keys: which algorithms are requested, and how keys are compared and shown."""

from __future__ import annotations

import asyncssh
import paramiko
import pytest

from s3_to_sftp.errors import HostKeyRefused
from s3_to_sftp.server import Server
from s3_to_sftp.ssh.host_keys import algorithms_for, check, fingerprint, pasteable, pinned_fingerprints
from tests.support.does_not_raise import does_not_raise

OFFERED = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
KEY = asyncssh.generate_private_key("ssh-ed25519")
LINE = " ".join(KEY.export_public_key().decode().split()[:2])
PKEY = paramiko.PKey.from_type_string("ssh-ed25519", KEY.public_data)


@pytest.mark.parametrize(
    ("pinned", "algorithms"),
    [
        (("ssh-ed25519 A",), ("ssh-ed25519",)),
        (("ssh-rsa A",), ("rsa-sha2-512", "rsa-sha2-256")),
        (("ecdsa-sha2-nistp384 A",), ("ecdsa-sha2-nistp384",)),
        (("ssh-rsa A", "ssh-ed25519 B"), ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")),
        (("ssh-dss A",), ()),
        ((), ()),
    ],
)
def test_only_algorithms_of_pinned_key_types_are_requested_in_offered_order(
    pinned: tuple[str, ...], algorithms: tuple[str, ...]
) -> None:
    assert algorithms_for(pinned, offered=OFFERED) == algorithms


def test_fingerprint_has_the_format_of_ssh_keygen() -> None:
    assert fingerprint(PKEY) == KEY.get_fingerprint()


def test_pinned_keys_have_the_fingerprints_of_ssh_keygen() -> None:
    server = Server(host="h", port=22, host_keys=(LINE, f"{LINE} comment"))
    assert pinned_fingerprints(server) == (KEY.get_fingerprint(),) * 2


def test_pinned_authority_leaves_open_which_keys_are_pinned() -> None:
    server = Server(host="h", port=22, host_keys=(LINE, f"@cert-authority * {LINE}"))
    assert pinned_fingerprints(server) is None


def test_pasteable_form_is_type_and_base64() -> None:
    assert pasteable(PKEY) == LINE


@pytest.mark.parametrize(
    "line",
    [LINE, LINE + " comment with words", "  " + LINE.replace(" ", "   ")],
    ids=["as it is", "with a comment", "with more blanks"],
)
def test_pinned_key_is_accepted_with_any_spacing_or_comment(line: str) -> None:
    with does_not_raise():
        check(PKEY, Server(host="h", port=22, host_keys=("ssh-rsa AAAA", line)))


@pytest.mark.parametrize(
    "pinned",
    [(), ("ssh-ed25519 AAAA",), ("ssh-ed25519 nonsense!", "x y"), (LINE[:-4],)],
    ids=["none", "another", "garbage", "a cut one"],
)
def test_unpinned_key_is_refused_and_shown_in_the_error(pinned: tuple[str, ...]) -> None:
    with pytest.raises(HostKeyRefused) as raised:
        check(PKEY, Server(host="h", port=22, host_keys=pinned))
    assert f"'{LINE}'" in str(raised.value)
    assert fingerprint(PKEY) in str(raised.value)
    assert (raised.value.offered, raised.value.fingerprint) == (LINE, fingerprint(PKEY))
