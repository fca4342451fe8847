#!/usr/bin/env python3
"""The stock app: partner.toml, or context (`-c key=value`) -> one stack. No AWS call, no git, no clock."""

import difflib
import json
import sys
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Node

from cdk_s3_to_sftp import Bundling, InvalidArgument, S3ToSftpStack, SftpServer

EXAMPLES = {
    "ssh_host": "sftp.partner.example",
    "ssh_port": "22",
    "ssh_dir": "/inbox",
    "ssh_host_key": '"ssh-ed25519 AAAA..."',
    "prefix": "outgoing/",
    "suffix": ".csv",
    "memory_size": "512",
    "max_connections": "2",
    "retry_for_hours": "24",
    "alarm_topic": "arn:aws:sns:eu-west-1:123456789012:on-call",
    "architecture": "x86_64",
    "bundling": "auto",
    "stack_name": "S3ToSftp",
}
DEFAULTS = {
    "ssh_port": "22",
    "memory_size": "512",
    "max_connections": "2",
    "retry_for_hours": "24",
    "architecture": "x86_64",
    "bundling": "auto",
    "stack_name": "S3ToSftp",
}
NUMBERS = {"ssh_port", "memory_size", "max_connections", "retry_for_hours"}
LOGIN = {"username", "password", "private_key", "passphrase", "ssh_username", "ssh_password"}
KEYS_OF_ARGUMENTS = {
    "host": "ssh_host",
    "port": "ssh_port",
    "directory": "ssh_dir",
    "host_keys": "ssh_host_key",
    "retry_for": "retry_for_hours",
}
ARCHITECTURES = {each.name: each for each in (lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64)}


def main() -> None:
    """Synthesise the stack, or say in one sentence which value is wrong, or why there is no bundle."""
    # The CLI reads cdk.json only where it is started. Read here, too, it holds from every directory.
    flags = json.loads(Path(__file__).with_name("cdk.json").read_text())["context"]
    app = cdk.App(context=flags, analytics_reporting=False)
    try:
        values = read_values(app.node, Path(__file__).with_name("partner.toml"))
    except InvalidFile as error:
        sys.exit(str(error))
    try:
        add_stack(app, values)
    except InvalidArgument as error:
        key = KEYS_OF_ARGUMENTS.get(error.argument, error.argument)
        sys.exit(values.complaint(key, error.complaint))
    except RuntimeError as error:  # what jsii makes of an error in CDK, and of one in our bundler
        if "Failed to bundle" not in str(error):
            raise
        sys.exit(str(error))
    app.synth()


class InvalidFile(Exception):
    """A partner's file cannot be right. The message names it, and the key."""


@dataclass(frozen=True)
class Values:
    """What the stack is made from: the context, else the partner's file, else the defaults.

    Attributes:
        file: The file.
        written: What stands in it, as text; of several host keys one on each line.
        given: What the context has: it holds for this command alone.
    """

    file: Path
    written: dict[str, str]
    given: dict[str, str]

    def text(self, key: str) -> str:
        """The value; empty when there is none."""
        return self.given.get(key, self.written.get(key, DEFAULTS.get(key, "")))

    def required(self, key: str) -> str:
        """The value, which must be there."""
        if not (value := self.text(key)):
            raise InvalidArgument(key, "is not set")
        return value

    def number(self, key: str) -> int:
        """The value as a whole number."""
        value = self.required(key)
        if not (value.isascii() and value.isdigit()):
            raise InvalidArgument(key, f"must be a whole number, got {value!r}")
        return int(value)

    def choice(self, key: str, values: Collection[str]) -> str:
        """The value, which must be one of these."""
        value = self.required(key)
        if value not in values:
            raise InvalidArgument(key, f"must be one of {', '.join(values)}, got {value!r}")
        return value

    def host_keys(self) -> list[str]:
        """Those of the server. Only on a command line are they separated by commas, too."""
        text = self.text("ssh_host_key")
        lines = text.replace(",", "\n") if "ssh_host_key" in self.given else text
        return [line for line in lines.splitlines() if line.strip()]

    def complaint(self, key: str, complaint: str) -> str:
        """The sentence about a wrong value, and where to set another."""
        on_command_line = f"with -c {key}={EXAMPLES[key]}"
        if key in self.written and key not in self.given:
            return f"{self.file.name}: {key} {complaint}. Write there {in_toml(key)}"
        if key in self.given:
            return f"{key} {complaint}. Set it {on_command_line}"
        return f"{key} {complaint}. Write {in_toml(key)} into {self.file.name}, or set it {on_command_line}"

    def not_kept(self) -> list[str]:
        """What the next deployment would forget, since only the context has it: old and new values."""
        changes = []
        for key, new in self.given.items():
            old = self.written.get(key, DEFAULTS.get(key, ""))
            if new != old:
                changes.append(f"{key} is {new!r}" + (f" in place of {old!r}" if old else ""))
        return changes


