"""`list`: names are copied and searched for, so none is cut."""

from __future__ import annotations

import pytest

from s3_to_sftp_cli.commands.list import list_lines

LONG = "S3ToSftp-DeliveryFunction8263A102-0a1b2c3d4e5f"
ROWS = [
    [LONG, "sftp.acme.example:22", "/inbox", "acme-orders-bucket/in/*.csv, acme-orders-bucket/out/*"],
    ["Short", "h:22", "", "b/*"],
]


def lines(width: int | None) -> list[str]:
    return [line for text in list_lines(ROWS, width=width) for line in text.plain.split("\n")]


@pytest.mark.parametrize("width", [None, 200])
def test_each_delivery_has_a_line_where_it_may_be_long(width: int | None) -> None:
    title, first, second = lines(width)
    assert first.split() == " ".join(ROWS[0]).split()
    assert second.split() == ["Short", "h:22", "b/*"]
    assert first.index("sftp.acme") == second.index("h:22") == title.index("partner")


def test_narrow_terminal_gets_a_paragraph_for_each() -> None:
    shown = lines(60)
    assert shown == [
        LONG,
        "partner   sftp.acme.example:22",
        "directory /inbox",
        "sources   acme-orders-bucket/in/*.csv,",
        "          acme-orders-bucket/out/*",
        "",
        "Short",
        "partner   h:22",
        "sources   b/*",
    ]
