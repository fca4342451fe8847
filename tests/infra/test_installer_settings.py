"""Settings of pip and uv choose the package index and do not change the bundle otherwise."""

import functools
import hashlib
import http.server
import threading
import zipfile
from pathlib import Path

import pytest

from cdk_s3_to_sftp.bundle_builder import installation, programs
from cdk_s3_to_sftp.bundle_builder.target import CannotBuild
from tests.infra.conftest import X86_64

WHEEL = "parcel-1.0-py3-none-any.whl"

# Each of these settings made the installer fail or changed the bundle.
PIP_SETTINGS = {
    "user": "1",
    "prefix": "/nowhere",
    "root": "/nowhere",
    "require-virtualenv": "1",
    "dry-run": "1",
    "no-binary": ":all:",
    "constraint": "/nowhere/constraints.txt",
}
UV_SETTINGS = {
    "UV_CONSTRAINT": "/nowhere/constraints.txt",
    "UV_OVERRIDE": "/nowhere/overrides.txt",
    "UV_NO_BINARY": "1",
    "UV_EXCLUDE_NEWER": "2001-01-01",
    "UV_REQUIRE_HASHES": "0",
    "UV_SYSTEM_PYTHON": "1",
}


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A directory with one wheel, next to the lock file that names it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    about = "parcel-1.0.dist-info"
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr("parcel.py", "")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: parcel\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", f"parcel.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n")
    digest = hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest()
    (tmp_path / "lock.txt").write_text(f"parcel==1.0 --hash=sha256:{digest}\n")
    return folder


@pytest.fixture
def output(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that installers install into. They have no index except the one of the test."""
    for name in ("PIP_CONFIG_FILE", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    return tmp_path / "output"


def use_only(installer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = programs.answers
    monkeypatch.setattr(
        programs,
        "answers",
        lambda command, **given: installer in command and answers(command, **given),
    )


@pytest.mark.parametrize("where", ["variables", "file"])
def test_pip_settings_do_not_affect_the_bundle(
    where: str, output: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_only("pip", monkeypatch)
    settings = {**PIP_SETTINGS, "find-links": str(wheels), "no-index": "1"}
    if where == "file":
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (tmp_path / "pip.conf").write_text("\n".join(["[global]", "user = true", "[install]", *lines]))
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    else:
        for name, value in settings.items():
            monkeypatch.setenv(f"PIP_{name.upper().replace('-', '_')}", value)
    installation.install(tmp_path / "lock.txt", output, X86_64)
    assert (output / "parcel.py").is_file()


def test_uv_variables_do_not_affect_the_bundle(
    output: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_only("uv", monkeypatch)
    for name, value in {**UV_SETTINGS, "UV_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1"}.items():
        monkeypatch.setenv(name, value)
    installation.install(tmp_path / "lock.txt", output, X86_64)
    assert (output / "parcel.py").is_file()


def test_override_in_pyproject_toml_is_refused_by_the_hashes(
    output: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv reads the `pyproject.toml` next to app.py, which may name the index. The hashes still apply."""
    use_only("uv", monkeypatch)
    project = "[project]\nname = 'app'\nversion = '1'\n[tool.uv]\noverride-dependencies = ['parcel==2.0']\n"
    (tmp_path / "pyproject.toml").write_text(project)
    other = (wheels / WHEEL).rename(wheels / WHEEL.replace("1.0", "2.0"))
    with zipfile.ZipFile(other, "a") as wheel:
        about = "Metadata-Version: 2.1\nName: parcel\nVersion: 2.0\n"
        wheel.writestr("parcel-2.0.dist-info/METADATA", about)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UV_NO_CONFIG")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    with pytest.raises(CannotBuild, match="Hash-checking is enabled"):
        installation.install(tmp_path / "lock.txt", output, X86_64)


def test_no_index_is_ignored_without_another_package_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    *_, pip = installation.installers(X86_64)
    assert pip.variables["PIP_NO_INDEX"] == "0"
    assert pip.variables["PIP_INDEX_URL"] == "https://index.example/simple"


class _Index(http.server.SimpleHTTPRequestHandler):
    """A package index whose responses must be revalidated each time."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=0, must-revalidate")
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def test_warm_cache_installs_without_a_network(
    output: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_only("uv", monkeypatch)
    (tmp_path / "simple" / "parcel").mkdir(parents=True)
    (wheels / WHEEL).rename(tmp_path / "simple" / "parcel" / WHEEL)
    handler = functools.partial(_Index, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as index:
        threading.Thread(target=index.serve_forever, daemon=True).start()
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{index.server_port}/simple")
        installation.install(tmp_path / "lock.txt", tmp_path / "before", X86_64)
        index.shutdown()
    installation.install(tmp_path / "lock.txt", output, X86_64)
    assert (output / "parcel.py").is_file()
