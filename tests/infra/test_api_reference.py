"""`make docs` generates an API reference that documents every public name of the package."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cdk_s3_to_sftp
from cdk_s3_to_sftp import profiles


def test_api_reference_documents_every_public_name(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="the generator is not installed: pip install -r requirements-dev.txt")
    command = [sys.executable, "-m", "pdoc", "--docformat", "google", "--no-show-source", "--no-search"]
    subprocess.run(
        [*command, "-o", str(tmp_path), "cdk_s3_to_sftp", profiles.__name__],
        env={**os.environ, "PDOC_ALLOW_EXEC": "1"},
        check=True,
        capture_output=True,
    )
    for module in (cdk_s3_to_sftp, profiles):
        page = (tmp_path / f"{module.__name__.replace('.', '/')}.html").read_text()
        text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", page)))
        for name in set(module.__all__) - {"profiles"}:
            assert f'id="{name}"' in page
            promise = str(getattr(module, name).__doc__).split("\n")[0]
            assert re.sub(r"[`\s]+", " ", promise).strip()[:40] in re.sub(r"[`\s]+", " ", text), name
