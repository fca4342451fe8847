"""The bundle itself: reproducible, for the requested CPU and Python, and named by its fingerprint."""

import gzip
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import botocore.session
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template
from botocore.loaders import Loader
from botocore.stub import Stubber

from cdk_s3_to_sftp import Bundling, S3ToSftp, SftpServer, bundle_builder, bundling
from cdk_s3_to_sftp.bundle_builder import compilation, installation, programs, services
from cdk_s3_to_sftp.bundle_builder.target import CannotBuild, Target
from cdk_s3_to_sftp.bundling import find_source, target_of
from tests.infra.conftest import ARM64, X86_64, new_app
from tests.support.infra.bundles import hashes, libraries_for_other_cpus, write_shadowing_modules

DELIVERS = {"Properties": {"Handler": "s3_to_sftp.handler.lambda_handler"}}


def file_hashes_modes_and_times(directory: Path) -> dict[str, tuple[str, int, float]]:
    """Map each path to hash, mode and time: everything about a file that a zip stores."""
    status = {str(path.relative_to(directory)): path.stat() for path in directory.rglob("*")}
    digests = hashes(directory)
    return {
        name: (digests.get(name, "directory"), stat.S_IMODE(each.st_mode), each.st_mtime)
        for name, each in status.items()
    }


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = programs.answers
    monkeypatch.setattr(
        programs, "answers", lambda command, **env: "uv" not in command and answers(command, **env)
    )


