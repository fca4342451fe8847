"""Settings are parsed from the environment; errors name the missing or invalid variable."""

from __future__ import annotations

import json
import traceback

import pytest

from s3_to_sftp.algorithm_rule import AlgorithmRule, Policy
from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.server import Server
from s3_to_sftp.settings import PLAIN_LAMBDA_ONLY, VARIABLES, Settings
from s3_to_sftp.unknown_outcome import UnknownOutcome

PLAIN = {"SSH_HOST": "sftp.partner.example", "SSH_PORT": "22", "SSH_USERNAME": "u", "SSH_PASSWORD": "p"}
WITH_SECRET = {"SSH_HOST": "sftp.partner.example", "SSH_PORT": "22", "SSH_SECRET_ARN": "arn:secret"}


def test_plain_lambda_needs_four_variables() -> None:
    settings = Settings.from_environment(PLAIN)
    assert settings == Settings(
        server=Server(host="sftp.partner.example", port=22), username="u", password="p"
    )


def test_secret_replaces_username_and_password() -> None:
    settings = Settings.from_environment(WITH_SECRET)
    assert (settings.secret_arn, settings.username, settings.password) == ("arn:secret", "", "")


def test_unknown_outcome_must_be_one_of_three_policies() -> None:
    with pytest.raises(ConfigurationError, match="UNKNOWN_OUTCOME must be one of hold, resend") as raised:
        Settings.from_environment({**PLAIN, "UNKNOWN_OUTCOME": "retry"})
    assert "'retry'" in raised.value.reason


def test_unknown_outcome_is_hold_by_default() -> None:
    assert Settings.from_environment(PLAIN).unknown_outcome is UnknownOutcome.HOLD


@pytest.mark.parametrize("value", [None, "", "   "])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_missing_variable_is_named_in_the_error(name: str, value: str | None) -> None:
    environment = {**PLAIN, name: value} if value is not None else {**PLAIN}
    if value is None:
        del environment[name]
    with pytest.raises(ConfigurationError, match=f"{name} is not set"):
        Settings.from_environment(environment)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "22.0", "ssh", "2 2", "٢٢", "0x16", "+22"])
def test_invalid_port_is_shown_in_the_error(port: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_PORT must be a number from 1 to 65535") as raised:
        Settings.from_environment({**PLAIN, "SSH_PORT": port})
    assert repr(port) in str(raised.value)


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("65535", 65535), (" 2222 ", 2222)])
def test_port_from_1_to_65535_is_accepted(text: str, port: int) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_PORT": text}).server.port == port


def test_max_connections_is_1_by_default() -> None:
    assert Settings.from_environment(PLAIN).max_connections == 1


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("8", 8), ("64", 64)])
def test_max_connections_from_1_to_64_is_accepted(text: str, number: int) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_MAX_CONNECTIONS": text}).max_connections == number


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("SSH_MAX_CONNECTIONS", 1, 64),
        ("SSH_CONNECT_TIMEOUT", 1, 300),
        ("SSH_REPLY_TIMEOUT", 10, 600),
        ("SSH_MAX_BYTES_PER_SECOND", 100_000, 10**10),
        ("RETRY_FOR_SECONDS", 1, 10**8),
    ],
)
def test_number_out_of_range_is_shown_in_the_error(name: str, lowest: int, highest: int) -> None:
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
def test_receipts_shorter_than_the_life_of_a_message_are_refused(seconds: int) -> None:
    with pytest.raises(ConfigurationError, match=f"RECEIPTS_FOR_SECONDS must be at least {LEAST}"):
        Settings.from_environment({**PLAIN, "RECEIPTS_FOR_SECONDS": str(seconds)})


def test_longer_retries_require_longer_receipts() -> None:
    for retry_for in (3600, 72 * 3600, 10**8):
        least = 28 * 86_400 + retry_for + 3600
        given = {**PLAIN, "RETRY_FOR_SECONDS": str(retry_for)}
        assert Settings.from_environment({**given, "RECEIPTS_FOR_SECONDS": str(least)}).receipts_for == least
        with pytest.raises(ConfigurationError, match=f"at least {least}"):
            Settings.from_environment({**given, "RECEIPTS_FOR_SECONDS": str(least - 1)})
    with pytest.raises(ConfigurationError, match="at least"):
        Settings.from_environment({**PLAIN, "RETRY_FOR_SECONDS": str(10**8)})


@pytest.mark.parametrize("text", ["0", "1000000001", "-1", "many", "2.5"])
def test_receipts_for_must_be_a_number(text: str) -> None:
    with pytest.raises(ConfigurationError, match="RECEIPTS_FOR_SECONDS must be"):
        Settings.from_environment({**PLAIN, "RECEIPTS_FOR_SECONDS": text})


