import hashlib
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import Bundling, S3ToSftp, SftpServer, bundle_builder, bundling, package
from cdk_s3_to_sftp.archive import write_zip
from cdk_s3_to_sftp.bundle_builder import CannotBuild
from cdk_s3_to_sftp.bundling import find_source, target_of
from tests.infra.conftest import ARM64, REPOSITORY, X86_64, new_app
from tests.infra.test_installed import put_namesakes
from tests.support.infra.bundles import hashes, made_for_other_machines, run_package

DELIVERS = {"Properties": {"Handler": "s3_to_sftp.handler.lambda_handler"}}


def content(directory: Path) -> dict[str, tuple[str, int, float]]:
    """Path -> hash, mode and time: everything about a file that a zip can hold."""
    status = {str(path.relative_to(directory)): path.stat() for path in directory.rglob("*")}
    digests = hashes(directory)
    return {
        name: (digests.get(name, "directory"), stat.S_IMODE(each.st_mode), each.st_mtime)
        for name, each in status.items()
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the function's source that a test may change."""
    return Path(shutil.copytree(find_source(), tmp_path / "source"))


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = bundle_builder._answers
    monkeypatch.setattr(
        bundle_builder, "_answers", lambda command, **env: "uv" not in command and answers(command, **env)
    )


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that Docker was asked to fill, without doing it."""
    asked: list[Path] = []
    monkeypatch.setattr(bundling, "_build_in_docker", lambda source, output, target: asked.append(output))
    return asked


@pytest.fixture
def no_installer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_builder, "_answers", lambda command, **env: False)


@pytest.fixture
def three_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle of one file, which does not compress."""

    def bundle(output: Path, **_: object) -> None:
        (output / "noise").write_bytes(os.urandom(3 * 1024 * 1024))

    monkeypatch.setattr(bundling, "bundle", bundle)
    monkeypatch.setattr(package, "bundle", bundle)


class TestBundle:
    def test_is_the_same_when_built_again(self, bundle: Path, tmp_path: Path) -> None:
        bundle_builder.build(find_source(), tmp_path, X86_64)
        assert content(tmp_path) == content(bundle)

    def test_is_the_same_with_pip_as_with_uv(self, bundle: Path, tmp_path: Path, no_uv: None) -> None:
        bundle_builder.build(find_source(), tmp_path, X86_64)
        assert content(tmp_path) == content(bundle)

    def test_does_not_depend_on_the_builders_permissions(self, bundle: Path) -> None:
        modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in bundle.rglob("*")}
        assert modes == {(True, 0o755), (False, 0o644)}

    def test_has_the_package_next_to_what_it_imports(self, bundle: Path) -> None:
        assert (bundle / "s3_to_sftp" / "handler.py").is_file()
        for dependency in ("boto3", "paramiko", "aws_lambda_powertools"):
            assert (bundle / dependency / "__init__.py").is_file()

    def test_leaves_behind_what_only_the_build_needs(self, bundle: Path) -> None:
        unwanted = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", ".lock", "bin", "py.typed"}
        function = {path.name for path in (bundle / "s3_to_sftp").iterdir()}
        everywhere = {path.name for path in [*bundle.iterdir(), *bundle.glob("*.dist-info/*")]}
        assert not unwanted & (function | everywhere)
        assert not [name for name in function if name.startswith("requirements")]

    def test_takes_no_litter_from_the_source(self, source: Path) -> None:
        (source / "secrets.env").touch()
        (source / ".handler.py.swp").touch()
        (source / "__pycache__").mkdir(exist_ok=True)
        (source / "__pycache__" / "stale.py").touch()
        assert {path.suffix for path in bundle_builder.source_files(source)} == {".py"}
        assert len(bundle_builder.source_files(source)) == len(bundle_builder.source_files(find_source()))

    def test_holds_nothing_of_the_machine_that_built_it(
        self, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        traces = [str(bundle).encode(), str(find_source().parent).encode(), str(Path.home()).encode() + b"/"]
        for path in bundle.rglob("*"):
            if path.suffix in {".py", ".pyc"} or path.name in {"METADATA", "WHEEL"}:
                assert not [each for each in traces if each in path.read_bytes()], path

    def test_is_made_for_x86_64(self, bundle: Path) -> None:
        assert made_for_other_machines(bundle, X86_64) == []

    def test_for_arm64_holds_arm64_code(self, tmp_path: Path) -> None:
        bundle_builder.build(find_source(), tmp_path, ARM64)
        assert made_for_other_machines(tmp_path, ARM64) == []

    @pytest.mark.parametrize("architecture", bundling.ARCHITECTURES, ids=lambda each: each.name)
    @pytest.mark.parametrize("runtime", bundling.RUNTIMES, ids=lambda each: each.name)
    def test_for_every_runtime_and_cpu_comes_from_the_lock(
        self, tmp_path: Path, runtime: lambda_.Runtime, architecture: lambda_.Architecture
    ) -> None:
        target = target_of(architecture, runtime)
        bundle_builder.build(find_source(), tmp_path, target)
        assert made_for_other_machines(tmp_path, target) == []
        digits = runtime.name.removeprefix("python").replace(".", "")
        bound = [path.name for path in tmp_path.rglob("*.cpython-*.so")]
        assert bound
        assert [name for name in bound if f".cpython-{digits}-" not in name] == []

    def test_for_another_machine_would_be_noticed(self, bundle: Path) -> None:
        assert "_cffi_backend" in str(made_for_other_machines(bundle, ARM64))

    def test_is_far_below_what_lambda_takes(self, bundle: Path) -> None:
        assert bundling.unzipped_size(bundle) < 0.5 * bundling.LARGEST_BUNDLE

    def test_is_compiled_where_the_interpreter_is_at_hand(self, bundle: Path) -> None:
        if bundle_builder._interpreter(X86_64) is None:
            pytest.skip("no Python 3.13 on this machine")
        compiled = bundle / "s3_to_sftp" / "__pycache__" / "handler.cpython-313.pyc"
        unchecked_hash = 0b01  # PEP 552: hash-based, and not compared with the source
        assert compiled.read_bytes()[4] == unchecked_hash
        assert b"/var/task/s3_to_sftp/handler.py" in compiled.read_bytes()

    def test_goes_uncompiled_where_it_is_not(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(bundle_builder, "_find_interpreter", lambda python, path: None)
        monkeypatch.setattr(bundle_builder, "_install", lambda lock, output, target: None)
        bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.LOCAL)
        assert (tmp_path / "s3_to_sftp" / "handler.py").exists()
        assert list(tmp_path.rglob("*.pyc")) == []
        assert capsys.readouterr().err == (
            "No Python 3.13 here: the bundle has no compiled modules (slower cold start).\n"
        )

    def test_runs_on_the_interpreter_it_was_made_for(self, bundle: Path) -> None:
        interpreter = bundle_builder._interpreter(X86_64)
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


class TestFingerprint:
    @pytest.mark.parametrize("name", ["handler.py", "requirements.txt", "sftp/writer.py"])
    def test_changes_with_every_file_that_matters(self, source: Path, name: str) -> None:
        before = bundle_builder.fingerprint(source, X86_64)
        with (source / name).open("a") as file:
            file.write("\n")
        assert bundle_builder.fingerprint(source, X86_64) != before

    def test_changes_with_the_name_of_a_file(self, source: Path) -> None:
        before = bundle_builder.fingerprint(source, X86_64)
        (source / "handler.py").rename(source / "handlers.py")
        assert bundle_builder.fingerprint(source, X86_64) != before

    def test_changes_with_cpu_and_python_version(self) -> None:
        later = bundle_builder.Target(architecture="x86_64", python="3.14")
        assert len({bundle_builder.fingerprint(find_source(), each) for each in (X86_64, ARM64, later)}) == 3

    def test_changes_where_no_compiled_modules_are_shipped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if not bundle_builder.can_compile("3.13"):
            pytest.skip("no Python 3.13 on this machine")
        before = bundle_builder.fingerprint(find_source(), target_of(lambda_.Architecture.X86_64))
        monkeypatch.setattr(bundle_builder, "_find_interpreter", lambda python, path: None)
        assert bundle_builder.fingerprint(find_source(), target_of(lambda_.Architecture.X86_64)) != before
        in_docker = target_of(lambda_.Architecture.X86_64, bundling=Bundling.DOCKER)
        assert bundle_builder.fingerprint(find_source(), in_docker) == before

    def test_does_not_depend_on_where_the_source_is(self, source: Path) -> None:
        (source / "notes.txt").touch()
        assert bundle_builder.fingerprint(source, X86_64) == bundle_builder.fingerprint(find_source(), X86_64)

    def test_alone_names_the_asset(self, server: SftpServer) -> None:
        if not bundle_builder.can_compile("3.13"):
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


class TestBundling:
    def test_leaves_to_docker_what_this_machine_cannot_do_and_says_why(
        self, tmp_path: Path, no_installer: None, docker: list[Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.AUTO)
        assert docker == [tmp_path]
        assert capsys.readouterr().err == (
            "Cannot bundle the function on this machine: "
            f"there is no uv on the PATH, and {sys.executable} has neither uv nor pip.\nTrying Docker.\n"
        )

    def test_hands_docker_an_empty_directory(
        self, tmp_path: Path, docker: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail_halfway(source: Path, output: Path, target: bundle_builder.Target) -> None:
            (output / "boto3").mkdir()
            (output / "boto3" / "half.py").touch()
            (output / ".lock").touch()
            raise CannotBuild("the network went away.")

        monkeypatch.setattr(bundle_builder, "build", fail_halfway)
        bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.AUTO)
        assert docker == [tmp_path]
        assert list(tmp_path.iterdir()) == []

    def test_lets_docker_ship_what_this_machine_has_promised(
        self, tmp_path: Path, no_installer: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[bundle_builder.Target] = []
        monkeypatch.setattr(bundling, "_build_in_docker", lambda source, output, target: asked.append(target))
        monkeypatch.setattr(bundle_builder, "_find_interpreter", lambda python, path: None)
        for way in (Bundling.AUTO, Bundling.DOCKER):
            bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=way)
        assert [target.compiled for target in asked] == [False, True]

    def test_ends_with_both_reasons_where_docker_cannot_do_it_either(
        self, tmp_path: Path, no_installer: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_docker(source: Path, output: Path, target: bundle_builder.Target) -> None:
            raise CannotBuild("docker: not found")

        monkeypatch.setattr(bundling, "_build_in_docker", no_docker)
        with pytest.raises(CannotBuild) as caught:
            bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.AUTO)
        assert str(caught.value) == (
            "docker: not found\nWithout Docker it failed, too: "
            f"there is no uv on the PATH, and {sys.executable} has neither uv nor pip."
        )

    def test_fails_with_the_reason_where_docker_is_not_wanted(
        self, tmp_path: Path, no_installer: None, docker: list[Path]
    ) -> None:
        with pytest.raises(CannotBuild, match="there is no uv on the PATH"):
            bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.LOCAL)
        assert docker == []

    def test_asks_docker_alone_where_that_is_wanted(
        self, tmp_path: Path, docker: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bundle_builder, "build", None)
        bundling.bundle(tmp_path, architecture=lambda_.Architecture.X86_64, bundling=Bundling.DOCKER)
        assert docker == [tmp_path]

    def test_says_how_large_it_is_beside_what_lambda_takes(
        self, tmp_path: Path, three_megabytes: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bundler = bundling._Bundler(lambda_.Architecture.ARM_64, bundling.RUNTIME, Bundling.AUTO)
        bundler.try_bundle(str(tmp_path), None)
        assert capsys.readouterr().err == (
            "Bundled the function for Python 3.13 on arm64: 3 MB unzipped, Lambda's limit is 250.\n"
        )

    def test_tries_uvs_cache_and_then_pip_where_uv_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried: list[str] = []

        def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
            fails = "install" in command and "uv" in command
            if "install" in command:
                tried.extend(word for word in command if word in ("uv", "--offline", "-m"))
            return subprocess.CompletedProcess(command, returncode=int(fails), stdout="", stderr="no index")

        monkeypatch.setattr(bundle_builder, "_run", run)
        bundle_builder._install(tmp_path / "requirements.txt", tmp_path, X86_64)
        assert tried == ["uv", "uv", "--offline", "-m"]

    @pytest.mark.parametrize("installer", ["uv", "pip"])
    def test_runs_no_module_of_the_users_in_place_of_an_installer(
        self, installer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put_namesakes(tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PATH", "")  # no uv but the one that this interpreter has
        assert any(installer in each.command for each in bundle_builder._installers(X86_64))

    def test_runs_no_module_of_the_users_in_place_of_the_compiler(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if bundle_builder._interpreter(X86_64) is None:
            pytest.skip("no Python 3.13 on this machine")
        put_namesakes(tmp_path)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "output").mkdir()
        (tmp_path / "output" / "module.py").touch()
        bundle_builder._compile(tmp_path / "output", X86_64)
        assert (tmp_path / "output" / "__pycache__" / "module.cpython-313.pyc").exists()

    def test_reports_what_the_installers_say(self, source: Path, tmp_path: Path) -> None:
        (source / "requirements.txt").write_text("paramiko==5.1.0 --hash=sha256:" + "0" * 64)
        with pytest.raises(CannotBuild, match=r"(?s)Python 3.13 on x86_64 cannot be installed\..*[Hh]ash"):
            bundle_builder.build(source, tmp_path / "output", X86_64)

    def test_refuses_source_that_does_not_compile(self, source: Path, tmp_path: Path) -> None:
        if bundle_builder._interpreter(X86_64) is None:
            pytest.skip("no Python 3.13 on this machine")
        (source / "requirements.txt").write_text("")
        (source / "broken.py").write_text("def (")
        with pytest.raises(CannotBuild, match=r"(?s)cannot compile the bundle.*SyntaxError"):
            bundle_builder.build(source, tmp_path / "output", X86_64)


class TestDocker:
    def test_runs_the_same_recipe_and_gives_the_same_zip(self, source: Path, tmp_path: Path) -> None:
        (source / "requirements.txt").write_text("")
        in_docker = run_package(tmp_path / "docker.zip", CDK_DOCKER=str(stand_in(tmp_path, source)))
        assert in_docker.returncode == 0, in_docker.stderr
        (tmp_path / "local").mkdir()
        bundle_builder.build(source, tmp_path / "local", X86_64)
        write_zip(tmp_path / "local", tmp_path / "local.zip")
        assert (tmp_path / "docker.zip").read_bytes() == (tmp_path / "local.zip").read_bytes()

    def test_writes_as_the_user_and_on_windows_as_cdk_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert bundling._user() == f"{os.getuid()}:{os.getgid()}"
        monkeypatch.delattr(os, "getuid")
        monkeypatch.delattr(os, "getgid")
        assert bundling._user() == "1000:1000"

    def test_that_is_not_there_is_named_together_with_a_way_out(self, tmp_path: Path) -> None:
        done = run_package(tmp_path / "package.zip", CDK_DOCKER="no-such-command")
        assert done.returncode == 1
        _, _, reason = done.stderr.partition("Cannot bundle the function: ")
        assert "no-such-command" in reason
        assert done.stderr.endswith("'pip install uv', and make sure that it can reach the package index.\n")
        assert "Traceback" not in done.stderr


def stand_in(directory: Path, source: Path) -> Path:
    """A docker command that runs on this machine, on a source without dependencies, what the image would."""
    script = directory / "docker"
    script.write_text(f"""#!{sys.executable}
import subprocess, sys
image = sys.argv.index("public.ecr.aws/sam/build-python3.13")
volumes = [word.split(":") for word in sys.argv[1:image] if ":/" in word]
mounts = {{there: here for here, there, *_ in volumes}}
assert mounts["/source"] == {str(find_source())!r}
mounts["/source"] = {str(source)!r}
interpreter, recipe, *options = sys.argv[image + 1 :]
options = [option if there not in mounts else name + "=" + mounts[there]
           for option in options for name, _, there in [option.partition("=")]]
assert interpreter == "python3.13"
sys.exit(subprocess.run([sys.executable, mounts[recipe], *options]).returncode)
""")
    script.chmod(0o755)
    return script


class TestSource:
    def test_is_the_runtime_of_the_checkout(self) -> None:
        assert find_source() == REPOSITORY / "lambda_src" / "s3_to_sftp"

    def test_is_not_a_module_of_the_users_with_the_same_name(self, tmp_path: Path) -> None:
        put_namesakes(tmp_path)
        (tmp_path / "app.py").write_text(
            "from cdk_s3_to_sftp.bundling import find_source\nprint(find_source())"
        )
        done = subprocess.run(
            [sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{REPOSITORY / 'lambda_src' / 's3_to_sftp'}\n"

    def test_is_beside_the_construct_in_a_wheel(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        env = tmp_path / "env-packages"
        env.mkdir()
        source.rename(env / "s3_to_sftp")
        monkeypatch.setattr(bundling, "__file__", str(env / "cdk_s3_to_sftp" / "bundling.py"))
        assert find_source() == env / "s3_to_sftp"

    def test_is_found_without_being_imported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "s3_to_sftp", raising=False)
        assert find_source().name == "s3_to_sftp"
        assert "s3_to_sftp" not in sys.modules

    def test_that_is_missing_is_named(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(bundling, "__file__", str(tmp_path / "cdk_s3_to_sftp" / "bundling.py"))
        with pytest.raises(CannotBuild, match="reinstall the distribution cdk-s3-to-sftp"):
            find_source()


class TestPackage:
    def test_says_how_large_it_is_beside_what_lambda_takes(
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
    def test_is_made_for_every_runtime(
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

    def test_holds_what_the_asset_holds(self, bundle: Path, tmp_path: Path) -> None:
        write_zip(bundle, tmp_path / "package.zip")
        with zipfile.ZipFile(tmp_path / "package.zip") as archive:
            packed = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
        assert packed == hashes(bundle)

    def test_is_the_same_whenever_and_from_wherever_it_is_written(self, tmp_path: Path) -> None:
        for place, names in (("one", "ab"), ("two", "ba")):
            (tmp_path / place).mkdir()
            for name in names:
                (tmp_path / place / name).write_text(name)
        os.utime(tmp_path / "two" / "a", (0, 0))
        (tmp_path / "two" / "a").chmod(0o600)
        for place in ("one", "two"):
            write_zip(tmp_path / place, tmp_path / f"{place}.zip")
        assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()

    def test_can_be_read_by_lambda(self, tmp_path: Path) -> None:
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "handler.py").touch(mode=0o600)
        write_zip(tmp_path / "bundle", tmp_path / "package.zip")
        with zipfile.ZipFile(tmp_path / "package.zip") as archive:
            (entry,) = archive.infolist()
        assert stat.filemode(entry.external_attr >> 16) == "-rw-r--r--"
