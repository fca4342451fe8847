"""The file of what a server showed: written and read alike, in one order, and nothing else is read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from s3_to_sftp.measured_server import ANSWERS, MeasuredServer
from tests.support.measured_servers import FILES, SERVERS, stored


@pytest.mark.parametrize("name", SERVERS)
def test_files_are_written_as_they_were_read(name: str) -> None:
    text = (FILES / f"{name}.json").read_text()
    assert MeasuredServer.from_text(text).as_text() == text


def test_order_does_not_depend_on_that_of_the_questions() -> None:
    first = stored("openssh")
    other = replace(
        first,
        answers=dict(reversed(first.answers.items())),
        extensions=dict(reversed(first.extensions.items())),
        writable={"/b": True, "/a": False},
    )
    assert other.as_text() == replace(first, writable={"/a": False, "/b": True}).as_text()


def test_what_was_not_tried_is_written_as_null() -> None:
    nothing = MeasuredServer(
        host="h", port=22, measured_at="2026-11-29T12:00:00Z", identification="SSH-2.0-x"
    )
    assert json.loads(nothing.as_text())["answers"] == dict.fromkeys(ANSWERS)
    assert MeasuredServer.from_text(nothing.as_text()).answer("rename") is None


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("format", "x", "another kind of file"),
        ("version", 2, "a file of version 2, and 1 is known"),
        ("port", True, "True is not of type int"),
        ("limits", [1, 2], r"\[1, 2\] is not four numbers"),
        ("answers", {"rename": "0"}, "'0' is not of type int"),
        ("host_keys", "ssh-ed25519 AAAA", "is not of type list"),
        ("takes_mode", 1, "1 is not of type bool"),
        ("new", 1, "a file with the unknown field 'new'"),
    ],
)
def test_other_values_are_refused_with_the_reason(field: str, value: object, why: str) -> None:
    written = {**stored("openssh").as_json(), field: value}
    with pytest.raises(ValueError, match=why):
        MeasuredServer.from_json(written)


def test_missing_field_is_refused() -> None:
    written = stored("openssh").as_json()
    del written["open_files"]
    with pytest.raises(ValueError, match="a file without the field 'open_files'"):
        MeasuredServer.from_json(written)
