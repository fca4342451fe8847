"""Streams that are closed or lack characters, and Ctrl-C while the command is loaded."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys

import pytest

from s3_to_sftp_cli.errors import ExitCode
from s3_to_sftp_cli.output import Output
from s3_to_sftp_cli.streams import prepare
from tests.support.cli import CliEnvironment

_COMMAND = (sys.executable, "-m", "s3_to_sftp_cli")


def closed(redirection: str) -> subprocess.CompletedProcess[str]:
    """Run a command that finds nothing, in a shell that closes a stream of it."""
    variables = {
        **os.environ,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *_COMMAND, "status"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_closed_stdout_is_said_before_anything_is_done() -> None:
    ended = closed(">&-")
    assert ended.returncode == ExitCode.FAILED
    assert ended.stderr.startswith("error: The output could not be written: it is closed.\n")
    assert "Traceback" not in ended.stderr


def test_closed_stdin_and_stderr_are_no_obstacle() -> None:
    ended = closed("<&-")
    assert (ended.returncode, "cannot be reached" in ended.stderr) == (ExitCode.FAILED, True), ended.stderr
    assert (closed("2>&-").returncode, closed("2>&-").stdout) == (ExitCode.FAILED, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437"])
def test_characters_that_an_encoding_lacks_are_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    prepare()
    Output().console.print("→ a/日.csv ✓", markup=False)
    Output(as_json=True).line({"key": "日\U0001f4a9ä"})
    stream.flush()
    text, document = written.getvalue().decode(encoding).splitlines()
    assert text == r"-> a/\u65e5.csv +"
    assert json.loads(document) == {"key": "日\U0001f4a9ä"}


def test_streams_in_utf_8_take_everything_as_it_is(cli: CliEnvironment) -> None:
    cli.delivered("日.csv")
    assert "日.csv" in cli.run("receipts").stdout
    assert "日.csv" in cli.run("receipts", "--json").stdout
    assert "→" in cli.run("status").stdout


def test_ctrl_c_while_the_command_is_loaded_is_one_like_any_other() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _LOADED_ON_DEMAND, "status", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate("go on\n", timeout=600)
    assert (process.returncode, "Traceback" in stderr) == (ExitCode.INTERRUPTED, False), stderr
    assert stderr.startswith("interrupted: ")
    assert json.loads(stdout)["error"]["code"] == "INTERRUPTED"


_LOADED_ON_DEMAND = """
import builtins, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which the job of a shell in the background ignores
load = builtins.__import__
def on_demand(name, *rest, **more):
    if name == "s3_to_sftp_cli.main":
        print("loading", flush=True)
        sys.stdin.readline()
    return load(name, *rest, **more)
builtins.__import__ = on_demand
from s3_to_sftp_cli.__main__ import main
main()
"""


def test_ignored_ctrl_c_stays_ignored() -> None:
    """As in the background of a script."""
    asked = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    script = f"""{asked}
import sys
from s3_to_sftp_cli.__main__ import main
sys.argv[1:] = ["--version"]
try:
    main()
finally:
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
