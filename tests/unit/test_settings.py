"""The environment is read once; what is missing or wrong is named."""

from __future__ import annotations

import json
import traceback

import pytest

from s3_to_sftp.delivery.remote_path import SourceDirectory
from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.settings import PLAIN_LAMBDA_ONLY, VARIABLES, Server, Settings
from s3_to_sftp.unknown_outcome import UnknownOutcome

PLAIN = {"SSH_HOST": "sftp.partner.example", "SSH_PORT": "22", "SSH_USERNAME": "u", "SSH_PASSWORD": "p"}
WITH_SECRET = {"SSH_HOST": "sftp.partner.example", "SSH_PORT": "22", "SSH_SECRET_ARN": "arn:secret"}


def test_plain_lambda_needs_four_variables() -> None:
    settings = Settings.from_environment(PLAIN)
    assert settings == Settings(
        server=Server(host="sftp.partner.example", port=22), username="u", password="p"
    )


def test_secret_stands_in_for_user_and_password() -> None:
    settings = Settings.from_environment(WITH_SECRET)
    assert (settings.secret_arn, settings.username, settings.password) == ("arn:secret", "", "")


def test_policy_for_unknown_outcomes_is_one_of_three() -> None:
    with pytest.raises(ConfigurationError, match="UNKNOWN_OUTCOME must be one of hold, resend") as raised:
        Settings.from_environment({**PLAIN, "UNKNOWN_OUTCOME": "retry"})
    assert "'retry'" in raised.value.reason


def test_person_is_asked_about_unknown_outcomes_by_default() -> None:
    assert Settings.from_environment(PLAIN).unknown_outcome is UnknownOutcome.HOLD


@pytest.mark.parametrize("value", [None, "", "   "])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_missing_variable_is_named(name: str, value: str | None) -> None:
    environment = {**PLAIN, name: value} if value is not None else {**PLAIN}
    if value is None:
        del environment[name]
    with pytest.raises(ConfigurationError, match=f"{name} is not set"):
        Settings.from_environment(environment)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "22.0", "ssh", "2 2", "٢٢", "0x16", "+22"])
def test_bad_port_is_named_and_shown(port: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_PORT must be a number from 1 to 65535") as raised:
        Settings.from_environment({**PLAIN, "SSH_PORT": port})
    assert repr(port) in str(raised.value)


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("65535", 65535), (" 2222 ", 2222)])
def test_port_from_1_to_65535_is_taken(text: str, port: int) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_PORT": text}).server.port == port


def test_one_connection_at_a_time_where_nothing_else_is_said() -> None:
    assert Settings.from_environment(PLAIN).max_connections == 1


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("8", 8), ("64", 64)])
def test_connections_from_1_to_64_are_taken(text: str, number: int) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_MAX_CONNECTIONS": text}).max_connections == number


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("SSH_MAX_CONNECTIONS", 1, 64),
        ("SSH_CONNECT_TIMEOUT", 1, 300),
        ("SSH_REPLY_TIMEOUT", 10, 600),
        ("RETRY_FOR_SECONDS", 1, 10**8),
    ],
)
def test_number_out_of_its_limits_is_named_and_shown(name: str, lowest: int, highest: int) -> None:
    for text in (str(lowest), str(highest)):
        Settings.from_environment({**PLAIN, "RECEIPTS_FOR_SECONDS": "1000000000", name: text})
    for text in (str(lowest - 1), str(highest + 1), "-1", "many", "2.5"):
        with pytest.raises(
            ConfigurationError, match=f"{name} must be a number from {lowest} to {highest}"
        ) as raised:
            Settings.from_environment({**PLAIN, name: text})
        assert repr(text) in str(raised.value)


LEAST = 28 * 86_400 + 24 * 3600 + 3600


