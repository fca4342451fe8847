"""JSON that all commands share: the list of deliveries, and errors."""

from __future__ import annotations

import pytest

from s3_to_sftp_cli.delivery import DeployedDelivery
from tests.support.cli import CliEnvironment, check_schema


def test_deliveries_are_listed(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_all(_: object) -> list[DeployedDelivery]:
        return [cli.delivery]

    monkeypatch.setattr("s3_to_sftp_cli.commands.list.find_all", find_all)
    document = cli.run("list", "--json").json
    check_schema("list", document)
    assert document["deliveries"][0]["sources"][0]["bucket"] == "bucket"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("logs", "--since", "soon"), "USAGE"), (("key", "--public"), "NOT_FOUND"), (("logs",), "NOT_FOUND")],
)
def test_error_is_a_document_on_stdout_and_text_on_stderr(
    cli: CliEnvironment, arguments: tuple[str, ...], code: str
) -> None:
    outcome = cli.run(*arguments, "--json")
    check_schema("error", outcome.json)
    assert outcome.json["error"]["code"] == code
    assert outcome.stderr.startswith("error: ")
