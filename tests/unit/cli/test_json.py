"""JSON that all commands share: the list of deliveries, and errors."""

from __future__ import annotations

import click
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
    [
        (("logs", "--since", "soon"), "USAGE"),
        (("key", "--public"), "NOT_FOUND"),
        (("logs",), "NOT_FOUND"),
    ],
)
def test_error_is_a_document_on_stdout_and_text_on_stderr(
    cli: CliEnvironment, arguments: tuple[str, ...], code: str
) -> None:
    outcome = cli.run(*arguments, "--json")
    check_schema("error", outcome.json)
    assert outcome.json["error"]["code"] == code
    assert outcome.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cancel", "a.csv"), "Missing option '--reason'"),
        (("cancel",), "Missing argument 'KEY'"),
        (("statsu",), "No such command 'statsu'"),
        (("resend", "a.csv", "--reason", "r", "--max-rate", "fast"), "Invalid value for '--max-rate'"),
        (("status", "--colour"), "No such option"),
        (("status", "too", "many"), "unexpected extra argument"),
        (("report", "-o", "/"), "is a directory"),
    ],
)
def test_usage_error_is_a_document_and_text_too(
    cli: CliEnvironment, arguments: tuple[str, ...], said: str
) -> None:
    outcome = cli.run(*arguments, "--json")
    check_schema("error", outcome.json)
    assert (outcome.code, outcome.json["error"]["code"]) == (2, "USAGE")
    assert said in outcome.json["error"]["message"]
    assert said in outcome.stderr
    assert "--help` shows" in outcome.json["error"]["hint"]
    assert cli.run(*arguments).stdout == ""


def test_json_behind_the_options_is_a_key(cli: CliEnvironment) -> None:
    outcome = cli.run("cancel", "--", "--json")
    assert (outcome.code, outcome.stdout) == (2, "")


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.exceptions.Abort])
def test_interruption_of_what_has_printed_nothing_is_an_error_document(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupted(_: object) -> None:
        raise error

    monkeypatch.setattr("s3_to_sftp_cli.commands.list.find_all", interrupted)
    outcome = cli.run("list", "--json")
    check_schema("error", outcome.json)
    assert (outcome.code, outcome.json["error"]["code"]) == (130, "INTERRUPTED")
    assert cli.run("list").stdout == ""