@pytest.mark.parametrize("seconds", [1, 500, LEAST - 1])
def test_ledger_that_would_forget_what_may_still_be_asked_for_is_refused(seconds: int) -> None:
    with pytest.raises(ConfigurationError, match=f"RECEIPTS_FOR_SECONDS must be at least {LEAST}"):
        Settings.from_environment({**PLAIN, "RECEIPTS_FOR_SECONDS": str(seconds)})


def test_ledger_must_remember_for_longer_where_objects_are_retried_for_longer() -> None:
    for retry_for in (3600, 72 * 3600, 10**8):
        least = 28 * 86_400 + retry_for + 3600
        given = {**PLAIN, "RETRY_FOR_SECONDS": str(retry_for)}
        assert Settings.from_environment({**given, "RECEIPTS_FOR_SECONDS": str(least)}).receipts_for == least
        with pytest.raises(ConfigurationError, match=f"at least {least}"):
            Settings.from_environment({**given, "RECEIPTS_FOR_SECONDS": str(least - 1)})
    with pytest.raises(ConfigurationError, match="at least"):
        Settings.from_environment({**PLAIN, "RETRY_FOR_SECONDS": str(10**8)})


@pytest.mark.parametrize("text", ["0", "1000000001", "-1", "many", "2.5"])
def test_time_that_the_ledger_remembers_is_a_number(text: str) -> None:
    with pytest.raises(ConfigurationError, match="RECEIPTS_FOR_SECONDS must be"):
        Settings.from_environment({**PLAIN, "RECEIPTS_FOR_SECONDS": text})


@pytest.mark.parametrize(("text", "keeps"), [("true", True), ("false", False), ("", True)])
def test_a_connection_is_kept_unless_told_otherwise(text: str, keeps: bool) -> None:  # noqa: FBT001 - a parameter
    assert Settings.from_environment({**PLAIN, "SSH_KEEP_CONNECTION": text}).keep_connection is keeps


@pytest.mark.parametrize("text", ["yes", "1", "True", "on"])
def test_switch_that_is_neither_true_nor_false_is_named_and_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_SHA256 must be true or false") as raised:
        Settings.from_environment({**PLAIN, "SSH_SHA256": text})
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(("text", "asked_for"), [("true", True), ("false", False), ("", False)])
def test_sha256_is_computed_when_asked_for(text: str, asked_for: bool) -> None:  # noqa: FBT001 - a parameter
    assert Settings.from_environment({**PLAIN, "SSH_SHA256": text}).sha256 is asked_for


def test_everything_that_the_construct_sets_is_read() -> None:
    settings = Settings.from_environment(
        {
            **WITH_SECRET,
            "SSH_DIR": "inbox",
            "SSH_HOST_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
            "SSH_MAX_CONNECTIONS": "4",
            "SSH_CIPHERS": "aes256-ctr, aes128-ctr,",
            "SSH_CONNECT_TIMEOUT": "7",
            "SSH_REPLY_TIMEOUT": "70",
            "SSH_SHA256": "true",
            "LEDGER_TABLE": "ledger",
            "SSH_KEEP_CONNECTION": "false",
            "RECEIPTS_FOR_SECONDS": "2600000",
            "QUEUE_URL": "https://queue",
            "DEAD_LETTER_QUEUE_URL": "https://dlq",
            "RETRY_FOR_SECONDS": "3600",
            "EVENT_BUS": "default",
        }
    )
    assert settings == Settings(
        server=Server(
            host="sftp.partner.example",
            port=22,
            host_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",),
            ciphers=("aes256-ctr", "aes128-ctr"),
        ),
        directory="inbox",
        max_connections=4,
        connect_timeout=7,
        reply_timeout=70,
        sha256=True,
        ledger_table="ledger",
        keep_connection=False,
        receipts_for=2_600_000,
        queue_url="https://queue",
        dead_letter_queue_url="https://dlq",
        retry_for=3600,
        event_bus="default",
        secret_arn="arn:secret",
    )


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_value_of_what_may_be_missing_is_as_good_as_none(blank: str) -> None:
    blanks = dict.fromkeys(VARIABLES - PLAIN.keys(), blank)
    assert Settings.from_environment({**PLAIN, **blanks}) == Settings.from_environment(PLAIN)


