"""What a person may type wrong, and gets one line for."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from s3_to_sftp_cli.aws import Aws
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.main import _for_people
from s3_to_sftp_cli.pace import Rate
from s3_to_sftp_cli.times import clock, parse_future, parse_past
from tests.support.cli import CliEnvironment

NOW = datetime(2026, 11, 29, 3, tzinfo=UTC)


@pytest.mark.parametrize("text", ["99999999999d", "3000000d", "99999999999999h"])
@pytest.mark.parametrize("parse", [parse_future, parse_past])
def test_duration_beyond_the_calendar_is_refused(parse: Any, text: str) -> None:
    with pytest.raises(CliError, match="is too long") as refused:
        parse(text, now=NOW)
    assert refused.value.code is ExitCode.USAGE


def test_time_in_another_year_is_shown_with_the_year() -> None:
    assert clock(datetime(2028, 2, 3, 6, tzinfo=UTC), now=NOW) == "Thu 03 Feb 2028 06:00"
    assert clock(datetime(2026, 11, 30, 6, tzinfo=UTC), now=NOW) == "Mon 30 Nov 06:00"


@pytest.mark.parametrize("text", ["nan", "inf", "0", "-1", "fast", "1e-300"])
def test_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Rate().convert(text, None, None)


@pytest.mark.parametrize("text", ["nan", "inf", "1e300", "86401", "0", "-1", "soon"])
def test_interval_that_cannot_be_waited_for_is_refused(cli: CliEnvironment, text: str) -> None:
    outcome = cli.run("watch", "--interval", text)
    assert (outcome.code, "--interval" in outcome.stderr) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("path", ["x" * 300, f"{'x' * 300}/y", "a-file/y", "a-loop/y", "no-folder/y"])
@pytest.mark.parametrize(
    "command",
    [
        ("doctor", "--save"),
        ("report", "--day", "yesterday", "-o"),
        ("report", "--day", "yesterday", "--force", "-o"),
        ("backfill", "--reason", "r", "--yes", "--state"),
    ],
)
def test_file_that_the_system_refuses_is_named_before_the_work(
    cli: CliEnvironment, command: tuple[str, ...], path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    Path("a-loop").symlink_to("a-loop")
    outcome = cli.run(*command, path, "--json")
    message = outcome.json["error"]["message"]
    assert (outcome.code, path.partition("/")[0] in message) == (ExitCode.USAGE, True), message


@pytest.mark.parametrize("name", ["", "-", "."])
def test_measurements_are_saved_in_a_file(cli: CliEnvironment, name: str) -> None:
    outcome = cli.run("doctor", "--save", name)
    assert (outcome.code, "--save" in outcome.stderr) == (ExitCode.USAGE, True)


def test_private_key_in_place_of_an_option_is_not_repeated(cli: CliEnvironment) -> None:
    pasted = "-----BEGIN OPENSSH PRIVATE KEY-----\nsEcReT\n-----END OPENSSH PRIVATE KEY-----"
    outcome = cli.run("trust-host-key", "--json", pasted)
    assert outcome.code == ExitCode.USAGE
    assert "-----BEGIN OPENSSH" in outcome.stderr
    assert "sEcReT" not in outcome.stderr + outcome.stdout


@pytest.mark.parametrize("command", ["receipts", "logs"])
def test_key_with_a_leading_dash_is_told_how_to_write_it(cli: CliEnvironment, command: str) -> None:
    outcome = cli.run(command, "-KEY")
    assert outcome.code == ExitCode.USAGE
    assert "write `-- -KEY`" in outcome.stderr
    assert "write `-- -KEY`" not in cli.run("status", "-KEY").stderr


def test_key_behind_two_dashes_is_taken(cli: CliEnvironment) -> None:
    cli.delivered("-KEY")
    assert cli.run("receipts", "--no-logs", "--", "-KEY").code == ExitCode.OK


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("status", "--name", ""), "--name"),
        (("status", "--profile", ""), "--profile"),
        (("status", "--region", " "), "--region"),
        (("status", "--endpoint-url", "garbage"), "--endpoint-url"),
        (("status", "--endpoint-url", "http://"), "--endpoint-url"),
        (("status", "--endpoint-url", "http://a:b"), "--endpoint-url"),
        (("status", "--endpoint-url", "ftp://host"), "--endpoint-url"),
        (("receipts", ""), "KEY"),
        (("logs", ""), "KEY"),
        (("retry", ""), "KEY"),
        (("resend", "", "--reason", "r"), "KEY"),
        (("cancel", "", "--reason", "r"), "KEY"),
        (("confirm", "", "--reason", "r"), "KEY"),
        (("receipts", "s3://bucket/"), "no object"),
        (("retry", "s3://bucket/"), "no object"),
        (("retry", "s3://bucket/a", "--bucket", "other"), "--bucket"),
        (("receipts", "--bucket", ""), "--bucket"),
        (("receipts", "--day", ""), "--day"),
        (("receipts", "--day", "2999-01-01"), "in the future"),
        (("report", "--day", "2999-01-01"), "in the future"),
        (("report", "-o", "-"), "-o"),
        (("backfill", "--reason", "r", "--state", "-"), "--state"),
        (("logs", "--request", ""), "--request"),
        (("redrive", "--reason", ""), "--reason"),
        (("redrive", "--key", ""), "--key"),
        (("resend", "a.csv", "--reason", "r", "--id", ""), "--id"),
        (("resend", "a.csv", "--reason", "r", "--version", ""), "--version"),
    ],
)
def test_empty_or_impossible_text_is_a_usage_error_that_names_it(
    cli: CliEnvironment, arguments: tuple[str, ...], named: str
) -> None:
    outcome = cli.run(*arguments)
    assert (outcome.code, outcome.stdout) == (ExitCode.USAGE, "")
    assert named in outcome.stderr
    assert "Try again" not in outcome.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("receipts", "\udcff"),
        ("logs", "--request", "\udcff"),
        ("redrive", "--json", "\udcff"),
        ("pause", "--reason", "\udcff"),
        ("resend", "a.csv", "--reason", "r", "--id", "\udcff"),
        ("receipts", "--json", "--", "\udcff"),
    ],
)
def test_argument_that_is_no_text_is_a_usage_error(cli: CliEnvironment, arguments: tuple[str, ...]) -> None:
    outcome = cli.run(*arguments)
    assert outcome.code == ExitCode.USAGE
    assert "is not UTF-8: '\\udcff'" in outcome.stderr
    if "--json" in arguments:
        assert outcome.json["error"]["code"] == "USAGE"


def test_url_of_an_endpoint_is_taken(cli: CliEnvironment) -> None:
    assert cli.run("list", "--endpoint-url", "http://127.0.0.1:4566/path").code != ExitCode.USAGE


def test_region_that_cannot_be_is_named() -> None:
    with pytest.raises(CliError, match="region") as refused:
        Aws(region="no region!").client("sqs")
    assert (refused.value.code, "--region" in refused.value.hint) == (ExitCode.USAGE, True)


def test_endpoint_of_the_environment_that_cannot_be_is_named(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "garbage")
    with pytest.raises(CliError, match="garbage") as refused:
        Aws(region="eu-west-2").client("sqs")  # none that is cached
    assert (refused.value.code, "AWS_ENDPOINT_URL" in refused.value.hint) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["receipts", "--help"], ["redrive", "--json", "--nonsense"]]
)
def test_pipe_that_nobody_reads_is_a_failure_without_words(arguments: list[str]) -> None:
    """However much is printed: what fits into a buffer fails as late as at the end."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as pipe:
        ended = subprocess.run(
            [sys.executable, "-m", "s3_to_sftp_cli", *arguments],
            stdout=pipe, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (ExitCode.FAILED, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["receipts", "--help"], ["redrive", "--json", "--nonsense"]]
)
def test_output_that_cannot_be_written_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "s3_to_sftp_cli", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert "error: The output could not be written: No space left on device." in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


def test_error_is_wrapped_in_a_terminal_and_one_line_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen"
    assert _for_people("error:", text) == f"error: {text}"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    assert _for_people("error:", text).splitlines() == [
        "error: one two three four five six seven eight",
        "       nine ten eleven twelve thirteen",
    ]
    assert _for_people("", "one\ntwo") == "       one\n       two"
