"""`python -m cdk_s3_to_sftp.package`: the zip of the function for an upload by other means."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from cdk_s3_to_sftp import package


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each call of the bundler, which writes 3 MB that do not compress."""
    calls: list[dict[str, Any]] = []

    def bundle(output: Path, **arguments: Any) -> None:
        calls.append(arguments)
        (output / "noise").write_bytes(os.urandom(3 * 1024 * 1024))

    monkeypatch.setattr(package, "bundle", bundle)
    return calls


class TestPackage:
    def test_package_prints_size_quota_and_target(
        self,
        tmp_path: Path,
        bundled: list[dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["package", f"--output={tmp_path}/p.zip", "--architecture=arm64"])
        package.main()
        assert capsys.readouterr().out == (
            f"{tmp_path}/p.zip: 3.0 MB, 3 MB unzipped (Lambda's limit is 250), for python3.13 on arm64, "
            "handler s3_to_sftp.handler.lambda_handler\n"
        )
        assert [call["architecture"].name for call in bundled] == ["arm64"]

    @pytest.mark.parametrize("python", ["3.12", "3.13", "3.14"])
    def test_python_option_selects_the_runtime(
        self,
        tmp_path: Path,
        bundled: list[dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        python: str,
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["package", f"--output={tmp_path}/p.zip", f"--python={python}"])
        package.main()
        assert f"for python{python} on x86_64" in capsys.readouterr().out
        assert [call["runtime"].name for call in bundled] == [f"python{python}"]
