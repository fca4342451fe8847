"""What the tests of `app.py` share: its required values, its function, and `cdk synth`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.infra.keys import ED25519

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
"""The Node of the environment precedes the one of the machine, as in the Makefile."""

GIVEN = {"ssh_host": "sftp.partner.example", "ssh_host_key": ED25519}

Main = Callable[..., dict[str, Any]]


def function_in(template: dict[str, Any]) -> dict[str, Any]:
    handlers = [
        each["Properties"] for each in template["Resources"].values() if "Handler" in each["Properties"]
    ]
    function: dict[str, Any]
    (function,) = [each for each in handlers if each["Handler"].startswith("s3_to_sftp.")]
    return function


def synth(cli: Path, output: Path, *options: str, cwd: Path, **variables: str) -> str:
    given = [f"--context={key}={value}" for key, value in GIVEN.items()]
    done = subprocess.run(
        [str(cli), "synth", "--quiet", "--no-notices", f"--output={output}", *options, *given],
        cwd=cwd,
        env={**os.environ, "PATH": PATH, "CDK_DISABLE_CLI_TELEMETRY": "true", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (asset,) = (each for each in output.glob("asset.*") if each.is_dir())
    assert (asset / "s3_to_sftp" / "handler.py").is_file()
    return (output / "S3ToSftp.template.json").read_text()
