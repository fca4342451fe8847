"""`python -m cdk_s3_to_sftp.package`: the zip of the function for an upload by other means."""

import os
import sys
from pathlib import Path

import pytest

from cdk_s3_to_sftp import package


@pytest.fixture
def three_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle of one file, which does not compress."""

    def bundle(output: Path, **_: object) -> None:
        (output / "noise").write_bytes(os.urandom(3 * 1024 * 1024))

    monkeypatch.setattr(package, "bundle", bundle)


class TestPackage:
    def test_package_prints_size_quota_and_target(
        self,
        tmp_path: Path,
        three_megabytes: None,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["package", f"--output={tmp_path}/p.zip", "--architecture=arm64"])
        package.main()
        assert capsys.readouterr().out == (
            f"{tmp_path}/p.zip: 3.0 MB, 3 MB unzipped (Lambda's limit is 250), for python3.13 on arm64, "
            "handler s3_to_sftp.handler.lambda_handler\n"
        )

    @pytest.mark.parametrize("python", ["3.12", "3.13", "3.14"])
    def test_python_option_selects_the_runtime(
        self,
        tmp_path: Path,
        three_megabytes: None,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        python: str,
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["package", f"--output={tmp_path}/p.zip", f"--python={python}"])
        package.main()
        assert f"for python{python} on x86_64" in capsys.readouterr().out
