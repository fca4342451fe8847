"""Messages of a server during a login are classified, quoted and bounded; no secret is sent blindly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import asyncssh
import paramiko
import pytest

from s3_to_sftp.diagnosis.server_messages import QUOTED_CHARACTERS
from s3_to_sftp.errors import (
    Disposition,
    LoginRefused,
    PartnerError,
    PartnerUnreachable,
    PasswordExpired,
    SecondFactorRequired,
    SftpNotStarted,
    TooManyConnections,
)
from s3_to_sftp.sftp.connection import connect
from tests.support.faults.ssh_door import (
    PASSWORD,
    Asked,
    Door,
    Script,
    banner,
    disconnect,
    failure,
    prompts,
    ssh_door,
    success,
    wants_new_password,
)
from tests.support.partner import IMPATIENT, assert_connects

KI = "keyboard-interactive"


def error_of_login(door: Door) -> PartnerError:
    with pytest.raises(PartnerError) as raised:
        connect(door.address, door.login, IMPATIENT)
    assert PASSWORD not in str(raised.value)
    return raised.value


def offers(method: str, *answers: bytes, and_then: Sequence[bytes] = ()) -> Script:
    """Script: offers one method, sends these answers to it, and `and_then` when its prompts are answered."""

    def script(asked: Asked) -> Sequence[bytes]:
        if asked.method == "none":
            return [failure(method)]
        return and_then if asked.method == "answers" else answers

    return script


def accepts_any_login(_asked: Asked) -> Sequence[bytes]:
    return [success()]


# --- an expired password, a code, and other prompts ---


def test_request_to_change_the_password_is_an_expired_password() -> None:
    with ssh_door(offers("password", wants_new_password("Password läuft ab: é".encode("latin-1")))) as door:
        error = error_of_login(door)
    assert type(error) is PasswordExpired
    assert "Password läuft ab: é" in error.reason
    assert door.methods == ["none", "password"]


@pytest.mark.parametrize(
    "asked",
    [
        ["New password: "],
        ["Old password: ", "New password: ", "Retype new password: "],
        ["Retype new password:"],
        ["Enter your new PASSWORD"],
        ["Confirm password: "],
    ],
)
def test_no_answer_is_sent_to_a_prompt_for_a_new_password(asked: list[str]) -> None:
    with ssh_door(offers(KI, prompts(*asked), and_then=[success()])) as door:
        assert type(error_of_login(door)) is PasswordExpired
    assert door.methods == ["none", KI]


def test_current_password_is_not_sent_to_a_dialogue_that_changes_it() -> None:
    said = "You are required to change your password immediately (password expired)."
    with ssh_door(offers(KI, prompts("Current password: ", said=said), and_then=[success()])) as door:
        assert type(error_of_login(door)) is PasswordExpired
    assert door.methods == ["none", KI]


def test_password_is_sent_once_and_not_to_a_following_change_prompt() -> None:
    with ssh_door(offers(KI, prompts("Password: "), and_then=[prompts("New password: ")])) as door:
        assert type(error_of_login(door)) is PasswordExpired
    assert door.heard[-1].answers == (PASSWORD,)
    assert door.methods == ["none", KI, "answers"]


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("Verification code: ", SecondFactorRequired),
        ("One-time password (OATH) for `partner': ", SecondFactorRequired),
        ("Enter PASSCODE:", SecondFactorRequired),
        ("Passcode or option (1-3): ", SecondFactorRequired),
        ("Enter PIN", SecondFactorRequired),
        ("User name: ", LoginRefused),
        ("login: ", LoginRefused),
        ("Press return", LoginRefused),
        ("", LoginRefused),
    ],
)
def test_password_is_not_sent_to_other_prompts(prompt: str, kind: type[LoginRefused]) -> None:
    with ssh_door(offers(KI, prompts(prompt), and_then=[success()])) as door:
        error = error_of_login(door)
    assert type(error) is kind
    assert prompt.strip() in error.reason
    assert door.methods == ["none", KI]


def test_code_requested_with_the_password_is_a_second_factor() -> None:
    with ssh_door(offers(KI, prompts("Password: ", "Token code: "), and_then=[success()])) as door:
        assert type(error_of_login(door)) is SecondFactorRequired
    assert "answers" not in door.methods


@pytest.mark.parametrize(
    "prompt",
    ["Password: ", "password", "(tokenfeed@127.0.0.1) Password:", "tokenfeed's password: ", "Passwort: "],
)
def test_password_prompt_is_answered_whatever_the_user_name(prompt: str) -> None:
    # RFC 4256, section 3.2: one request at a time, and each is answered, also one without prompts.
    dialogue = iter([prompts(prompt), prompts(said="Your password will expire in 3 days"), success()])

    def script(asked: Asked) -> Sequence[bytes]:
        return [failure(KI)] if asked.method == "none" else [next(dialogue)]

    with ssh_door(script) as door:
        connect(door.address, replace(door.login, username="tokenfeed"), IMPATIENT).close()
    assert [asked.answers for asked in door.heard if asked.method == "answers"] == [(PASSWORD,), ()]


def test_password_is_not_sent_twice_in_one_dialogue() -> None:
    with ssh_door(offers(KI, prompts("Password: "), and_then=[prompts("Password: ")])) as door:
        assert type(error_of_login(door)) is LoginRefused
    assert door.methods.count("answers") == 1


def test_endless_prompts_end_the_login() -> None:
    with ssh_door(offers(KI, prompts(), and_then=[prompts()])) as door, pytest.raises(PartnerUnreachable):
        connect(door.address, door.login, IMPATIENT)


# --- which methods ---


@pytest.mark.parametrize("method", ["publickey", "gssapi-with-mic", ""])
def test_password_is_not_sent_where_its_method_is_not_offered(method: str) -> None:
    with ssh_door(offers(method, success())) as door:
        error = error_of_login(door)
    assert door.methods == ["none"]
    assert error.cause == "method-not-offered"
    assert (f"it takes only '{method}'" if method else "it takes only no method at all") in error.reason
    assert type(error) is LoginRefused


def test_key_is_not_sent_where_its_method_is_not_offered() -> None:
    with ssh_door(offers("password", success())) as door:
        connect(door.address, replace(door.login, private_key=private_key("ssh-ed25519")), IMPATIENT).close()
    assert door.methods == ["none", "password"]


def test_no_credentials_are_sent_to_a_server_that_requires_none() -> None:
    with ssh_door(accepts_any_login) as door:
        connect(door.address, door.login, IMPATIENT).close()
    assert door.methods == ["none"]


def private_key(kind: str) -> str:
    return asyncssh.generate_private_key(kind).export_private_key().decode()


@pytest.mark.parametrize("good", ["rsa-sha2-512", "rsa-sha2-256"])
def test_second_signature_hash_is_tried_without_server_sig_algs(good: str) -> None:
    def script(asked: Asked) -> Sequence[bytes]:
        if asked.method == "none":
            return [failure("publickey")]
        return [success() if asked.algorithm == good else failure("publickey")]

    with ssh_door(script, sig_algs=False) as door:
        connect(door.address, replace(door.login, private_key=private_key("ssh-rsa")), IMPATIENT).close()
    tried = [asked.algorithm for asked in door.heard if asked.method == "publickey"]
    assert tried == ["rsa-sha2-512", "rsa-sha2-256"][: len(tried)]
    assert tried[-1] == good


def test_refused_key_is_offered_once_with_server_sig_algs() -> None:
    with ssh_door(offers("publickey", failure("publickey"))) as door:
        login = replace(door.login, private_key=private_key("ssh-rsa"), password="")
        with pytest.raises(LoginRefused, match="does not accept the ssh-rsa key SHA256:"):
            connect(door.address, login, IMPATIENT)
    assert [asked.algorithm for asked in door.heard[1:]] == ["rsa-sha2-512"]


# --- limits ---


@pytest.mark.parametrize(
    "said",
    [
        disconnect(12, b""),
        disconnect(11, b"Too many connections from your address"),
        disconnect(2, b"Maximum number of sessions reached"),
    ],
)
@pytest.mark.parametrize("at", ["none", "password"])
def test_disconnect_for_a_limit_is_not_a_refused_login(said: bytes, at: str) -> None:
    def script(asked: Asked) -> Sequence[bytes]:
        return [said] if asked.method == at else [failure("password")]

    with ssh_door(script) as door:
        assert type(error_of_login(door)) is TooManyConnections


NOTICES = [
    b"If the maximum number of connections per user is exceeded you are disconnected",
    b"You must change your password every 90 days.",
    b"Violators are prosecuted to the maximum extent of the law. All users are monitored.",
    b"Session limit: 15 minutes of inactivity.",
    b"Maximum of 10 concurrent connections per user.",
]
LOCKED = [
    b"Account locked after too many failed logins",
    b"Too many invalid logins",
    b"login limit exceeded: locked",
]


@pytest.mark.parametrize("notice", NOTICES)
def test_banner_that_mentions_limits_is_not_a_reached_limit(notice: bytes) -> None:
    with ssh_door(offers("password", banner(notice), failure("password"))) as door:
        assert type(error_of_login(door)) is LoginRefused
    with ssh_door(offers("password", failure("password")), greets=notice + b"\r\n") as door:
        assert type(error_of_login(door)) is LoginRefused


@pytest.mark.parametrize("said", LOCKED)
def test_locked_account_is_a_refused_login(said: bytes) -> None:
    with ssh_door(offers("password", disconnect(2, said))) as door:
        error = error_of_login(door)
    assert type(error) is LoginRefused
    assert said.decode() in error.reason


@pytest.mark.parametrize("at", ["none", "password"])
def test_silence_during_the_login_times_out_and_quotes_the_banner(at: str) -> None:
    def script(asked: Asked) -> Sequence[bytes]:
        return [banner(b"Account awaiting approval")] if asked.method == at else [failure("password")]

    with ssh_door(script) as door:
        error = error_of_login(door)
    assert type(error) is PartnerUnreachable
    assert "did not answer the login in time. It said 'Account awaiting approval'" in error.reason


def test_malformed_request_to_change_the_password_is_not_an_expired_password() -> None:
    with ssh_door(offers("password", b"\x3c\0")) as door:
        assert type(error_of_login(door)) is PartnerUnreachable


def test_refused_password_with_a_line_break_gets_a_hint() -> None:
    with ssh_door(offers("password", failure("password"))) as door:
        login = replace(door.login, password=f"{PASSWORD}\n")
        with pytest.raises(LoginRefused) as raised:
            connect(door.address, login, IMPATIENT)
    assert "begins or ends with a blank or a line break" in raised.value.hint


def test_limit_before_the_version_line_is_not_a_server_without_ssh() -> None:
    with ssh_door(accepts_any_login, greets=b"Exceeded MaxStartups\r\n", sends_version=False) as door:
        error = error_of_login(door)
    assert type(error) is TooManyConnections
    assert "It said 'Exceeded MaxStartups'" in error.reason


@pytest.mark.parametrize(
    "said", [disconnect(2, b"Too many authentication failures"), disconnect(14, b"Account disabled")]
)
def test_disconnect_after_the_password_quotes_the_server(said: bytes) -> None:
    with ssh_door(offers("password", said)) as door:
        error = error_of_login(door)
    assert type(error) is LoginRefused
    assert said[9:].split(b"\0")[0].decode() in error.reason


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Go away", "closed-before-login"),
        ("Your IP address has been blocked", "banned"),
        ("Too many authentication failures", "banned"),
        ("This account has been disabled", "account-disabled"),
    ],
)
def test_disconnect_before_any_credentials_is_not_a_refused_login(said: str, cause: str) -> None:
    with ssh_door(lambda asked: [disconnect(11, said.encode())]) as door:
        error = error_of_login(door)
    assert type(error) is PartnerUnreachable
    assert error.cause == cause
    assert f"'{said}'" in error.reason


def test_ban_as_the_answer_to_the_password_is_a_refused_login() -> None:
    with ssh_door(offers("password", disconnect(2, b"Your IP address has been blocked"))) as door:
        error = error_of_login(door)
    assert type(error) is LoginRefused
    assert error.cause == "banned"


# --- what it says, in any bytes ---

ODD = "Zugang für Ärzte gesperrt".encode("latin-1")
LONG = b"x" * 30_000


@pytest.mark.parametrize(
    "said", [ODD, ODD + b"\x00\x1b[2J\x9b", b"\xff" * 2000, LONG, "Größe \u202e".encode()]
)
@pytest.mark.parametrize("answer", [banner, lambda said: disconnect(14, said)], ids=["banner", "disconnect"])
def test_text_of_a_refusal_is_quoted_sanitised_and_bounded(
    said: bytes, answer: Callable[[bytes], bytes]
) -> None:
    with ssh_door(offers("password", answer(said), failure("password"))) as door:
        error = error_of_login(door)
    assert type(error) is LoginRefused
    assert error.reason.isprintable()
    assert len(error.reason) < QUOTED_CHARACTERS + 400
    if said.startswith(ODD):
        assert "Zugang für Ärzte gesperrt" in error.reason


@pytest.mark.parametrize("said", [PASSWORD.encode(), f"bad password {PASSWORD}!".encode()])
def test_password_that_the_server_echoes_is_not_in_the_error(said: bytes) -> None:
    with ssh_door(offers("password", banner(said), failure("password"))) as door:
        assert "[secret]" in error_of_login(door).reason


def test_user_name_that_is_the_password_is_not_in_the_error() -> None:
    def error_of(user: str, *answers: bytes) -> PartnerError:
        with (
            ssh_door(offers("password", *answers)) as door,
            pytest.raises(PartnerError) as raised,
        ):
            connect(door.address, replace(door.login, username=user), IMPATIENT)
        return raised.value

    for error in (
        error_of(PASSWORD, failure("password")),
        error_of(f"partner:{PASSWORD}", wants_new_password(b"Change it.")),
    ):
        assert "[secret]" in error.reason
        assert "[secret]" in error.to_partner
        assert PASSWORD not in f"{error} {error.to_partner}"


@pytest.mark.parametrize("user", ["new\nline\x1b[31m", "u" * 5000])
def test_text_to_the_partner_is_one_short_line_whatever_the_user_name(user: str) -> None:
    with (
        ssh_door(offers("password", failure("password"))) as door,
        pytest.raises(PartnerError) as raised,
    ):
        connect(door.address, replace(door.login, username=user), IMPATIENT)
    for text in (raised.value.to_partner, raised.value.reason):
        assert text.isprintable()
        assert len(text) < 1000


def test_text_before_the_version_line_is_quoted() -> None:
    with ssh_door(
        accepts_any_login, greets=b"220 ftp.partner.example F\xfcr Sie\r\n", sends_version=False
    ) as door:
        error = error_of_login(door)
    assert type(error) is PartnerUnreachable
    assert "It said '220 ftp.partner.example Für Sie'" in error.reason


def test_lines_before_the_version_line_are_accepted() -> None:
    with ssh_door(accepts_any_login, greets=b"Willkommen \xfc\r\nSecond line\n") as door:
        assert_connects(door.address, door.login)


def test_endless_version_line_is_unreachable_and_bounded_in_the_error() -> None:
    with ssh_door(accepts_any_login, greets=b"y" * 100_000, sends_version=False) as door:
        error = error_of_login(door)
    assert type(error) is PartnerUnreachable
    assert len(error.reason) < QUOTED_CHARACTERS + 200


def test_missing_common_algorithm_is_reported_with_the_offered_ones() -> None:
    with ssh_door(accepts_any_login, offers={"ciphers": ("aes256-cbc", "3des-cbc")}) as door:
        error = error_of_login(door)
        assert type(error) is PartnerUnreachable
        assert "ciphers: it offers 'aes256-cbc, 3des-cbc'" in error.reason
        connect(replace(door.address, ciphers=("aes256-cbc",)), door.login, IMPATIENT).close()


# --- a login that starts no SFTP ---


def session_that_sends(
    text: bytes, *, on_stderr: bytes = b"", status: int = 1
) -> Callable[[paramiko.Channel], None]:
    def session(channel: paramiko.Channel) -> None:
        if on_stderr:
            channel.sendall_stderr(on_stderr)
        if text:
            channel.sendall(text)
        channel.send_exit_status(status)
        channel.close()

    return session


def test_login_without_sftp_is_a_partner_error() -> None:
    with ssh_door(accepts_any_login, session=session_that_sends(b"", status=127)) as door:
        error = error_of_login(door)
    assert type(error) is SftpNotStarted
    assert error.disposition is Disposition.PARTNER
    assert "exit status 127" in error.reason


@pytest.mark.parametrize(
    "text", [b"This account is currently not available.\n", b"Welcome to b\xf6rse!\r\n", b"Hi\n"]
)
def test_greeting_of_a_shell_is_quoted(text: bytes) -> None:
    with ssh_door(accepts_any_login, session=session_that_sends(text)) as door:
        error = error_of_login(door)
    assert type(error) is SftpNotStarted
    assert f"said '{text.decode('latin-1').strip()}'" in error.reason
    assert "bytes" not in error.reason


def test_session_that_still_speaks_when_we_have_hung_up_disturbs_nobody() -> None:
    spoke_on = threading.Event()

    def speaks_on(channel: paramiko.Channel) -> None:
        channel.sendall(b"Hi\n")
        channel.get_transport().join()
        spoke_on.set()
        channel.sendall(b"You have mail.\n")

    with ssh_door(accepts_any_login, session=speaks_on) as door:
        assert type(error_of_login(door)) is SftpNotStarted
    assert spoke_on.is_set()


@pytest.mark.parametrize(
    "more", [{"session": session_that_sends(b"", status=127)}, {"refuses_channel": b"no"}]
)
def test_banner_about_limits_is_not_why_sftp_does_not_start(more: dict[str, Any]) -> None:
    with ssh_door(lambda _: [banner(NOTICES[0]), success()], **more) as door:
        assert type(error_of_login(door)) is SftpNotStarted


def test_expired_password_reported_on_stderr_of_the_session_is_recognised() -> None:
    stderr = b"WARNING: Your password has expired.\nPassword change required but no TTY available.\n"
    with ssh_door(accepts_any_login, session=session_that_sends(b"", on_stderr=stderr)) as door:
        assert type(error_of_login(door)) is PasswordExpired


@pytest.mark.parametrize(
    ("words", "kind"), [(ODD, SftpNotStarted), (b"Too many open sessions", TooManyConnections)]
)
def test_refused_channel_is_reported_with_the_text_of_the_server(
    words: bytes, kind: type[PartnerError]
) -> None:
    with ssh_door(accepts_any_login, refuses_channel=words) as door:
        error = error_of_login(door)
    assert type(error) is kind
    assert f"said '{words.decode('latin-1')}'" in error.reason
