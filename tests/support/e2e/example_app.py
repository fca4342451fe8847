"""Runs an example unchanged except for the partner: `python example_app.py EXAMPLE/app.py`.

The server of the example is replaced by that of the variable LOCAL_PARTNER (JSON).
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk

import cdk_s3_to_sftp
from cdk_s3_to_sftp import SftpServer


def main() -> None:
    example = Path(sys.argv[1])
    given = json.loads(os.environ["LOCAL_PARTNER"])
    context = json.loads((example.parent / "cdk.json").read_text()).get("context", {})
    real = cdk.App

    def app() -> cdk.App:
        return real(context=context)

    def server(host: str, **arguments: Any) -> SftpServer:
        return SftpServer(**{"host": host, **arguments, **given})

    vars(cdk_s3_to_sftp)["SftpServer"] = server
    vars(cdk)["App"] = app
    runpy.run_path(str(example), run_name="__main__")


if __name__ == "__main__":
    main()