def test_blanks_around_values_are_ignored() -> None:
    environment = {**PLAIN, "SSH_HOST": " h ", "SSH_DIR": " /inbox ", "SSH_USERNAME": " u "}
    settings = Settings.from_environment(environment)
    assert (settings.server.host, settings.directory, settings.username) == ("h", "/inbox", "u")


def test_blanks_around_a_password_belong_to_it() -> None:
    assert Settings.from_environment({**PLAIN, "SSH_PASSWORD": " a b "}).password == " a b "


@pytest.mark.parametrize("port", ["1" * 5000, "²2"])
def test_number_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_PORT must be a number"):
        Settings.from_environment({**PLAIN, "SSH_PORT": port})


def test_sources_that_are_nested_too_deep_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="SSH_SOURCES must be a JSON list"):
        Settings.from_environment({**PLAIN, "SSH_SOURCES": "[" * 100_000})


def test_login_in_the_place_of_the_host_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="SSH_HOST must be a bare name") as raised:
        Settings.from_environment({**PLAIN, "SSH_HOST": "sftp://acme:hunter2@sftp.partner.example/in"})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [
        "AAAAIEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9g",
        "ssh-ed25519 AAAAIEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9g",
    ],
)
def test_private_part_of_a_putty_key_is_no_host_key_and_is_not_shown(line: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_HOST_KEY must hold public keys") as raised:
        Settings.from_environment({**PLAIN, "SSH_HOST_KEY": line})
    assert "EFCQ0RF" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "sftp.bank.example,192.0.2.7 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        '"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"',
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\\n",
    ],
)
def test_other_ways_to_paste_a_host_key_are_understood(text: str) -> None:
    keys = Settings.from_environment({**PLAIN, "SSH_HOST_KEY": text}).server.host_keys
    assert keys == ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",)


@pytest.mark.parametrize("separator", ["\n", ",", ",\n", "\r\n", "\n\n"])
def test_several_host_keys_are_separated_by_lines_or_commas(separator: str) -> None:
    text = separator.join(["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "ssh-rsa AAAAB3NzaC1yc2E="])
    settings = Settings.from_environment({**PLAIN, "SSH_HOST_KEY": text})
    assert settings.server.host_keys == ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "ssh-rsa AAAAB3NzaC1yc2E=")


@pytest.mark.parametrize("text", ["", "  ", "\n", ","])
def test_no_host_key_is_an_empty_tuple(text: str) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_HOST_KEY": text}).server.host_keys == ()


def test_host_key_without_its_type_is_named() -> None:
    with pytest.raises(ConfigurationError, match="SSH_HOST_KEY") as raised:
        Settings.from_environment({**PLAIN, "SSH_HOST_KEY": "AAAAC3Nz"})
    assert "ssh-keyscan" in raised.value.hint


BODY = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"
TAIL = "QyNTUxOQAAACCS2rpRz"
OPENSSH = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}\n{TAIL}\n-----END OPENSSH PRIVATE KEY-----"
PKCS8 = f"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v\n{TAIL}"


