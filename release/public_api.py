"""The names that a version promises to keep, one a line: `python -m release.public_api` writes them down.

docs/reference/versioning.md says what the promise is. Lines that begin with `required` are the other way
round: there may be fewer of them, and not more.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

import cdk_s3_to_sftp
from cdk_s3_to_sftp.partner_file import EXAMPLES
from cdk_s3_to_sftp.template_parameters import PARAMETERS
from release.project import REPOSITORY
from s3_to_sftp.rules import profiles
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.settings import VARIABLES
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp_cli.main import COMMANDS, cli

PATH = REPOSITORY / "docs" / "reference" / "public-api.txt"

NOT_PROMISED = {
    "Algorithms.as_text",
    "Algorithms.rule",
    "Monitoring.watch_cut_off",
    "SftpServer.check_replies_within",
    "SftpServer.measured",
    "SftpServer.variables",
    "Source.bucket_address",
    "Source.bucket_name",
    "Source.is_clear",
    "Source.objects",
    "Source.objects_named",
}
"""What other modules of ours need of an exported class."""

_REQUIRED = "required "
_EVENTS = REPOSITORY / "docs" / "events"
_DOCUMENTS = REPOSITORY / "docs" / "reference" / "cli-json"


def names() -> set[str]:
    """Return the lines for this tree."""
    return {
        *_construct(),
        *(f"partner.toml {each}" for each in EXAMPLES),
        *(f"template {each}" for each in PARAMETERS),
        *(f"variable {each}" for each in VARIABLES),
        *_events(),
        *_receipt(),
        *_commands(),
        *_documents(),
    }


def breaks(before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Return a sentence for each line whose change would break somebody."""
    old, new = set(before), set(now)
    gone = {each for each in old - new if not each.startswith(_REQUIRED)}
    needed = {each for each in new - old if each.startswith(_REQUIRED) and _owner(each) in old}
    return [*(f"gone: {each}" for each in sorted(gone)), *(f"now {each}" for each in sorted(needed))]


def _owner(required: str) -> str:
    """Return what has the required argument: nobody can have called what is new."""
    name = required.removeprefix(_REQUIRED)
    return name.partition("(")[0] if name.endswith(")") else name.rpartition(" ")[0]


def _construct() -> Iterator[str]:
    for module, prefix in ((cdk_s3_to_sftp, ""), (profiles, "profiles.")):
        for name in module.__all__:
            if not inspect.ismodule(exported := getattr(module, name)):
                yield from (
                    each
                    for each in _exported(f"construct {prefix}{name}", exported)
                    if each.removeprefix(_REQUIRED).split()[1].partition("(")[0] not in NOT_PROMISED
                )


def _exported(title: str, exported: Any) -> Iterator[str]:
    yield title
    if not inspect.isclass(exported):
        yield from _parameters(title, exported)
    elif issubclass(exported, enum.Enum):
        yield from (f"{title}.{each}" for each in exported.__members__)
    elif not issubclass(exported, Exception):
        # Not of the class itself: that of a construct is called by jsii.
        yield from _parameters(title, exported.__init__)
        for kind in exported.__mro__:
            # What CDK's own classes have is CDK's to keep.
            if kind.__module__.startswith(("cdk_s3_to_sftp.", "s3_to_sftp.")):
                yield from _members(title, kind)


def _members(title: str, kind: type) -> Iterator[str]:
    """Yield what users call. The methods of rules are the function's: users only make rules."""
    made_only = kind.__module__.startswith("s3_to_sftp.")
    for name, member in vars(kind).items():
        if name.startswith("_") or (made_only and not isinstance(member, classmethod | staticmethod)):
            continue
        yield f"{title}.{name}"
        function = getattr(member, "__func__", member)
        if inspect.isfunction(function):
            yield from _parameters(f"{title}.{name}", function)
    if not made_only:
        yield from (f"{title}.{each}" for each in _set_by_init(kind))


def _set_by_init(kind: type) -> Iterator[str]:
    """Yield the attributes that a construct gives itself, such as `queue`."""
    if inspect.isfunction(init := vars(kind).get("__init__")) and not dataclasses.is_dataclass(kind):
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(init)))):
            if not isinstance(node, ast.Attribute) or node.attr.startswith("_"):
                continue
            if isinstance(node.ctx, ast.Store) and _is_self(node.value):
                yield node.attr


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _parameters(title: str, called: Any) -> Iterator[str]:
    for parameter in inspect.signature(called).parameters.values():
        if parameter.name in {"self", "cls"} or parameter.name.startswith("_"):
            continue
        if parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}:
            continue
        yield f"{title}({parameter.name}=)"
        if parameter.default is parameter.empty:
            yield f"{_REQUIRED}{title}({parameter.name}=)"


def _events() -> Iterator[str]:
    for path in sorted(_EVENTS.glob("*.json")):
        schema = json.loads(path.read_text())
        name = schema["properties"]["detail-type"]["const"]
        yield f"event {name}"
        yield from (f"event {name}: {each}" for each in _fields(schema["properties"]["detail"]))


def _documents() -> Iterator[str]:
    for path in sorted(_DOCUMENTS.glob("*.schema.json")):
        name = path.name.partition(".")[0]
        yield from (f"json {name}: {each}" for each in _fields(json.loads(path.read_text())))


def _fields(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, each in schema.get("properties", {}).items():
        yield f"{path}{name}"
        yield from _fields(each, f"{path}{name}.")
        yield from _fields(each.get("items", {}), f"{path}{name}[].")


def _receipt() -> Iterator[str]:
    full = Receipt(
        ref=ObjectRef(bucket="b", key="k"),
        remote_path="/k",
        size=1,
        seconds=1.0,
        checksum_algorithm="CRC32",
        checksum="AAAA",
        sha256="0",
        streams=1,
        host_key_fingerprint="SHA256:0",
        recovered=True,
    )
    yield from (f"receipt {each}" for each in full.as_item(request_id="r"))


def _commands() -> Iterator[str]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        yield f"command {name}"
        for parameter in command.params if command else ():
            is_option = isinstance(parameter, click.Option)
            shown = max(parameter.opts, key=len) if is_option else parameter.human_readable_name
            yield f"command {name} {shown}"
            if parameter.required:
                yield f"{_REQUIRED}command {name} {shown}"


def write(path: Path = PATH) -> None:
    """Write the lines down, as those that are promised from now on."""
    path.write_text("\n".join(sorted(names())) + "\n")


if __name__ == "__main__":
    write()
