"""The sdist and the wheel: reproducible, complete, and with a description that an index accepts."""

import re
import shutil
from pathlib import Path

import pytest

from release.distributions import (
    build,
    check_metadata,
    copy_elsewhere,
    description,
    require_absolute_links,
    require_same_bytes,
)
from release.project import NotReady
from tests.infra.conftest import REPOSITORY


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel built out of it."""
    return build(REPOSITORY, tmp_path_factory.mktemp("dist"))


def test_folder_times_and_modes_do_not_change_a_byte(
    distributions: tuple[Path, Path], tmp_path: Path
) -> None:
    again = build(copy_elsewhere(tmp_path / "copy"), tmp_path / "dist")
    require_same_bytes(distributions, again)


def test_different_bytes_are_found(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    sdist, wheel = distributions
    other = Path(shutil.copy(wheel, tmp_path))
    other.write_bytes(wheel.read_bytes() + b"\n")
    with pytest.raises(NotReady, match=wheel.name):
        require_same_bytes([sdist, wheel], [sdist, other])


def test_index_accepts_the_metadata_and_its_links_work_there(distributions: tuple[Path, Path]) -> None:
    check_metadata(distributions)
    assert require_absolute_links(description(distributions[1])) > 20


def test_long_description_is_the_readme_but_for_its_links(distributions: tuple[Path, Path]) -> None:
    def without_links(text: str) -> str:
        return re.sub(r'\]\([^)]+\)|(src|srcset)="[^"]+"', "", text).strip()

    readme = (REPOSITORY / "README.md").read_text()
    assert without_links(description(distributions[1])) == without_links(readme)


@pytest.mark.parametrize(
    "text",
    ["[page](docs/index.md)", "![picture](docs/x.svg)", '<img src="docs/x.svg">', "[part](#nowhere)"],
)
def test_link_that_works_only_in_the_repository_is_found(text: str) -> None:
    with pytest.raises(NotReady, match="Links that work only in the repository"):
        require_absolute_links(f"# Title\n\n{text}\n")


def test_links_to_other_sites_and_to_headings_work(distributions: tuple[Path, Path]) -> None:
    assert (
        require_absolute_links("# Title\n\n[elsewhere](https://forge.example/x)\n") == 2
    )  # the heading's own


def test_every_form_of_link_is_made_absolute(tmp_path: Path) -> None:
    """What the README may have some day: pictures in Markdown and in HTML, badges that link."""
    copy = copy_elsewhere(tmp_path / "copy")
    with (copy / "README.md").open("a") as readme:
        readme.write("![a](docs/a.svg) [![b](docs/b.svg)](docs/b.md)\n\n")
        readme.write('<picture><source srcset="docs/d.svg"><img src="docs/c.svg" alt="c"></picture>\n')
    _, wheel = build(copy, tmp_path / "dist")
    text = description(wheel)
    require_absolute_links(text)
    base = "https://forge.example/cdk-s3-to-sftp"
    assert [f"{base}/raw/v" in line for line in text.splitlines() if "svg" in line and "docs/" in line][
        -2:
    ] == [True] * 2
    assert 'srcset="https://' in text


def test_folders_of_the_build_are_not_in_the_sdist(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.unpack_archive(distributions[0], tmp_path)
    (root,) = tmp_path.iterdir()
    assert {each.name for each in root.iterdir()} == {
        "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "cli", "infra", "lambda_src", "pyproject.toml",
        ".gitignore",
    }  # fmt: skip
