"""Where the function is bundled: on this machine, in Docker, and from which source."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import aws_lambda as lambda_

from cdk_s3_to_sftp import Bundling, bundle_builder, bundling
from cdk_s3_to_sftp.archive import write_zip
from cdk_s3_to_sftp.bundle_builder import compilation, programs
from cdk_s3_to_sftp.bundle_builder.target import CannotBuild, Target
from cdk_s3_to_sftp.bundling import find_source
from tests.infra.conftest import REPOSITORY, X86_64
from tests.support.infra.bundles import run_package, write_shadowing_modules


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The output directories of calls of Docker, which is not run."""
    asked: list[Path] = []
    monkeypatch.setattr(bundling, "_build_in_docker", lambda source, output, target: asked.append(output))
    return asked


@pytest.fixture
def no_installer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "answers", lambda command, **env: False)


@pytest.fixture
def three_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle of one file, which does not compress."""

    def build(output: Path, *_: object) -> None:
        (output / "noise").write_bytes(os.urandom(3 * 1024 * 1024))

    monkeypatch.setattr(bundling, "build", build)


class TestBundling:
    def test_auto_falls_back_to_docker_and_prints_the_reason(
        self, tmp_path: Path, no_installer: None, docker: list[Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.AUTO)
        assert docker == [tmp_path]
        # Behind a line about the missing Python of Lambda, where there is none.
        assert capsys.readouterr().err.endswith(
            "Cannot bundle the function on this machine: "
            f"there is no uv on the PATH, and {sys.executable} has neither uv nor pip.\nTrying Docker.\n"
        )

    def test_docker_gets_an_empty_directory_after_a_failed_local_build(
        self, tmp_path: Path, docker: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail_halfway(source: Path, output: Path, target: Target) -> None:
            (output / "boto3").mkdir()
            (output / "boto3" / "half.py").touch()
            (output / ".lock").touch()
            raise CannotBuild("the network went away.")

        monkeypatch.setattr(bundle_builder, "build", fail_halfway)
        bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.AUTO)
        assert docker == [tmp_path]
        assert list(tmp_path.iterdir()) == []

    def test_docker_build_keeps_the_promised_fingerprint(
        self, tmp_path: Path, no_installer: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Target] = []
        monkeypatch.setattr(bundling, "_build_in_docker", lambda source, output, target: asked.append(target))
        monkeypatch.setattr(compilation, "find_interpreter", lambda python, path: None)
        for way in (Bundling.AUTO, Bundling.DOCKER):
            bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=way)
        assert [target.compiled for target in asked] == [False, True]

    def test_error_names_both_reasons_when_docker_fails_too(
        self, tmp_path: Path, no_installer: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_docker(source: Path, output: Path, target: Target) -> None:
            raise CannotBuild("docker: not found")

        monkeypatch.setattr(bundling, "_build_in_docker", no_docker)
        with pytest.raises(CannotBuild) as caught:
            bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.AUTO)
        assert str(caught.value) == (
            "docker: not found\nWithout Docker it failed, too: "
            f"there is no uv on the PATH, and {sys.executable} has neither uv nor pip."
        )

    def test_local_bundling_does_not_fall_back_to_docker(
        self, tmp_path: Path, no_installer: None, docker: list[Path]
    ) -> None:
        with pytest.raises(CannotBuild, match="there is no uv on the PATH"):
            bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.LOCAL)
        assert docker == []

    def test_docker_bundling_does_not_build_locally(
        self, tmp_path: Path, docker: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bundle_builder, "build", None)
        bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.DOCKER)
        assert docker == [tmp_path]

    def test_bundling_prints_the_unzipped_size_and_the_quota(
        self, tmp_path: Path, three_megabytes: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bundler = bundling._Bundler(bundling.target_of(lambda_.Architecture.ARM_64), Bundling.AUTO)
        bundler.try_bundle(str(tmp_path), None)
        assert capsys.readouterr().err == (
            "Bundled the function for Python 3.13 on arm64: 3 MB unzipped, Lambda's limit is 250.\n"
        )


class TestDocker:
    def test_docker_and_local_builds_give_the_same_zip(self, source: Path, tmp_path: Path) -> None:
        if not compilation.can_compile(X86_64.python):
            pytest.skip(f"no Python {X86_64.python} here: that of the image compiles the modules")
        (source / "requirements.txt").write_text("")
        in_docker = run_package(tmp_path / "docker.zip", CDK_DOCKER=str(write_fake_docker(tmp_path, source)))
        assert in_docker.returncode == 0, in_docker.stderr
        (tmp_path / "local").mkdir()
        bundle_builder.build(source, tmp_path / "local", X86_64)
        write_zip(tmp_path / "local", tmp_path / "local.zip")
        assert (tmp_path / "docker.zip").read_bytes() == (tmp_path / "local.zip").read_bytes()

    def test_docker_runs_as_the_current_user_or_on_windows_as_1000(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert bundling._user() == f"{os.getuid()}:{os.getgid()}"
        monkeypatch.delattr(os, "getuid")
        monkeypatch.delattr(os, "getgid")
        assert bundling._user() == "1000:1000"

    def test_missing_docker_command_is_named_with_an_alternative(self, tmp_path: Path) -> None:
        done = run_package(tmp_path / "package.zip", CDK_DOCKER="no-such-command")
        assert done.returncode == 1
        _, _, reason = done.stderr.partition("Cannot bundle the function: ")
        assert "no-such-command" in reason
        assert done.stderr.endswith("'pip install uv', and make sure that it can reach the package index.\n")
        assert "Traceback" not in done.stderr


def write_fake_docker(directory: Path, source: Path) -> Path:
    """Write a docker command that runs the builder on this machine, on a source without dependencies."""
    script = directory / "docker"
    script.write_text(f"""#!{sys.executable}