class TestBundle:
    def test_bundle_is_reproducible(self, bundle: Path, tmp_path: Path) -> None:
        bundle_builder.build(find_source(), tmp_path, X86_64)
        assert file_hashes_modes_and_times(tmp_path) == file_hashes_modes_and_times(bundle)

    def test_pip_and_uv_build_the_same_bundle(self, bundle: Path, tmp_path: Path, no_uv: None) -> None:
        bundle_builder.build(find_source(), tmp_path, X86_64)
        assert file_hashes_modes_and_times(tmp_path) == file_hashes_modes_and_times(bundle)

    def test_file_modes_are_normalised(self, bundle: Path) -> None:
        modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in bundle.rglob("*")}
        assert modes == {(True, 0o755), (False, 0o644)}

    def test_bundle_contains_the_function_and_its_dependencies(self, bundle: Path) -> None:
        assert (bundle / "s3_to_sftp" / "handler.py").is_file()
        for dependency in ("boto3", "paramiko", "aws_lambda_powertools"):
            assert (bundle / dependency / "__init__.py").is_file()

    def test_bundle_knows_the_services_that_the_function_uses_and_no_others(self, bundle: Path) -> None:
        of_source = {
            name
            for path in bundle_builder.source_files(find_source())
            for name in re.findall(r"new_client\(\s*\"([a-z0-9-]+)\"", path.read_text())
        }
        assert of_source
        assert of_source <= services.SERVICES
        data = bundle / "botocore" / "data"
        assert {path.name for path in data.iterdir() if path.is_dir()} == services.SERVICES
        endpoints = json.loads((data / "endpoints.json").read_text())
        assert endpoints["partitions"]
        for partition in endpoints["partitions"]:
            assert set(partition["services"]) <= services.SERVICES

    @pytest.mark.parametrize(
        ("service", "operation"),
        [
            ("dynamodb", "list_tables"),
            ("events", "list_rules"),
            ("s3", "list_buckets"),
            ("secretsmanager", "list_secrets"),
            ("sqs", "list_queues"),
            ("sts", "get_caller_identity"),
        ],
    )
    def test_client_works_with_what_the_bundle_knows(
        self, service: str, operation: str, bundle: Path
    ) -> None:
        session = botocore.session.Session()
        data = str(bundle / "botocore" / "data")
        session.register_component(
            "data_loader", Loader(extra_search_paths=[data], include_default_search_paths=False)
        )
        client = session.create_client(
            service, "eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        with Stubber(client) as stubber:
            stubber.add_response(operation, {})
            getattr(client, operation)()
        assert client.meta.endpoint_url.startswith(f"https://{service}.eu-central-1.")

    def test_models_of_services_are_whole_but_for_descriptions(self, tmp_path: Path) -> None:
        service = tmp_path / "botocore" / "data" / "sqs" / "2012-11-05"
        service.mkdir(parents=True)
        (service.parents[1] / "endpoints.json").write_text('{"partitions": [{"services": {}}]}')
        member = {"shape": "String", "documentation": "<p>What it is.</p>"}
        model = {"documentation": "d", "shapes": {"S": {"members": {"documentation": member}, "enum": ["a"]}}}
        (service / "service-2.json.gz").write_bytes(gzip.compress(json.dumps(model).encode()))
        (service / "waiters-2.json").write_text('{"waiters": {"documentation": 1}}')
        (service / "examples-1.json").write_text("{}")
        services.keep_used_services(tmp_path)
        assert {path.name: json.loads(path.read_text()) for path in service.iterdir()} == {
            "service-2.json": {
                "documentation": "d",
                "shapes": {"S": {"members": {"documentation": {"shape": "String"}}, "enum": ["a"]}},
            },
            "waiters-2.json": {"waiters": {"documentation": 1}},
        }

    def test_bundle_contains_no_build_metadata(self, bundle: Path) -> None:
        unwanted = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", ".lock", "bin", "py.typed"}
        function = {path.name for path in (bundle / "s3_to_sftp").iterdir()}
        everywhere = {path.name for path in [*bundle.iterdir(), *bundle.glob("*.dist-info/*")]}
        assert not unwanted & (function | everywhere)
        assert not [name for name in function if name.startswith("requirements")]

    def test_only_python_modules_are_source_files(self, source: Path) -> None:
        (source / "secrets.env").touch()
        (source / ".handler.py.swp").touch()
        (source / "__pycache__").mkdir(exist_ok=True)
        (source / "__pycache__" / "stale.py").touch()
        assert {path.suffix for path in bundle_builder.source_files(source)} == {".py"}
        assert len(bundle_builder.source_files(source)) == len(bundle_builder.source_files(find_source()))

    def test_bundle_contains_no_path_of_the_build_machine(self, bundle: Path) -> None:
        traces = [str(bundle).encode(), str(find_source().parent).encode(), str(Path.home()).encode() + b"/"]
        for path in bundle.rglob("*"):
            if path.suffix in {".py", ".pyc"} or path.name in {"METADATA", "WHEEL"}:
                assert not [each for each in traces if each in path.read_bytes()], path

    @pytest.mark.parametrize("architecture", bundling.ARCHITECTURES, ids=lambda each: each.name)
    @pytest.mark.parametrize("runtime", bundling.RUNTIMES, ids=lambda each: each.name)
    def test_native_libraries_match_the_cpu_and_python_version(
        self, tmp_path: Path, runtime: lambda_.Runtime, architecture: lambda_.Architecture
    ) -> None:
        target = target_of(architecture, runtime)
        bundle_builder.build(find_source(), tmp_path, target)
        assert libraries_for_other_cpus(tmp_path, target) == []
        digits = runtime.name.removeprefix("python").replace(".", "")
        bound = [path.name for path in tmp_path.rglob("*.cpython-*.so")]
        assert bound
        assert [name for name in bound if f".cpython-{digits}-" not in name] == []

    def test_check_of_native_libraries_detects_another_cpu(self, bundle: Path) -> None:
        assert "_cffi_backend" in str(libraries_for_other_cpus(bundle, ARM64))

    def test_unzipped_bundle_is_below_half_of_the_quota(self, bundle: Path) -> None:
        assert bundling.unzipped_size(bundle) < 0.5 * bundling.LARGEST_BUNDLE

    def test_modules_are_compiled_with_unchecked_hashes(self, bundle: Path) -> None:
        if compilation.interpreter_for(X86_64) is None:
            pytest.skip("no Python 3.13 on this machine")
        compiled = bundle / "s3_to_sftp" / "__pycache__" / "handler.cpython-313.pyc"
        unchecked_hash = 0b01  # PEP 552: hash-based, and not compared with the source
        assert compiled.read_bytes()[4] == unchecked_hash
        assert b"/var/task/s3_to_sftp/handler.py" in compiled.read_bytes()

    def test_bundle_is_not_compiled_without_the_interpreter(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(compilation, "find_interpreter", lambda python, path: None)
        monkeypatch.setattr(installation, "install", lambda lock, output, target: None)
        bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.LOCAL)
        assert (tmp_path / "s3_to_sftp" / "handler.py").exists()
        assert list(tmp_path.rglob("*.pyc")) == []
        assert capsys.readouterr().err == (
            "No Python 3.13 here: the bundle has no compiled modules (slower cold start).\n"
        )

    def test_bundle_imports_on_its_own_python_version(self, bundle: Path) -> None:
        interpreter = compilation.interpreter_for(X86_64)
        if interpreter is None or os.uname().machine != "x86_64":
            pytest.skip("no Python 3.13 for x86_64 on this machine")
        imports = "import s3_to_sftp, paramiko, boto3; print(paramiko.__file__)"
        done = subprocess.run(
            [interpreter, "-I", "-c", f"import sys; sys.path.insert(0, {str(bundle)!r}); {imports}"],
            env={**os.environ, "PYENV_VERSION": "3.13"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(str(bundle))


def copied_builder(folder: Path) -> Path:
    shutil.copytree(
        Path(bundle_builder.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


class TestAlone:
    def test_builder_runs_where_nothing_else_is_installed(self, tmp_path: Path) -> None:
        copied_builder(tmp_path / "bundle_builder")
        done = subprocess.run(
            [sys.executable, "-S", "-m", "bundle_builder", "--help"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "--architecture" in done.stdout, done.stderr


class TestFingerprint:
    def test_fingerprint_changes_with_each_module_of_the_builder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        builder = copied_builder(tmp_path / "bundle_builder")
        monkeypatch.setattr(bundle_builder, "__file__", str(builder / "__init__.py"))
        seen = {bundle_builder.fingerprint(find_source(), X86_64)}
        modules = sorted(builder.rglob("*.py"))
        for module in modules:
            module.write_text(module.read_text() + "#\n")
            seen.add(bundle_builder.fingerprint(find_source(), X86_64))
        assert len(seen) == 1 + len(modules)

    @pytest.mark.parametrize("name", ["handler.py", "requirements.txt", "sftp/upload.py"])
    def test_fingerprint_changes_with_the_content_of_a_file(self, source: Path, name: str) -> None:
        before = bundle_builder.fingerprint(source, X86_64)
        with (source / name).open("a") as file:
            file.write("\n")
        assert bundle_builder.fingerprint(source, X86_64) != before

    def test_fingerprint_changes_with_the_name_of_a_file(self, source: Path) -> None:
        before = bundle_builder.fingerprint(source, X86_64)
        (source / "handler.py").rename(source / "handlers.py")
        assert bundle_builder.fingerprint(source, X86_64) != before

    def test_fingerprint_changes_with_cpu_and_python_version(self) -> None:
        later = Target(architecture="x86_64", python="3.14")
        assert len({bundle_builder.fingerprint(find_source(), each) for each in (X86_64, ARM64, later)}) == 3

    def test_fingerprint_differs_without_compiled_modules(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if not compilation.can_compile("3.13"):
            pytest.skip("no Python 3.13 on this machine")
        before = bundle_builder.fingerprint(find_source(), target_of(lambda_.Architecture.X86_64))
        monkeypatch.setattr(compilation, "find_interpreter", lambda python, path: None)
        assert bundle_builder.fingerprint(find_source(), target_of(lambda_.Architecture.X86_64)) != before
        in_docker = target_of(lambda_.Architecture.X86_64, bundling=Bundling.DOCKER)
        assert bundle_builder.fingerprint(find_source(), in_docker) == before

    def test_fingerprint_does_not_depend_on_the_path_or_other_files(self, source: Path) -> None:
        (source / "notes.txt").touch()
        assert bundle_builder.fingerprint(source, X86_64) == bundle_builder.fingerprint(find_source(), X86_64)

    def test_asset_is_the_same_for_every_bundling_option(self, server: SftpServer) -> None:
        if not compilation.can_compile("3.13"):
            pytest.skip("no Python 3.13 on this machine")
        keys = set()
        for way in Bundling:
            stack = cdk.Stack(new_app(), "Test")
            sqs.Queue(stack, f"Other{way}")
            S3ToSftp(stack, "Delivery", server=server, bundling=way)
            (function,) = (
                Template.from_stack(stack).find_resources("AWS::Lambda::Function", DELIVERS).values()
            )
            keys.add(function["Properties"]["Code"]["S3Key"])
        assert len(keys) == 1


class TestInstallers:
    def test_failing_uv_is_retried_offline_and_then_replaced_by_pip(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried: list[str] = []

        def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
            fails = "install" in command and "uv" in command
            if "install" in command:
                tried.extend(word for word in command if word in ("uv", "--offline", "-m"))
            return subprocess.CompletedProcess(command, returncode=int(fails), stdout="", stderr="no index")

        monkeypatch.setattr(programs, "run", run)
        installation.install(tmp_path / "requirements.txt", tmp_path, X86_64)
        assert tried == ["uv", "uv", "--offline", "-m"]

    @pytest.mark.parametrize("installer", ["uv", "pip"])
    def test_installer_is_not_shadowed_by_a_module_of_the_user(
        self, installer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_shadowing_modules(tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PATH", "")  # no uv except the module of this interpreter
        assert any(installer in each.command for each in installation.installers(X86_64))

    def test_compiler_is_not_shadowed_by_a_module_of_the_user(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if compilation.interpreter_for(X86_64) is None:
            pytest.skip("no Python 3.13 on this machine")
        write_shadowing_modules(tmp_path)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "output").mkdir()
        (tmp_path / "output" / "module.py").touch()
        compilation.compile_modules(tmp_path / "output", X86_64)
        assert (tmp_path / "output" / "__pycache__" / "module.cpython-313.pyc").exists()

    def test_error_contains_the_output_of_the_installers(self, source: Path, tmp_path: Path) -> None:
        (source / "requirements.txt").write_text("paramiko==5.1.0 --hash=sha256:" + "0" * 64)
        with pytest.raises(CannotBuild, match=r"(?s)Python 3.13 on x86_64 cannot be installed\..*[Hh]ash"):
            bundle_builder.build(source, tmp_path / "output", X86_64)

    def test_syntax_error_in_the_source_fails_the_build(self, source: Path, tmp_path: Path) -> None:
        if compilation.interpreter_for(X86_64) is None:
            pytest.skip("no Python 3.13 on this machine")
        (source / "requirements.txt").write_text("")
        (source / "broken.py").write_text("def (")
        with pytest.raises(CannotBuild, match=r"(?s)cannot compile the bundle.*SyntaxError"):
            bundle_builder.build(source, tmp_path / "output", X86_64)