@pytest.mark.parametrize(
    "pasted",
    [
        OPENSSH,
        OPENSSH.replace("\n", " "),
        OPENSSH.replace("\n", "\\n"),
        OPENSSH.replace("\n", "\r"),
        f"{BODY}\n{TAIL}",
        f"ssh-ed25519 {BODY}{TAIL}",
        PKCS8,
        f"ssh-ed25519 {PKCS8}",
        f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\n{TAIL}",
        f"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n{TAIL}",
    ],
)
def test_private_key_in_place_of_the_host_key_is_refused_and_never_shown(pasted: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_HOST_KEY") as raised:
        Settings.from_environment({**PLAIN, "SSH_HOST_KEY": pasted})
    shown = "".join(traceback.format_exception(raised.value)) + repr(vars(raised.value))
    assert not any(part in shown for part in (BODY[:12], BODY[-12:], TAIL[:8], "MC4CAQ"))


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_private_key_in_any_variable_is_refused_and_never_shown(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} holds a private key") as raised:
        Settings.from_environment({**PLAIN, name: OPENSSH})
    shown = "".join(traceback.format_exception(raised.value)) + repr(vars(raised.value))
    assert not any(part in shown for part in (BODY[:12], BODY[-12:], TAIL[:8]))


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 root@bank", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"),
        (
            "[bank.example]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 root@bank",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        ),
        ("\ufeffssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"),
        (
            "# bank.example:22 SSH-2.0-OpenSSH\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        ),
        (
            "@cert-authority *.bank.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
            "@cert-authority *.bank.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        ),
    ],
)
def test_lines_of_keyscan_and_known_hosts_are_read(line: str, kept: str) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_HOST_KEY": line}).server.host_keys == (kept,)


@pytest.mark.parametrize(
    "variables",
    [
        {"SSH_DIR": "~/inbox"},
        {"SSH_DIR": "~"},
        {"SSH_SOURCES": '[{"bucket": "b", "directory": "~partner/in"}]'},
    ],
)
def test_home_that_sftp_does_not_know_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="SFTP does not know '~'"):
        Settings.from_environment({**PLAIN, **variables})


@pytest.mark.parametrize("source", [{"prefix": "/in/"}, {"prefix": "a//b"}, {"suffix": "/"}])
def test_source_of_which_nothing_can_be_delivered_is_refused(source: dict[str, str]) -> None:
    text = json.dumps([{"bucket": "b", "directory": "/d", **source}])
    with pytest.raises(ConfigurationError, match="no object can be delivered"):
        Settings.from_environment({**PLAIN, "SSH_SOURCES": text})


def test_sources_may_have_directories_of_their_own() -> None:
    text = (
        '[{"bucket": "b", "prefix": "in/", "suffix": ".csv", "directory": "/csv"},'
        ' {"bucket": "c", "directory": "/c"}, {"bucket": "d", "former": true}]'
    )
    assert Settings.from_environment({**PLAIN, "SSH_SOURCES": text}).sources == (
        SourceDirectory(bucket="b", prefix="in/", suffix=".csv", directory="/csv"),
        SourceDirectory(bucket="c", directory="/c"),
        SourceDirectory(bucket="d", former=True),
    )


@pytest.mark.parametrize("text", ["", "[]"])
def test_sources_may_all_go_to_the_one_directory(text: str) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_SOURCES": text}).sources == ()


@pytest.mark.parametrize(
    "text",
    [
        "b/in",
        '{"b": "/in"}',
        '["b"]',
        "7",
        '[{"directory": "/in"}]',
        '[{"bucket": "b", "directory": 7}]',
        '[{"bucket": "b", "directory": null}]',
        '[{"bucket": "b", "directory": "/in", "key": "k"}]',
        '[{"bucket": "b", "former": "yes"}]',
    ],
)
def test_sources_that_cannot_be_read_are_named_and_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_SOURCES must be a JSON list") as raised:
        Settings.from_environment({**PLAIN, "SSH_SOURCES": text})
    assert repr(text) in str(raised.value)


def test_password_is_not_in_the_repr() -> None:
    settings = Settings.from_environment({**PLAIN, "SSH_PASSWORD": "s3cret-word"})
    assert "s3cret-word" not in repr(settings)


def test_only_the_listed_variables_are_read() -> None:
    read: set[str] = set()

    class Watched(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override] # a narrower key
            read.add(name)
            return super().get(name, default)

    Settings.from_environment(Watched(PLAIN))
    Settings.from_environment(Watched(WITH_SECRET))
    assert read == VARIABLES
    assert PLAIN_LAMBDA_ONLY < VARIABLES


def test_server_reads_as_host_and_port() -> None:
    assert str(Server(host="h", port=22)) == "h:22"
