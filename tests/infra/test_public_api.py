"""What a version promises to keep is still there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from release import schema_fields
from release.project import REPOSITORY, NotReady
from release.public_api import PATH, breaks, names, write

PROMISED = PATH.read_text().splitlines()


def test_nothing_that_was_promised_has_changed() -> None:
    broken = breaks(PROMISED, names())
    assert broken == [], (
        "This breaks users: docs/reference/versioning.md. If it is meant to (a new major version, or a "
        "release candidate), run `python -m release.public_api --breaking`, and say so in CHANGELOG.md."
    )


def test_writing_the_list_adds_what_is_new_and_keeps_what_is_gone(tmp_path: Path) -> None:
    """Otherwise a step of every release would take promises back unseen."""
    path = tmp_path / "list.txt"
    path.write_text("command no-such-command\n")
    with pytest.raises(NotReady, match="gone: command no-such-command"):
        write(path, now={"command new"})
    assert path.read_text() == "command no-such-command\n"
    write(path, now={"command new", "command no-such-command"})
    assert path.read_text() == "command new\ncommand no-such-command\n"
    write(path, now={"command new"}, breaking=True)
    assert path.read_text() == "command new\n"


def test_list_has_every_kind_of_surface() -> None:
    kinds = {line.removeprefix("required ").split()[0] for line in PROMISED}
    assert kinds == {
        "construct", "partner.toml", "template", "variable", "event", "ledger", "receipt", "command",
        "exit", "json",
    }  # fmt: skip
    assert {
        "construct S3ToSftp(server=)",
        "required construct S3ToSftp(server=)",
        "construct S3ToSftp.queue",
        "construct Trigger.BOTH",
        "construct profiles.adyen_batch(platform=)",
        "variable SSH_HOST",
        "event S3 to SFTP Delivery Completed: checksum.value (always string)",
        "event S3 to SFTP Delivery Completed: source s3-to-sftp",
        "ledger index by-status",
        "ledger state DELIVERED",
        "receipt verified_by",
        "receipt signed_by",
        "template output FillSecretCommand",
        "command doctor --json",
        "command status -n",
        "exit code 5 DENIED",
        "json status: version (always integer)",
        "json status: partner.circuit_breaker (always string)",
        "json receipts: receipt.checksum (always string)",
        "json redrive: matched[].messages (always integer)",
    } <= set(PROMISED)


@pytest.mark.parametrize(
    ("before", "now", "broken"),
    [
        (["f"], ["f", "g"], []),
        (["f"], [], ["gone: f"]),
        (["f", "f(x=)", "required f(x=)"], ["f", "f(x=)"], []),
        (["f", "f(x=)"], ["f", "f(x=)", "required f(x=)"], ["now required f(x=)"]),
        (["f"], ["f", "f(x=)", "required f(x=)"], ["now required f(x=)"]),
        (["command c"], ["command c", "command c K", "required command c K"], ["now required command c K"]),
        ([], ["f", "f(x=)", "required f(x=)"], []),
        (["j (always string)"], ["j (always string)"], []),
        (["j (always null or string)"], ["j (always string)"], []),
        (["j (sometimes string)"], ["j (always string)"], []),
        (
            ["j (always string)"],
            ["j (always null or string)"],
            ["changed: j (always string) is (always null or string)"],
        ),
        (
            ["j (always string)"],
            ["j (sometimes string)"],
            ["changed: j (always string) is (sometimes string)"],
        ),
        (
            ["j (always array of string)"],
            ["j (always string)"],
            ["changed: j (always array of string) is (always string)"],
        ),
        (["j (always string)"], [], ["gone: j"]),
    ],
)
def test_breaks_are_what_is_gone_newly_required_or_of_another_type(
    before: list[str], now: list[str], broken: list[str]
) -> None:
    assert breaks(before, now) == broken


SCHEMAS = sorted(
    [*(REPOSITORY / "docs/events").glob("*.json"), *(REPOSITORY / "docs/reference/cli-json").glob("*.json")]
)


def property_names(schema: Any) -> Iterator[str]:
    """The names of all fields, wherever in the schema they stand."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
    for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from property_names(each)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_every_field_of_a_schema_has_a_line(path: Any) -> None:
    schema = json.loads(path.read_text())
    lines = schema_fields.fields("x", schema, root=schema)
    named = {part.removesuffix("[]") for line in lines for part in schema_fields.name_of(line)[3:].split(".")}
    assert named == set(property_names(schema))