@pytest.mark.parametrize(("text", "keeps"), [("true", True), ("false", False), ("", True)])
def test_keep_connection_is_true_by_default(text: str, keeps: bool) -> None:  # noqa: FBT001 - a parameter
    assert Settings.from_environment({**PLAIN, "SSH_KEEP_CONNECTION": text}).keep_connection is keeps


@pytest.mark.parametrize("text", ["yes", "1", "True", "on"])
def test_invalid_flag_is_shown_in_the_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_SHA256 must be true or false") as raised:
        Settings.from_environment({**PLAIN, "SSH_SHA256": text})
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(("text", "asked_for"), [("true", True), ("false", False), ("", False)])
def test_sha256_is_false_by_default(text: str, asked_for: bool) -> None:  # noqa: FBT001 - a parameter
    assert Settings.from_environment({**PLAIN, "SSH_SHA256": text}).sha256 is asked_for


def test_every_variable_of_the_construct_is_read() -> None:
    settings = Settings.from_environment(
        {
            **WITH_SECRET,
            "SSH_DIR": "inbox",
            "SSH_HOST_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
            "SSH_MAX_CONNECTIONS": "4",
            "SSH_CIPHERS": "aes256-ctr, aes128-ctr,",
            "SSH_ALGORITHMS": "ssh-rsa, 3des-cbc,",
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
            algorithms=AlgorithmRule(allow=("ssh-rsa", "3des-cbc")),
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


def test_policy_of_algorithms_is_read() -> None:
    settings = Settings.from_environment({**PLAIN, "SSH_ALGORITHMS": "fips"})
    assert settings.server.algorithms == AlgorithmRule(policy=Policy.FIPS)


@pytest.mark.parametrize("text", ["ssh-dss", "fips,ssh-rsa", "ssh-rsa,aes256-ctr", "FIPS"])
def test_unknown_algorithm_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_ALGORITHMS must be one of fips, post_quantum_required"):
        Settings.from_environment({**PLAIN, "SSH_ALGORITHMS": text})


def test_cipher_that_the_policy_forbids_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="where SSH_ALGORITHMS is fips, got '3des-cbc'"):
        Settings.from_environment({**PLAIN, "SSH_ALGORITHMS": "fips", "SSH_CIPHERS": "3des-cbc"})


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_optional_variable_equals_a_missing_one(blank: str) -> None:
    blanks = dict.fromkeys(VARIABLES - PLAIN.keys(), blank)
    assert Settings.from_environment({**PLAIN, **blanks}) == Settings.from_environment(PLAIN)


def test_whitespace_around_values_is_stripped() -> None:
    environment = {**PLAIN, "SSH_HOST": " h ", "SSH_DIR": " /inbox ", "SSH_USERNAME": " u "}
    settings = Settings.from_environment(environment)
    assert (settings.server.host, settings.directory, settings.username) == ("h", "/inbox", "u")


def test_whitespace_around_a_password_is_kept() -> None:
    assert Settings.from_environment({**PLAIN, "SSH_PASSWORD": " a b "}).password == " a b "


@pytest.mark.parametrize("port", ["1" * 5000, "²2"])
def test_invalid_number_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_PORT must be a number"):
        Settings.from_environment({**PLAIN, "SSH_PORT": port})


def test_deeply_nested_sources_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="SSH_SOURCES must be a JSON list"):
        Settings.from_environment({**PLAIN, "SSH_SOURCES": "[" * 100_000})


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("sftp.partner.example:22", "without a port"),
        ("10.0.0.1:", "without a port"),
        ("[::1]:22", "without a port"),
        ("[::1]", "without brackets"),
        ("sftp\0.partner.example", "a bare name"),
        ("sftp\x1b.partner.example", "a bare name"),
    ],
)
def test_host_with_port_brackets_or_controls_is_refused(host: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"SSH_HOST must be {why}") as raised:
        Settings.from_environment({**PLAIN, "SSH_HOST": host})
    assert "\0" not in str(raised.value)


@pytest.mark.parametrize("host", ["::1", "2001:db8::22", "fe80::1%lo", "sftp.partner.example.", "10.0.0.1"])
def test_addresses_are_hosts(host: str) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_HOST": host}).server.host == host


def test_login_in_ssh_host_is_not_shown() -> None:
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
def test_private_part_of_a_putty_key_is_refused_and_not_shown(line: str) -> None:
    with pytest.raises(ConfigurationError, match="SSH_HOST_KEY must hold public keys") as raised:
        Settings.from_environment({**PLAIN, "SSH_HOST_KEY": line})
    assert "EFCQ0RF" not in str(raised.value)


KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIFNCETvFs6qKyAqSiGm+3Fk4QRMi6bi+seEEu+D5m7g0"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("SHA256:2EYO4nL7XbTzUcdhmN2lgRz0XUvHIlQ1x3ZbcLkB8qM", "line 1 is a fingerprint"),
        ("256 SHA256:2EYO4nL7XbTzUcdhmN2lgRz0XUvHIlQ1x3ZbcLkB8qM host (ED25519)", "line 1 is a fingerprint"),
        (f"ssh-ed25519 {KEY}\nssh-ed25519 {KEY[:-4]}", "line 2 is cut off: its end is missing"),
        (f"ssh-ed25519 {KEY[:-1]}", "line 1 is cut off, or altered"),
        (f"ssh-rsa {KEY}", "line 1 begins with ssh-rsa and is a key of type ssh-ed25519"),
        (f"@cert-authority *.acme.example ssh-ed25519 {KEY[:-8]}", "line 1 is cut off"),
    ],
)
def test_pin_that_is_no_whole_key_is_named(line: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_environment({**PLAIN, "SSH_HOST_KEY": line})
    assert problem in raised.value.reason
    assert raised.value.cause == "pin-is-no-key"
    assert "2EYO4" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "sftp.bank.example,192.0.2.7 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        '"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"',
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\\n",
    ],
)
def test_host_key_is_read_from_various_pasted_formats(text: str) -> None:
    keys = Settings.from_environment({**PLAIN, "SSH_HOST_KEY": text}).server.host_keys
    assert keys == ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",)


@pytest.mark.parametrize("separator", ["\n", ",", ",\n", "\r\n", "\n\n"])
def test_several_host_keys_are_separated_by_lines_or_commas(separator: str) -> None:
    text = separator.join(["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "ssh-rsa AAAAB3NzaC1yc2E="])
    settings = Settings.from_environment({**PLAIN, "SSH_HOST_KEY": text})
    assert settings.server.host_keys == ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "ssh-rsa AAAAB3NzaC1yc2E=")


@pytest.mark.parametrize("text", ["", "  ", "\n", ","])
def test_missing_host_key_is_an_empty_tuple(text: str) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_HOST_KEY": text}).server.host_keys == ()


def test_host_key_without_its_type_is_refused() -> None:
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
def test_private_key_in_ssh_host_key_is_refused_and_never_shown(pasted: str) -> None:
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
def test_tilde_in_a_directory_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="SFTP does not know '~'"):
        Settings.from_environment({**PLAIN, **variables})


@pytest.mark.parametrize("source", [{"prefix": "/in/"}, {"prefix": "a//b"}, {"suffix": "/"}])
def test_source_without_deliverable_keys_is_refused(source: dict[str, str]) -> None:
    text = json.dumps([{"bucket": "b", "directory": "/d", **source}])
    with pytest.raises(ConfigurationError, match="no object can be delivered"):
        Settings.from_environment({**PLAIN, "SSH_SOURCES": text})


def test_sources_may_have_their_own_directories() -> None:
    text = (
        '[{"bucket": "b", "prefix": "in/", "suffix": ".csv", "directory": "/csv"},'
        ' {"bucket": "c", "directory": "/c"}, {"bucket": "d", "former": true}]'
    )
    assert Settings.from_environment({**PLAIN, "SSH_SOURCES": text}).sources == (
        SourceDirectory(bucket="b", prefix="in/", suffix=".csv", directory="/csv"),
        SourceDirectory(bucket="c", directory="/c"),
        SourceDirectory(bucket="d", former=True),
    )


def test_sources_may_have_their_own_rules() -> None:
    text = '[{"bucket": "b", "rules": "1"}, {"bucket": "c", "directory": "/c"}]'
    assert Settings.from_environment({**PLAIN, "SSH_SOURCES": text, "SSH_RULES": "0a1b"}).sources == (
        SourceDirectory(bucket="b", rules="1"),
        SourceDirectory(bucket="c", directory="/c"),
    )


@pytest.mark.parametrize(("text", "rules"), [(" 0a1b ", "0a1b"), ("", None), ("  ", None)])
def test_digest_of_the_rules_is_read(text: str, rules: str | None) -> None:
    assert Settings.from_environment({**PLAIN, "SSH_RULES": text}).rules == rules


def test_functions_have_no_rules_by_default() -> None:
    assert Settings.from_environment(PLAIN).rules is None


def test_rules_of_a_source_without_the_document_are_refused() -> None:
    text = '[{"bucket": "b", "prefix": "in/", "rules": "1"}]'
    with pytest.raises(ConfigurationError, match="SSH_RULES is not set") as raised:
        Settings.from_environment({**PLAIN, "SSH_SOURCES": text})
    assert "'1'" in raised.value.reason


@pytest.mark.parametrize("text", ["", "[]"])
def test_missing_sources_are_an_empty_tuple(text: str) -> None:
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
        '[{"bucket": "b", "rules": 1}]',
        '[{"bucket": "b", "directory": "/in", "key": "k"}]',
        '[{"bucket": "b", "former": "yes"}]',
    ],
)
def test_invalid_sources_are_shown_in_the_error(text: str) -> None:
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


def test_server_is_printed_as_host_and_port() -> None:
    assert str(Server(host="h", port=22)) == "h:22"
