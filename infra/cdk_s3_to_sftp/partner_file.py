"""Reads and checks a partner's file, the configuration of the stock app."""

import difflib
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from constructs import Node

from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.defaults import MAX_CONNECTIONS, MEMORY_MB, PORT, RETRY_FOR_HOURS, STACK_NAME

DEFAULTS = {
    "ssh_port": str(PORT),
    "memory_size": str(MEMORY_MB),
    "max_connections": str(MAX_CONNECTIONS),
    "retry_for_hours": str(RETRY_FOR_HOURS),
    "canary": "false",
    "architecture": "x86_64",
    "bundling": "auto",
    "stack_name": STACK_NAME,
}
EXAMPLES = {
    "ssh_host": "sftp.partner.example",
    "ssh_port": DEFAULTS["ssh_port"],
    "ssh_dir": "/inbox",
    "ssh_host_key": '"ssh-ed25519 AAAA..."',
    "prefix": "outgoing/",
    "suffix": ".csv",
    "former_prefixes": "old/",
    "memory_size": DEFAULTS["memory_size"],
    "max_connections": DEFAULTS["max_connections"],
    "retry_for_hours": DEFAULTS["retry_for_hours"],
    "canary": DEFAULTS["canary"],
    "alarm_topic": "arn:aws:sns:eu-west-1:123456789012:on-call",
    "architecture": DEFAULTS["architecture"],
    "bundling": DEFAULTS["bundling"],
    "code": "package.zip",
    "stack_name": DEFAULTS["stack_name"],
}
NUMBERS = {"ssh_port", "memory_size", "max_connections", "retry_for_hours"}
FLAGS = {"canary"}
LISTS = {"ssh_host_key", "former_prefixes"}
LOGIN = {"username", "password", "private_key", "passphrase", "ssh_username", "ssh_password"}

_AFTER_KEY = re.compile(r"(AAAA[^,\n]*),")
"""A comma that separates keys, unlike those in the list of host names before a key."""

_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")


class InvalidFile(Exception):
    """A partner's file is invalid. The message names the file and the key."""


@dataclass(frozen=True)
class Values:
    """The configuration of the stack: the context, else the partner's file, else the defaults.

    Attributes:
        file: The file.
        written: Its values as text; each item of a list is a line.
        given: The values in the context, which apply to this command only.
    """

    file: Path
    written: dict[str, str]
    given: dict[str, str]

    def text(self, key: str) -> str:
        """Return the value, or an empty string."""
        return self.given.get(key, self.written.get(key, DEFAULTS.get(key, "")))

    def required(self, key: str) -> str:
        """Return the value, which must be set."""
        if not (value := self.text(key)):
            raise InvalidArgument(key, "is not set")
        return value

    def stack_name(self) -> str:
        """Return the name of the stack, as CloudFormation demands it."""
        value = self.required("stack_name")
        if not _STACK_NAME.fullmatch(value):
            raise InvalidArgument(
                "stack_name",
                f"must be letters, digits and hyphens, a letter first, 128 at most, got {value!r}",
            )
        return value

    def number(self, key: str) -> int:
        """Return the value as a whole number."""
        value = self.required(key)
        if not (value.isascii() and value.isdigit()):
            raise InvalidArgument(key, f"must be a whole number, got {value!r}")
        return int(value)

    def flag(self, key: str) -> bool:
        """Return whether the value is `true`; the other one is `false`."""
        return self.choice(key, ("true", "false")) == "true"

    def choice(self, key: str, values: Collection[str]) -> str:
        """Return the value, which must be one of these."""
        value = self.required(key)
        if value not in values:
            raise InvalidArgument(key, f"must be one of {', '.join(values)}, got {value!r}")
        return value

    def lines(self, key: str) -> list[str]:
        """Return the items of a list. On a command line, commas separate them, too."""
        text = self.text(key)
        return (text.replace(",", "\n") if key in self.given else text).splitlines()

    def host_keys(self) -> list[str]:
        """Return the host keys of the server: lines of known_hosts, whose host patterns may hold commas."""
        text = self.text("ssh_host_key")
        lines = _AFTER_KEY.sub(r"\1\n", text) if "ssh_host_key" in self.given else text
        return [line for line in lines.splitlines() if line.strip()]

    def former_prefixes(self) -> list[str]:
        """Return the former prefixes. An empty one stands for all objects."""
        return [line.strip() for line in self.lines("former_prefixes")]

    def bundle(self) -> Path | None:
        """Return the path of a prebuilt bundle: relative to the file, or to where the CLI runs."""
        if not (text := self.text("code")):
            return None
        path = Path(text) if "code" in self.given else self.file.parent / text
        made_by = "as `python -m cdk_s3_to_sftp.package` writes it"
        if (refusal := _refusal(path)) is not None:
            raise InvalidArgument("code", f"must be a bundle {made_by}, got {path}: {refusal.strerror}")
        if path.suffix != ".zip" and not path.is_dir():
            raise InvalidArgument("code", f"must be a .zip file {made_by}, or a directory, got {path}")
        return path

    def complaint(self, key: str, complaint: str) -> str:
        """Return the sentence about an invalid value, and where to set another."""
        on_command_line = f"with -c {key}={EXAMPLES[key]}"
        if key in self.written and key not in self.given:
            return f"{self.file.name}: {key} {complaint}. Write {in_toml(key)}"
        if key in self.given:
            return f"{key} {complaint}. Set it {on_command_line}"
        return f"{key} {complaint}. Write {in_toml(key)} into {self.file.name}, or set it {on_command_line}"

    def not_kept(self) -> list[str]:
        """Return what the next deployment would revert, since only the context has it: old and new values."""
        changes = []
        for key, given in self.given.items():
            new = shown(key, given)
            old = shown(key, self.written.get(key, DEFAULTS.get(key, "")))
            if new != old:
                changes.append(f"{key} is {new!r}" + (f" in place of {old!r}" if old else ""))
        return changes


