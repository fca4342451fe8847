"""Deliveries that are found although something is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp_cli import discovery
from s3_to_sftp_cli.aws import Aws
from s3_to_sftp_cli.delivery import HANDLER, from_configuration
from s3_to_sftp_cli.errors import CliError, ExitCode
from tests.support.cli import REGION


def configuration(port: str) -> dict[str, Any]:
    variables = {"SSH_HOST": "sftp.acme.example", "SSH_PORT": port}
    return {"FunctionName": "f", "Handler": HANDLER, "Environment": {"Variables": variables}}


@pytest.mark.parametrize(("port", "server"), [("22", ":22"), (" 2222 ", ":2222"), ("", ":22")])
def test_port_is_read(port: str, server: str) -> None:
    assert from_configuration(configuration(port)).server == f"sftp.acme.example{server}"


@pytest.mark.parametrize("port", ["22a", "0", "-1", "65536", "2.2", "9" * 5000])
def test_port_that_is_none_is_said_where_the_delivery_is_meant(
    monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    """And only there: another delivery of the account can be listed and chosen."""
    assert from_configuration(configuration(port)).server == "sftp.acme.example:?"
    monkeypatch.setattr(discovery, "_function", lambda *_: configuration(port))
    with pytest.raises(CliError, match="SSH_PORT of f is not a port") as refused:
        discovery.find(Aws(region=REGION), "f", may_ask=False)
    assert refused.value.code is ExitCode.CONFLICT