import os, shutil, subprocess, sys
image = sys.argv.index("public.ecr.aws/sam/build-python3.13")
volumes = [word.split(":") for word in sys.argv[1:image] if ":/" in word]
mounts = {{there: here for here, there, *_ in volumes}}
assert mounts["/source"] == {str(find_source())!r}
mounts["/source"] = {str(source)!r}
interpreter, *options = sys.argv[image + 1 :]
options = [option if there not in mounts else name + "=" + mounts[there]
           for option in options for name, _, there in [option.partition("=")]]
assert interpreter == "python3.13"
# Nothing but the builder is in its folder there.
os.chdir({str(directory)!r})
for there, here in mounts.items():
    if there.startswith("/builder/"):
        assert sys.argv[sys.argv.index("-w") + 1] == "/builder"
        shutil.copytree(here, os.path.basename(there))
sys.exit(subprocess.run([sys.executable, *options]).returncode)
""")
    script.chmod(0o755)
    return script


class TestSource:
    def test_source_is_the_one_of_the_repository(self) -> None:
        assert find_source() == REPOSITORY / "lambda_src" / "s3_to_sftp"

    def test_source_is_not_shadowed_by_a_module_of_the_user(self, tmp_path: Path) -> None:
        write_shadowing_modules(tmp_path)
        (tmp_path / "app.py").write_text(
            "from cdk_s3_to_sftp.bundling import find_source\nprint(find_source())"
        )
        done = subprocess.run(
            [sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{REPOSITORY / 'lambda_src' / 's3_to_sftp'}\n"

    def test_source_is_next_to_the_construct_when_installed(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        env = tmp_path / "env-packages"
        env.mkdir()
        source.rename(env / "s3_to_sftp")
        monkeypatch.setattr(bundling, "__file__", str(env / "cdk_s3_to_sftp" / "bundling.py"))
        assert find_source() == env / "s3_to_sftp"

    def test_source_is_found_without_importing_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "s3_to_sftp", raising=False)
        assert find_source().name == "s3_to_sftp"
        assert "s3_to_sftp" not in sys.modules

    def test_missing_source_raises_cannot_build(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(bundling, "__file__", str(tmp_path / "cdk_s3_to_sftp" / "bundling.py"))
        with pytest.raises(CannotBuild, match="reinstall the distribution cdk-s3-to-sftp"):
            find_source()
