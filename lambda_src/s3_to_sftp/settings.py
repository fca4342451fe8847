"""The environment variables of the function, parsed once into a frozen value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from s3_to_sftp.defaults import RECEIPTS_FOR_DAYS, RECEIPTS_FOR_SECONDS, RETRY_FOR_SECONDS
from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.host_key_setting import pinned_host_keys
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.server import Server
from s3_to_sftp.source_setting import checked_directory, configured_sources
from s3_to_sftp.ssh.algorithms import KNOWN_CIPHERS
from s3_to_sftp.ssh.pasted_text import holds_private_key_file
from s3_to_sftp.unknown_outcome import UnknownOutcome
from s3_to_sftp.untrusted_text import quoted

# The only contract with the construct: it sets exactly these, except those of a plain Lambda.
VARIABLES = frozenset(
    {
        "SSH_HOST",
        "SSH_PORT",
        "SSH_DIR",
        "SSH_SOURCES",
        "SSH_RULES",
        "SSH_SIGNING_KEYS",
        "SSH_HOST_KEY",
        "SSH_SECRET_ARN",
        "SSH_MAX_CONNECTIONS",
        "SSH_KEEP_CONNECTION",
        "SSH_CIPHERS",
        "SSH_CONNECT_TIMEOUT",
        "SSH_REPLY_TIMEOUT",
        "SSH_SHA256",
        "UNKNOWN_OUTCOME",
        "LEDGER_TABLE",
        "RECEIPTS_FOR_SECONDS",
        "QUEUE_URL",
        "DEAD_LETTER_QUEUE_URL",
        "RETRY_FOR_SECONDS",
        "EVENT_BUS",
        "SSH_USERNAME",
        "SSH_PASSWORD",
    }
)
PLAIN_LAMBDA_ONLY = frozenset({"SSH_USERNAME", "SSH_PASSWORD"})
"""Replace SSH_SECRET_ARN where the zip was uploaded by hand."""

_MAX_RECEIPTS_SECONDS = 10**9
_MAX_RETRY_SECONDS = 10**8

_DAYS_IN_BOTH_QUEUES = 28
"""14 in the dead-letter queue, the maximum in SQS, and 14 in the queue that it is redriven to."""

_MAX_DIGITS = 18
_MAX_LEASE_SECONDS = 3600
"""A lease ends with its invocation, which Lambda ends after half an hour at the latest."""

_NOT_IN_HOST = re.compile(r"[\s/@\\\x00-\x1f\x7f-\x9f]")
_WITH_PORT = re.compile(r"[^:]*:[0-9]*|\[.*\]:[0-9]*")
_LOGIN_IN_URL = re.compile(r"[^/]*@")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the function was configured with.

    Attributes:
        server: The partner's server.
        directory: Remote directory; empty means the directory that the login starts in.
        sources: Those whose objects go to other directories, or have their own rules.
        rules: Digest of the document with the partner's rules; None: there are none.
        signing_keys: ARNs of the secrets with keys that sign: rules call the first `key-1`.
        max_connections: How many connections one function may have open at a time.
        keep_connection: Whether one connection stays open between invocations.
        connect_timeout: Seconds for the TCP connection; None: the default.
        reply_timeout: Seconds for one SFTP reply; None: the default.
        sha256: Whether receipts hold the SHA-256.
        unknown_outcome: What to do when nothing shows whether a file was delivered.
        ledger_table: DynamoDB table; None: there is no ledger.
        receipts_for: Seconds that the ledger keeps an item after its last change.
        queue_url: The queue that the function reads; None: messages are left to SQS.
        dead_letter_queue_url: Where undeliverable messages go.
        retry_for: Seconds that an object is retried for, from its first failure.
        event_bus: Name or ARN of the EventBridge bus; None: no events are published.
        secret_arn: Secrets Manager secret with the login, or None: then username and password hold it.
        username: Login name, when there is no secret.
        password: Password, when there is no secret.
    """

    server: Server
    directory: str = ""
    sources: tuple[SourceDirectory, ...] = ()
    rules: str | None = None
    signing_keys: tuple[str, ...] = ()
    max_connections: int = 1
    keep_connection: bool = True
    connect_timeout: int | None = None
    reply_timeout: int | None = None
    sha256: bool = False
    unknown_outcome: UnknownOutcome = UnknownOutcome.HOLD
    ledger_table: str | None = None
    receipts_for: int = RECEIPTS_FOR_SECONDS
    queue_url: str | None = None
    dead_letter_queue_url: str | None = None
    retry_for: int = RETRY_FOR_SECONDS
    event_bus: str | None = None
    secret_arn: str | None = None
    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings.

        Raises:
            ConfigurationError: A required variable is missing, or one has a value that cannot be right.
        """
        _refuse_private_keys(environment)
        secret_arn = environment.get("SSH_SECRET_ARN", "").strip() or None
        retry_for = (
            _optional_number(environment, "RETRY_FOR_SECONDS", 1, _MAX_RETRY_SECONDS) or RETRY_FOR_SECONDS
        )
        rules = _optional(environment, "SSH_RULES")
        login_source = "" if secret_arn else "no secret is configured (SSH_SECRET_ARN)"
        return cls(
            server=Server(
                host=_host(_required(environment, "SSH_HOST", "the name of the partner's SFTP server")),
                port=_number(
                    "SSH_PORT", _required(environment, "SSH_PORT", "its TCP port, usually 22"), 1, 65535
                ),
                host_keys=pinned_host_keys(environment.get("SSH_HOST_KEY", "")),
                ciphers=_ciphers(environment.get("SSH_CIPHERS", "")),
            ),
            directory=checked_directory("SSH_DIR", environment.get("SSH_DIR", "").strip()),
            sources=configured_sources(environment.get("SSH_SOURCES", ""), rules=rules),
            rules=rules,
            signing_keys=_words(environment.get("SSH_SIGNING_KEYS", "")),
            max_connections=_optional_number(environment, "SSH_MAX_CONNECTIONS", 1, 64) or 1,
            connect_timeout=_optional_number(environment, "SSH_CONNECT_TIMEOUT", 1, 300),
            reply_timeout=_optional_number(environment, "SSH_REPLY_TIMEOUT", 10, 600),
            keep_connection=_flag(environment, "SSH_KEEP_CONNECTION", otherwise=True),
            sha256=_flag(environment, "SSH_SHA256"),
            unknown_outcome=_unknown_outcome(environment),
            ledger_table=_optional(environment, "LEDGER_TABLE"),
            receipts_for=_receipts_for(environment, retry_for),
            queue_url=_optional(environment, "QUEUE_URL"),
            dead_letter_queue_url=_optional(environment, "DEAD_LETTER_QUEUE_URL"),
            retry_for=retry_for,
            event_bus=_optional(environment, "EVENT_BUS"),
            secret_arn=secret_arn,
            username=_required(environment, "SSH_USERNAME", login_source) if not secret_arn else "",
            password=_required(environment, "SSH_PASSWORD", login_source) if not secret_arn else "",
        )


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name, "")
    if not value.strip():
        raise ConfigurationError(
            f"The environment variable {name} is not set: {meaning}.",
            hint="Set it in the function's configuration.",
        )
    # A password may start or end with a blank; no other value does.
    return value if name == "SSH_PASSWORD" else value.strip()


def _optional(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get(name, "").strip() or None


def _optional_number(environment: Mapping[str, str], name: str, lowest: int, highest: int) -> int | None:
    text = _optional(environment, name)
    return None if text is None else _number(name, text, lowest, highest)


def _receipts_for(environment: Mapping[str, str], retry_for: int) -> int:
    """Read how long the ledger keeps its items, from their last change on.

    DynamoDB deletes what is older. An item must outlive every message that may still need it, in the
    dead-letter queue, redriven or retried, and every lease. Otherwise an object is sent twice.
    """
    seconds = _optional_number(environment, "RECEIPTS_FOR_SECONDS", 1, _MAX_RECEIPTS_SECONDS)
    if seconds is None:
        seconds = RECEIPTS_FOR_SECONDS
    least = _DAYS_IN_BOTH_QUEUES * 86_400 + retry_for + _MAX_LEASE_SECONDS
    if seconds < least:
        raise ConfigurationError(
            f"RECEIPTS_FOR_SECONDS must be at least {least}, got {seconds}: the ledger must not forget an "
            f"object while a message may still announce it again, after {_DAYS_IN_BOTH_QUEUES} days in both "
            f"queues and {retry_for} s of retries (RETRY_FOR_SECONDS), or while it is being sent (an hour).",
            hint=f"Set it in the function's configuration, or leave it out for {RECEIPTS_FOR_DAYS} days.",
        )
    return seconds


def _flag(environment: Mapping[str, str], name: str, *, otherwise: bool = False) -> bool:
    text = _optional(environment, name)
    if text is None:
        return otherwise
    if text not in {"true", "false"}:
        raise ConfigurationError(
            f"{name} must be true or false, got {text!r}.", hint="Set it in the function's configuration."
        )
    return text == "true"


def _unknown_outcome(environment: Mapping[str, str]) -> UnknownOutcome:
    text = _optional(environment, "UNKNOWN_OUTCOME") or UnknownOutcome.HOLD
    try:
        return UnknownOutcome(text)
    except ValueError:
        raise ConfigurationError(
            f"UNKNOWN_OUTCOME must be one of {', '.join(UnknownOutcome)}, got {text!r}.",
            hint="Set it in the function's configuration.",
        ) from None


def _host(text: str) -> str:
    if _NOT_IN_HOST.search(text):
        raise ConfigurationError(
            "SSH_HOST must be a bare name or address such as sftp.partner.example: no sftp://, no user@, no "
            f"path, got {quoted(_LOGIN_IN_URL.sub('...@', text))!r}.",
            hint="Set it in the function's configuration. The login belongs in the secret.",
        )
    if (port := _WITH_PORT.fullmatch(text)) or "[" in text or "]" in text:
        raise ConfigurationError(
            f"SSH_HOST must be without {'a port' if port else 'brackets'}, got {quoted(text)!r}.",
            hint="Set it in the function's configuration. A port belongs in SSH_PORT.",
        )
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _ciphers(text: str) -> tuple[str, ...]:
    names = _words(text)
    for name in names:
        if name not in KNOWN_CIPHERS:
            raise ConfigurationError(
                f"SSH_CIPHERS must be some of {', '.join(KNOWN_CIPHERS)}, got {name!r}.",
                hint="Set it in the function's configuration, or leave it out for the modern ones.",
            )
    return names


def _number(name: str, text: str, lowest: int, highest: int) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    if not (is_number and lowest <= int(text) <= highest):
        raise ConfigurationError(
            f"{name} must be a number from {lowest} to {highest}, got {quoted(text, most=40)!r}.",
            hint="Set it in the function's configuration.",
        )
    return int(text)


def _refuse_private_keys(environment: Mapping[str, str]) -> None:
    """Refuse a private key in any variable: errors show the values of most of them.

    Raises:
        ConfigurationError: A variable holds one. The error does not show it.
    """
    for name in sorted(VARIABLES):
        if holds_private_key_file(environment.get(name, "")):
            raise ConfigurationError(
                f"{name} holds a private key, which is no longer secret: everybody with access to the "
                "configuration of the function can read it.",
                hint="Replace the key, and put the new one into the secret as 'private_key'.",
            )
