"""What counts as a server's words about too many connections."""

from __future__ import annotations

import pytest

from s3_to_sftp.diagnosis.server_messages import ServerMessages, says_too_many


@pytest.mark.parametrize(
    ("said", "is_too_many"),
    [
        (b"Too many connections from your address", True),
        (b"Maximum number of sessions reached", True),
        (b"Exceeded MaxStartups", True),
        (b"Too many users. If this persists, call us.", True),
        (b"If the maximum number of connections per user is exceeded you are disconnected", False),
        (b"When the maximum number of connections is exceeded, please wait", False),
        (b"Too many failed logins", False),
    ],
)
def test_words_about_too_many(said: bytes, *, is_too_many: bool) -> None:
    assert says_too_many(said) is is_too_many
    assert ServerMessages(goodbye=(11, said)).is_about_too_many() is is_too_many
    assert ServerMessages(refusal=(1, said)).is_about_too_many() is is_too_many


def test_banner_of_the_login_is_never_about_too_many() -> None:
    assert not ServerMessages(banner=b"Too many connections").is_about_too_many()