def read_values(context: Node, default: Path) -> Values:
    """Read the context, and the file that the context key `partner` names, or the default one.

    Raises:
        InvalidFile: There is no such file, or its content is invalid.
    """
    given = {key: context.try_get_context(key) for key in (*EXAMPLES, "partner")}
    texts = {key: str(value).strip() for key, value in given.items() if value is not None}
    named = texts.pop("partner", "")
    file = Path(named) if named else default
    refusal = _refusal(file)
    if named and refusal is not None:
        raise InvalidFile(
            f"There is no file {named}, which -c partner= names: {refusal.strerror}. "
            f"It was searched in {Path.cwd()}"
        )
    written = {} if isinstance(refusal, FileNotFoundError) else read_file(file)
    if named and not (written.get("stack_name") or texts.get("stack_name")):
        raise InvalidFile(
            f"{file.name}: stack_name is not set. A second partner needs a name of its own, or it would "
            f'take over the stack of the first. Write stack_name = "{_name_for(file)}"'
        )
    return Values(file, written, texts)


def _name_for(file: Path) -> str:
    """Return a name for the stack of a further partner: not the default, which the first one may have."""
    words = re.findall("[A-Za-z0-9]+", file.stem) or ["2"]
    return STACK_NAME + "".join(word.capitalize() for word in words)


def _refusal(path: Path) -> OSError | None:
    """Return why the operating system does not find what a path names; None: it does.

    `Path.exists` raises some of these errors, and since Python 3.14 none of them.
    """
    try:
        path.stat()
    except OSError as error:
        return error
    return None


def read_file(file: Path) -> dict[str, str]:
    """Return the values of a partner's file as text.

    Raises:
        InvalidFile: Its content is invalid. The message shows no value, which may be a secret.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidFile(f"{file.name}: {error}. A line looks like {in_toml('ssh_host')}") from None
    except OSError as error:
        raise InvalidFile(f"{file.name} cannot be read: {error.strerror}. It must be a text file") from None
    except UnicodeDecodeError:
        raise InvalidFile(f"{file.name} cannot be read: it must be UTF-8 text") from None
    return {key: as_text(file, key, value) for key, value in table.items()}


def as_text(file: Path, key: str, value: object) -> str:
    """Return a value of the file as text.

    Raises:
        InvalidFile: The key is unknown, or its value has the wrong type.
    """
    if key in LOGIN:
        raise InvalidFile(
            f"{file.name}: {key} does not belong in a file: write the login into the secret with the "
            "output FillSecretCommand. Replace the login if the file was kept in version control"
        )
    if key not in EXAMPLES:
        close = difflib.get_close_matches(key, EXAMPLES, n=1, cutoff=0.5)
        meant = f"did you mean {close[0]}? " if close else ""
        raise InvalidFile(f"{file.name}: unknown key {key}: {meant}Known keys are {', '.join(EXAMPLES)}")
    if isinstance(value, str):
        return value.strip()
    if key in NUMBERS and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if key in FLAGS and isinstance(value, bool):
        return str(value).lower()
    if key in LISTS and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "".join(f"{each}\n" for each in value)  # a single empty string is not an empty list
    wanted = "a whole number" if key in NUMBERS else "true or false" if key in FLAGS else "text in quotes"
    got = type(value).__name__
    raise InvalidFile(f"{file.name}: {key} must be {wanted}, got a value of type {got}. Write {in_toml(key)}")


def in_toml(key: str) -> str:
    """Return an example of the key as a line of the file."""
    example = EXAMPLES[key].strip('"')
    quoted = example if key in NUMBERS | FLAGS else f'"{example}"'
    return f"{key} = [{quoted}]" if key in LISTS else f"{key} = {quoted}"


def shown(key: str, text: str) -> str:
    """Return the value for a sentence: a list in one line, however it was written."""
    return ", ".join(map(str.strip, text.replace(",", "\n").splitlines())) if key in LISTS else text
