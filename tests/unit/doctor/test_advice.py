"""Advice in a report: nothing that holds for a delivery alone, nothing that was typed just now."""

from __future__ import annotations

import pytest

from s3_to_sftp.diagnosis import catalogue
from s3_to_sftp.doctor.advice import advice_of_report

WRITES = "Ask for permission. s3-to-sftp doctor --write finds out which names it takes. "


@pytest.mark.parametrize(
    ("advice", "shown"),
    [
        ("Check SSH_PORT; ask the partner. It will be retried.", "Check SSH_PORT; ask the partner."),
        ("It will be retried; ask the partner if it persists.", "Ask the partner if it persists."),
        ("It will be retried over a new connection. Ask the partner.", "Ask the partner."),
        (
            "Ask. It will be retried: servers say this for open files, too.",
            "Ask. Servers say this for open files, too.",
        ),
        ("A rule forbids it; it will be retried. Ask the partner.", "A rule forbids it. Ask the partner."),
        ("It will be retried. If it persists, ask.", "If it persists, ask."),
        ("It fails (MTU). s3-to-sftp doctor tries small packets. It will be retried.", "It fails (MTU)."),
        ("Send it; s3-to-sftp key --public prints it.", "Send it; s3-to-sftp key --public prints it."),
        ("", ""),
    ],
)
def test_what_holds_for_a_delivery_alone_is_left_out(advice: str, shown: str) -> None:
    assert advice_of_report(advice, write=False, author="") == shown


def test_writing_is_advised_unless_it_was_just_tried() -> None:
    assert "doctor --write finds out" in advice_of_report(WRITES, write=False, author="")
    assert advice_of_report(WRITES, write=True, author="") == "Ask for permission."


@pytest.mark.parametrize(
    ("author", "name"),
    [
        ("", "SSH_DIR"),
        ("partner.toml", "ssh_dir in partner.toml"),
        ("construct", "SftpServer(directory=...)"),
    ],
)
def test_settings_have_the_names_of_the_configuration(
    author: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIGURED_BY", "template")  # of the machine that asks, which has no say
    assert advice_of_report("Check SSH_DIR.", write=False, author=author) == f"Check {name}."


@pytest.mark.parametrize("cause", catalogue.causes().values(), ids=lambda cause: str(cause.name))
def test_every_cause_keeps_advice(cause: catalogue.Cause) -> None:
    shown = advice_of_report(cause.advice, write=True, author="")
    assert "etried" not in shown
    assert "s3-to-sftp doctor" not in shown
    assert shown == shown.strip()
    assert not shown or shown[0].isupper() or shown[0] == "{"
    assert not shown or shown.endswith((".", "}"))
