"""The bundle cache: outside cdk.out, never partial, and never a reason for a synth to fail."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from aws_cdk import aws_lambda as lambda_

from cdk_s3_to_sftp import Bundling, bundle_builder, bundle_cache, bundling
from cdk_s3_to_sftp.bundle_builder import compilation, installation
from cdk_s3_to_sftp.bundle_builder.target import MANIFEST, Target
from cdk_s3_to_sftp.bundling import find_source
from tests.infra.conftest import X86_64
from tests.support.infra.bundles import hashes

FINGERPRINT = bundle_builder.fingerprint(find_source(), X86_64)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(bundle_cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that the builder filled. Dependencies are replaced by one empty file."""
    directories: list[Path] = []

    def install(lock: Path, output: Path, target: Target) -> None:
        directories.append(output)
        (output / "dependency.py").touch()

    monkeypatch.setattr(installation, "install", install)
    monkeypatch.setattr(compilation, "compile_modules", lambda output, target: None)
    return directories


def synth(output: Path) -> Path:
    """Bundle as CDK does when cdk.out has no asset with this hash."""
    output.mkdir()
    bundler = bundling._Bundler(bundling.target_of(lambda_.Architecture.X86_64), Bundling.LOCAL)
    assert bundler.try_bundle(str(output), None)
    return output


def modes_and_times(directory: Path) -> dict[str, tuple[int, float]]:
    return {
        str(path.relative_to(directory)): (path.stat().st_mode, path.stat().st_mtime)
        for path in directory.rglob("*")
    }


def test_second_synth_uses_the_cached_bundle(cache: Path, built: list[Path], tmp_path: Path) -> None:
    first, second = synth(tmp_path / "one"), synth(tmp_path / "two")
    assert built == [first]
    assert hashes(second) == hashes(first)
    assert modes_and_times(second) == modes_and_times(first)
    assert [path.name for path in cache.iterdir()] == [f"{FINGERPRINT}.zip"]


def test_bundle_with_another_fingerprint_is_not_used(cache: Path, built: list[Path], tmp_path: Path) -> None:
    first = synth(tmp_path / "one")
    (cache / f"{FINGERPRINT}.zip").rename(cache / "other.zip")
    assert built == [first, synth(tmp_path / "two")]


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "empty", "another bundle"])
def test_corrupt_cached_bundle_is_rebuilt_and_replaced(
    damage: str, cache: Path, built: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = synth(tmp_path / "one")
    kept = cache / f"{FINGERPRINT}.zip"
    whole = kept.read_bytes()
    if damage == "truncated":
        kept.write_bytes(whole[: len(whole) // 2])
    elif damage == "overwritten":
        kept.write_bytes(whole[:100] + bytes(len(whole) // 2) + whole[100 + len(whole) // 2 :])
    elif damage == "empty":
        kept.write_bytes(b"")
    else:
        bundle_cache.keep("other", first)
        (cache / "other.zip").replace(kept)
        (first / MANIFEST).write_text('{"fingerprint": "other"}')
        bundle_cache.keep(FINGERPRINT, first)
        first = synth(tmp_path / "whole")
        built.pop()
    second = synth(tmp_path / "two")
    assert hashes(second) == hashes(first)
    assert f"Cannot use the bundle {kept}" in capsys.readouterr().err
    third = synth(tmp_path / "three")
    assert third not in built


def test_parallel_synths_never_read_a_partial_bundle(cache: Path, built: list[Path], tmp_path: Path) -> None:
    outputs = [tmp_path / str(number) for number in range(8)]

    def without_cdk(output: Path) -> None:  # whose Node process handles one call at a time
        output.mkdir()
        if not bundle_cache.take(FINGERPRINT, output):
            bundle_builder.build(find_source(), output, X86_64)
            bundle_cache.keep(FINGERPRINT, output)

    synths = [threading.Thread(target=without_cdk, args=(output,)) for output in outputs]
    for each in synths:
        each.start()
    for each in synths:
        each.join()
    expected = hashes(synth(tmp_path / "last"))
    assert [hashes(output) for output in outputs] == [expected] * 8
    assert [path.name for path in cache.iterdir()] == [f"{FINGERPRINT}.zip"]


@pytest.mark.parametrize("place", ["", "{file}/cache"])
def test_bundle_is_built_without_a_usable_cache_directory(
    place: str, built: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(bundle_cache.VARIABLE, place.format(file=tmp_path / "file"))
    synth(tmp_path / "one")
    synth(tmp_path / "two")
    assert len(built) == 2


def test_missing_home_directory_disables_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(cls: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(bundle_cache.VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(no_home))
    assert bundle_cache.take(FINGERPRINT, tmp_path) is None
    bundle_cache.keep(FINGERPRINT, tmp_path)


@pytest.mark.parametrize(
    ("system", "place"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")],
)
def test_cache_directory_follows_the_convention_of_the_system(
    system: str, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (bundle_cache.VARIABLE, "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    assert bundle_cache._directory() == tmp_path / place / "cdk-s3-to-sftp"


def test_home_directory_is_found_where_no_shell_has_expanded_it(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(bundle_cache.VARIABLE, "~/kept")
    bundle_cache.keep(FINGERPRINT, bundle)
    assert [path.name for path in (tmp_path / "kept").glob("*.zip")] == [f"{FINGERPRINT}.zip"]


def test_cache_evicts_old_bundles_and_abandoned_directories(
    cache: Path, built: list[Path], tmp_path: Path
) -> None:
    cache.mkdir()
    now = time.time()
    for age in range(12):
        (cache / f"{age}.zip").touch()
        os.utime(cache / f"{age}.zip", (now - 60 * age - 60,) * 2)
    for name, age in (("unfinished-old", 90_000), ("unfinished-new", 60)):
        (cache / name).mkdir()
        (cache / name / "bundle.zip").touch()
        os.utime(cache / name, (now - age,) * 2)
    synth(tmp_path / "one")
    left = {path.name for path in cache.iterdir()}
    assert left == {f"{FINGERPRINT}.zip", *(f"{age}.zip" for age in range(9)), "unfinished-new"}


def test_app_in_another_directory_uses_the_cache(cache: Path, bundle: Path, tmp_path: Path) -> None:
    bundle_cache.keep(FINGERPRINT, bundle)
    app = tmp_path / "app.py"
    app.write_text((find_source().parents[1] / "examples" / "minimal" / "app.py").read_text())
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, app],
        cwd=tmp_path,
        env={**os.environ, "CDK_OUTDIR": str(tmp_path / "out"), "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Took the bundle of the function for Python 3.13 on x86_64 from {cache}" in done.stderr
    (asset,) = (path for path in (tmp_path / "out").glob("asset.*") if path.is_dir())
    assert hashes(asset) == hashes(bundle)


def test_layer_is_cached_apart_from_the_function(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = bundling.layer_target_of(lambda_.Architecture.X86_64)
    built = []
    for number in range(2):
        output = tmp_path / str(number)
        output.mkdir()
        assert bundling._Bundler(target, Bundling.LOCAL).try_bundle(str(output), None)
        built.append(hashes(output))
        monkeypatch.setattr(bundling, "build", None)
    assert built[0] == built[1]
    assert any(name.startswith("python/pysequoia/") for name in built[0])
    assert [each.stem for each in cache.iterdir()] == [
        bundle_builder.fingerprint(bundling.find_source(), target)
    ]
