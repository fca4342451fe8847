"""The names that a version promises to keep, one a line: `python -m release.public_api` writes them down.

docs/reference/versioning.md says what the promise is. Lines that begin with `required` are the other way
round: there may be fewer of them, and not more. What stands in brackets behind a field is what programs that
read it have been told of its value.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import enum
import inspect
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from aws_cdk import aws_lambda as lambda_

import cdk_s3_to_sftp
from cdk_s3_to_sftp.bundling import RUNTIME
from cdk_s3_to_sftp.ledger import INDEX
from cdk_s3_to_sftp.partner_file import EXAMPLES
from cdk_s3_to_sftp.template_parameters import PARAMETERS
from cdk_s3_to_sftp.template_stack import synthesise
from release import schema_fields
from release.project import REPOSITORY, NotReady
from s3_to_sftp.rules import profiles
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.settings import VARIABLES
from s3_to_sftp.state.items import State
from s3_to_sftp.state.ledger import SentContent
from s3_to_sftp.state.receipt import Receipt, sent_details
from s3_to_sftp_cli.errors import ExitCode
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

_HOLD_DATA = {
    "AWS::S3::Bucket", "AWS::SecretsManager::Secret", "AWS::DynamoDB::Table", "AWS::SQS::Queue",
    "AWS::Logs::LogGroup",
}  # fmt: skip
_REQUIRED = "required "
_EVENTS = REPOSITORY / "docs" / "events"
_DOCUMENTS = REPOSITORY / "docs" / "reference" / "cli-json"


def names() -> set[str]:
    """Return the lines for this tree."""
    return {
        *_construct(),
        *(f"partner.toml {each}" for each in EXAMPLES),
        *(f"template {each}" for each in PARAMETERS),
        *_template(),
        *(f"variable {each}" for each in VARIABLES),
        *_events(),
        *_ledger(),
        *_commands(),
        *_documents(),
    }


def unlisted() -> list[str]:
    """Return what this tree has and the list has not, in its order."""
    return sorted(names() - set(PATH.read_text().splitlines()))


def breaks(before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Return a sentence for each line whose change would break somebody."""
    old, new = ({schema_fields.name_of(each): each for each in lines} for lines in (before, now))
    gone = {each for each in old.keys() - new.keys() if not each.startswith(_REQUIRED)}
    added = {each for each in new.keys() - old.keys() if each.startswith(_REQUIRED)}
    changed = [each for each in sorted(old.keys() & new.keys()) if schema_fields.breaks(old[each], new[each])]
    return [
        *(f"gone: {each}" for each in sorted(gone)),
        *(f"now {each}" for each in sorted(added) if _owner(each) in old),
        *(f"changed: {old[each]} is {new[each].removeprefix(each).strip()}" for each in changed),
    ]


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
        yield f"event {name}: source {schema['properties']['source']['const']}"
        yield from schema_fields.fields(f"event {name}", schema["properties"]["detail"], root=schema)


def _documents() -> Iterator[str]:
    for path in sorted(_DOCUMENTS.glob("*.schema.json")):
        schema = json.loads(path.read_text())
        yield from schema_fields.fields(f"json {path.name.partition('.')[0]}", schema, root=schema)


def _ledger() -> Iterator[str]:
    yield f"ledger index {INDEX}"
    yield from (f"ledger state {each}" for each in State)
    digests = {"sha256": "0"}
    sent = SentContent(transforms=("t",), source_size=1, digests=digests, about={"signed_by": "0"})
    full = Receipt(
        ref=ObjectRef(bucket="b", key="k"),
        remote_path="/k",
        size=1,
        seconds=1.5,
        checksum_algorithm="CRC32",
        checksum="AAAA",
        sha256="0",
        streams=1,
        host_key_fingerprint="SHA256:0",
        recovered=True,
        details={"sequence": 1, "companions": ["/k.done"], **sent_details(sent)},
    )
    yield from (f"receipt {each}" for each in full.as_item(request_id="r"))


def _template() -> Iterator[str]:
    template = synthesise(architecture=lambda_.Architecture.X86_64, runtime=RUNTIME, bundle_key="k")
    yield from (f"template output {each}" for each in template["Outputs"])
    # Another id would be another, empty resource.
    for name, each in template["Resources"].items():
        if each["Type"] in _HOLD_DATA:
            yield f"template resource {name} {each['Type']}"


def _commands() -> Iterator[str]:
    yield from (f"exit code {each.value} {each.name}" for each in ExitCode)
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        yield f"command {name}"
        for parameter in command.params if command else ():
            options = [*parameter.opts, *parameter.secondary_opts]
            shown = options if isinstance(parameter, click.Option) else [parameter.human_readable_name]
            yield from (f"command {name} {each}" for each in shown)
            if parameter.required:
                yield f"{_REQUIRED}command {name} {shown[0]}"


def write(path: Path = PATH, *, now: set[str] | None = None, breaking: bool = False) -> None:
    """Write the lines down, as those that are promised from now on.

    Args:
        path: The list.
        now: What there is; by default what this tree has.
        breaking: Whether a promise may be taken back.

    Raises:
        NotReady: Something that was promised has changed, and `breaking` is not set.
    """
    lines = names() if now is None else now
    if not breaking and (broken := breaks(path.read_text().splitlines(), lines)):
        raise NotReady("\n  ".join(["this breaks users (--breaking writes it down even so):", *broken]))
    path.write_text("\n".join(sorted(lines)) + "\n")


def main() -> None:
    """Run the command; exit with 1 where a promise would be taken back."""
    parser = argparse.ArgumentParser(
        prog="python -m release.public_api", description="Add what is new to the list of what is promised."
    )
    parser.add_argument(
        "--breaking", action="store_true", help="drop what is gone: a new major version, or a candidate"
    )
    try:
        write(breaking=parser.parse_args().breaking)
    except NotReady as reason:
        sys.exit(f"Not written: {reason}")


if __name__ == "__main__":
    main()
