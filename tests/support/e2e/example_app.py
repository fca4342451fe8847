"""Runs an example unchanged except for the partner: `python example_app.py EXAMPLE/app.py`.

The server of the example is replaced by that of the variable LOCAL_PARTNER (JSON), and the partner's OpenPGP
key by its `open_pgp_key`.
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
from cdk_s3_to_sftp import OpenPgp, SftpServer


def main() -> None:
    example = Path(sys.argv[1])
    given = json.loads(os.environ["LOCAL_PARTNER"])
    context = json.loads((example.parent / "cdk.json").read_text()).get("context", {})
    key = given.pop("open_pgp_key", None)
    real = cdk.App

    def app() -> cdk.App:
        return real(context=context)

    def server(host: str, **arguments: Any) -> SftpServer:
        return SftpServer(**{"host": host, **arguments, **given})

    def open_pgp(*, encrypt_to: list[str], **arguments: Any) -> OpenPgp:
        return OpenPgp(encrypt_to=[key or each for each in encrypt_to], **arguments)

    vars(cdk_s3_to_sftp)["SftpServer"] = server
    vars(cdk_s3_to_sftp)["OpenPgp"] = open_pgp
    vars(cdk)["App"] = app
    runpy.run_path(str(example), run_name="__main__")


if __name__ == "__main__":
    main()
