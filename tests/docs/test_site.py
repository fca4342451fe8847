"""The documentation site is built strictly, has the whole API, and needs no network."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pygments.styles import get_style_by_name
from pygments.token import Whitespace

import cdk_s3_to_sftp
from cdk_s3_to_sftp import profiles

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = REPOSITORY / "docs" / "site"
STRICT = ("-q", "--fresh-env", "--fail-on-warning", "--keep-going")


def build(source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", *STRICT, "--conf-dir", str(CONFIGURATION)]
    return subprocess.run(
        [*command, "--doctree-dir", str(output / "doctrees"), str(source), str(output / "site")],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once for all tests."""
    output = tmp_path_factory.mktemp("build")
    built = build(REPOSITORY, output)
    assert built.returncode == 0, built.stderr
    return output / "site"


def test_make_docs_is_as_strict_as_this_test() -> None:
    assert " ".join(STRICT) in (REPOSITORY / "Makefile").read_text()


def test_first_page_leads_to_the_home_page(site: Path) -> None:
    (target,) = re.findall(r"url=([^\"]+)", (site / "index.html").read_text())
    assert "<h1>S3 to SFTP" in (site / target).read_text()


def test_every_public_name_is_documented(site: Path) -> None:
    pages = "".join(page.read_text() for page in sorted((site / "docs/reference/api").glob("*.html")))
    text = words_of(pages)
    for module in (cdk_s3_to_sftp, profiles):
        for name in set(module.__all__) - {"profiles"}:
            assert re.search(rf'id="[\w.]+\.{name}"', pages), name
            promise = str(getattr(module, name).__doc__).split("\n")[0]
            assert words_of(promise)[:40] in text, name


def words_of(page: str) -> str:
    """What a page says, without tags and quotation marks, which Sphinx makes typographic."""
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    return re.sub(r"[`'\"\s\u2018-\u201d]+", " ", text).strip()


FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|icon|preconnect))[^>]*\bhref=["']?(?:https?:)?//[^>]*>"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//"""
)
"""What a browser fetches from elsewhere without being asked. A link that a reader may follow is none."""


def fetches(folder: Path) -> Iterator[str]:
    for page in (each for each in sorted(folder.rglob("*")) if each.suffix in {".html", ".css", ".svg"}):
        yield from (f"{page.relative_to(folder)}: {found}" for found in FETCHED.findall(page.read_text()))


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    assert list(fetches(site)) == []


@pytest.mark.parametrize(
    "markup",
    [
        '<script async src="https://cdn.example/x.js"></script>',
        '<img alt="" src="//badges.example/x.svg">',
        '<link href="https://fonts.example/css" rel="stylesheet">',
        '<style>@import "https://fonts.example/x.css";</style>',
        "<style>a { background: url(https://cdn.example/x.png) }</style>",
    ],
)
def test_fetch_from_elsewhere_is_noticed(tmp_path: Path, markup: str) -> None:
    (tmp_path / "page.html").write_text(markup)
    assert len(list(fetches(tmp_path))) == 1


def luminance(colour: str) -> float:
    """Of a colour such as `3d7b7b` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("setting", ["pygments_style", "pygments_dark_style"])
def test_code_is_readable(setting: str) -> None:
    """As the pages around it: 4.5 to 1. Comments in transcripts say what to do."""
    (name,) = re.findall(rf'^{setting} = "(.+)"$', (CONFIGURATION / "conf.py").read_text(), re.MULTILINE)
    style = get_style_by_name(name)
    faint = {}
    for token, look in style:
        if look["color"] and token is not Whitespace:
            behind = look["bgcolor"] or style.background_color.lstrip("#")
            darker, lighter = sorted((luminance(behind), luminance(look["color"])))
            faint[str(token)] = (lighter + 0.05) / (darker + 0.05)
    assert {token: contrast for token, contrast in faint.items() if contrast < 4.5} == {}


_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

WIDE = (
    "index",
    "how-it-works",
    "glossary",
    "guides/operate",
    "reference/configuration",
    "reference/api/rules",
)
"""Pages with pictures, tables, transcripts and signatures."""


@pytest.mark.skipif(_CHROMIUM is None, reason="chromium is missing: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1440])
def test_no_page_scrolls_sideways(site: Path, tmp_path: Path, width: int) -> None:
    # Frames of that width: a browser's own window has a least one.
    frames = "".join(
        f'<iframe style="width: {width}px" src="{(site / "docs" / name).as_uri()}.html"></iframe>'
        for name in WIDE
    )
    script = """
      addEventListener("load", () => {
        const frames = [...document.querySelectorAll("iframe")];
        const pages = frames.map(each => each.contentDocument.documentElement);
        const text = page => page.querySelector(".content");  // on a narrow screen it scrolls by itself
        document.title = JSON.stringify(pages.map(page => [
          Math.max(page.scrollWidth, page.clientWidth + text(page).scrollWidth - text(page).clientWidth),
          page.clientWidth,
        ]));
      });"""
    page = tmp_path / "frames.html"
    page.write_text(f"<!doctype html><title></title><script>{script}</script>{frames}")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    shown = subprocess.run(
        [str(_CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        check=True,
        capture_output=True,
        text=True,
    )
    found = re.search("<title>(.+?)</title>", shown.stdout)
    assert found, shown.stdout[:500]
    too_wide = {
        name: (needed, had)
        for name, (needed, had) in zip(WIDE, json.loads(html.unescape(found[1])), strict=True)
        if needed > had or had not in range(width - 20, width + 1)
    }
    assert too_wide == {}


MISTAKES = {
    "docs/guides/no-page.md": ("[there](nowhere.md)", "'nowhere.md'"),
    "docs/guides/no-anchor.md": ("[there](#nowhere)", "'nowhere'"),
    "docs/guides/no-anchor-there.md": ("[there](no-anchor.md#nowhere)", "'nowhere'"),
    "docs/guides/no-file.md": ("[there](../../nowhere/app.py)", "'../../nowhere/app.py'"),
    "docs/guides/no-picture.md": ("![there](nowhere.svg)", "nowhere.svg"),
    "docs/elsewhere/not-in-navigation.md": ("", "isn't included in any toctree"),
    # Sphinx does not say which page names what does not exist.
    "docs/guides/no-name.md": ("```{eval-rst}\n.. autoclass:: cdk_s3_to_sftp.Nowhere\n```", "'Nowhere'"),
}
"""Page -> its only mistake, and what the line of the build's complaint has."""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The warnings of a build of pages with one mistake each."""
    source = tmp_path_factory.mktemp("pages")
    for name, text in {"docs/index.md": "", **{name: text for name, (text, _) in MISTAKES.items()}}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(f"# A page\n\n{text}\n")
    built = build(source, tmp_path_factory.mktemp("build"))
    assert built.returncode == 1
    return [line for line in built.stderr.splitlines() if "WARNING" in line]


@pytest.mark.parametrize("page", MISTAKES)
def test_mistake_in_a_page_fails_the_build(complaints: list[str], page: str) -> None:
    _, expected = MISTAKES[page]
    where = "" if page.endswith("no-name.md") else f"/{page}"
    assert len([each for each in complaints if where in each and expected in each]) == 1, complaints