def read_values(context: Node, default: Path) -> Values:
    """Read the file that the context key `partner` names, or the default one, and the context.

    Raises:
        InvalidFile: There is no such file, or something in it cannot be right.
    """
    given = {key: context.try_get_context(key) for key in (*EXAMPLES, "partner")}
    texts = {key: str(value).strip() for key, value in given.items() if value is not None}
    named = texts.pop("partner", "")
    file = Path(named) if named else default
    if named and not file.is_file():
        raise InvalidFile(
            f"There is no file {named}, which -c partner= names. It is looked for in {Path.cwd()}"
        )
    written = read_file(file) if file.is_file() else {}
    if named and not (written.get("stack_name") or texts.get("stack_name")):
        raise InvalidFile(
            f"{file.name}: stack_name is not set. A second partner needs a name of its own, or it would "
            f"take over the stack of the first. Write there {in_toml('stack_name')}"
        )
    return Values(file, written, texts)


def read_file(file: Path) -> dict[str, str]:
    """The values of a partner's file as text.

    Raises:
        InvalidFile: Something in it cannot be right. Shows no value, for it may be a secret.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidFile(f"{file.name}: {error}. A line looks like {in_toml('ssh_host')}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(
            f"{file.name} cannot be read: {type(error).__name__}. It must be UTF-8 text"
        ) from None
    return {key: as_text(file, key, value) for key, value in table.items()}


def as_text(file: Path, key: str, value: object) -> str:
    """A value of the file as text.

    Raises:
        InvalidFile: Nobody asks for this key, or its value is of another type.
    """
    if key in LOGIN:
        raise InvalidFile(
            f"{file.name}: {key} does not belong into a file: the login is put into the secret, see the "
            "output FillSecretCommand. Replace it if the file was kept in version control"
        )
    if key not in EXAMPLES:
        close = difflib.get_close_matches(key, EXAMPLES, n=1, cutoff=0.5)
        meant = f"did you mean {close[0]}? " if close else ""
        raise InvalidFile(f"{file.name}: unknown key {key}: {meant}There are {', '.join(EXAMPLES)}")
    if isinstance(value, str):
        return value.strip()
    if key in NUMBERS and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if key == "ssh_host_key" and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "\n".join(value)
    wanted = "a whole number" if key in NUMBERS else "text in quotes"
    got = type(value).__name__
    raise InvalidFile(f"{file.name}: {key} must be {wanted}, got a value of type {got}. Write {in_toml(key)}")


def in_toml(key: str) -> str:
    """An example of the key as a line of the file."""
    example = EXAMPLES[key].strip('"')
    quoted = example if key in NUMBERS else f'"{example}"'
    return f"{key} = [{quoted}]" if key == "ssh_host_key" else f"{key} = {quoted}"


def add_stack(app: cdk.App, values: Values) -> None:
    """Add the stack that the values describe.

    Raises:
        InvalidArgument: A value is missing or wrong.
    """
    stack = S3ToSftpStack(
        app,
        values.required("stack_name"),
        server=SftpServer(
            values.required("ssh_host"),
            port=values.number("ssh_port"),
            directory=values.text("ssh_dir") or None,
            host_keys=values.host_keys(),
        ),
        prefix=values.text("prefix") or None,
        suffix=values.text("suffix") or None,
        memory_size=values.number("memory_size"),
        max_connections=values.number("max_connections"),
        retry_for=cdk.Duration.hours(values.number("retry_for_hours")),
        alarm_topic=values.text("alarm_topic") or None,
        architecture=ARCHITECTURES[values.choice("architecture", ARCHITECTURES)],
        bundling=Bundling(values.choice("bundling", list(Bundling))),
    )
    # So that the hints of the function name what its user has written.
    stack.delivery.function.add_environment("CONFIGURED_BY", "partner.toml")
    if changes := values.not_kept():
        cdk.Annotations.of(stack).add_warning_v2(
            "cdk-s3-to-sftp:notKept",
            f"For this command alone {'; '.join(changes)}. The next deployment without -c goes back to what "
            f"{values.file.name} says, or to the defaults: write there what is to stay.",
        )


if __name__ == "__main__":
    main()
