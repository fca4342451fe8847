"""`python -m cdk_s3_to_sftp.package`: the zip of the function for an upload by other means."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdk_s3_to_sftp import package, template


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each call of the bundler, which writes 3 MB that do not compress."""
    calls: list[dict[str, Any]] = []

    def bundle(output: Path, **arguments: Any) -> None:
        calls.append(arguments)
        (output / "noise").write_bytes(os.urandom(3 * 1024 * 1024))

    monkeypatch.setattr(package, "bundle", bundle)
    return calls


@pytest.fixture
def package_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs the command with an output below `tmp_path`; returns what it prints."""

    def run(output: str, *options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["package", f"--output={tmp_path}/{output}", *options])
        package.main()
        return capsys.readouterr().out

    return run


class TestPackage:
    def test_package_prints_size_quota_and_target(
        self, tmp_path: Path, bundled: list[dict[str, Any]], package_command: Callable[..., str]
    ) -> None:
        assert package_command("p.zip", "--architecture=arm64") == (
            f"{tmp_path}/p.zip: 3.0 MB, 3 MB unzipped (Lambda's limit is 250), for python3.13 on arm64, "
            "handler s3_to_sftp.handler.lambda_handler\n"
        )
        assert [call["architecture"].name for call in bundled] == ["arm64"]

    @pytest.mark.parametrize("python", ["3.12", "3.13", "3.14"])
    def test_python_option_selects_the_runtime(
        self, bundled: list[dict[str, Any]], package_command: Callable[..., str], python: str
    ) -> None:
        assert f"for python{python} on x86_64" in package_command("p.zip", f"--python={python}")
        assert [call["runtime"].name for call in bundled] == [f"python{python}"]

    @pytest.mark.usefixtures("bundled")
    def test_folder_of_the_output_is_made(self, tmp_path: Path, package_command: Callable[..., str]) -> None:
        package_command("new/p.zip")
        assert (tmp_path / "new" / "p.zip").is_file()

    @pytest.mark.parametrize(
        ("output", "complaint"),
        [
            ("", "is a folder: name a file in it"),
            ("file/p.zip", "file is no folder"),
            (f"{'x' * 300}.zip", "cannot be written: File name too long"),
            (f"{'x' * 300}/p.zip", "cannot be written: File name too long"),
        ],
    )
    def test_output_that_cannot_be_written_is_refused_before_it_is_built(
        self,
        tmp_path: Path,
        bundled: list[dict[str, Any]],
        package_command: Callable[..., str],
        capsys: pytest.CaptureFixture[str],
        output: str,
        complaint: str,
    ) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SystemExit, match="2"):
            package_command(output)
        assert complaint in capsys.readouterr().err
        assert not bundled

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_folder_of_another_user_is_refused_before_the_bundle_is_made(
        self,
        tmp_path: Path,
        package_command: Callable[..., str],
        bundled: list[Any],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "private").mkdir(mode=0o700)
        os.setresuid(65534, 65534, 0)
        try:
            with pytest.raises(SystemExit):
                package_command("private/new/p.zip")
        finally:
            os.setresuid(0, 0, 0)
        assert "cannot be written: no permission in" in capsys.readouterr().err
        assert not bundled

    @pytest.mark.usefixtures("bundled")
    def test_half_a_package_is_not_left_where_the_disk_is_full(
        self, tmp_path: Path, package_command: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def write_a_part(_directory: Path, output: Path) -> None:
            output.write_bytes(b"PK")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(package, "write_zip", write_a_part)
        with pytest.raises(SystemExit, match=r"p\.zip cannot be written: No space left on device"):
            package_command("p.zip")
        assert list(tmp_path.iterdir()) == []


def test_template_that_cannot_be_written_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    monkeypatch.setattr(sys, "argv", ["template", f"--output={tmp_path}/out"])
    with pytest.raises(SystemExit, match=r"out cannot be written: No space left on device"):
        template.main()
