"""Local links in the pages at the top, the docs, the examples and the templates of the forge."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    *REPOSITORY.glob("*.md"),
    *(REPOSITORY / ".github").rglob("*.md"),
    *(REPOSITORY / "examples").rglob("*.md"),
    *(REPOSITORY / "docs").rglob("*.md"),
]


def anchors_of(page: Path) -> set[str]:
    """The anchors that a forge makes of the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = sum(each == anchor or re.fullmatch(rf"{anchor}-\d+", each) is not None for each in found)
        found.append(f"{anchor}-{again}" if again else anchor)
    return set(found)


def link_targets(page: Path) -> list[str]:
    """Return the link targets of the page without their anchors."""
    return [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_local_link_resolves(page: Path) -> None:
    broken = [
        link
        for link in link_targets(page)
        if link and "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_anchor_exists(page: Path) -> None:
    """The site is built without the README and the templates of the forge, and so does not look at theirs."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+#[^)\s]+|#[^)\s]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if "://" not in link and target.suffix == ".md" and anchor not in anchors_of(target):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    """On a forge there is no navigation beside the pages."""
    reached, ahead = set[Path](), [REPOSITORY / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        ahead += [(page.parent / link).resolve() for link in link_targets(page) if "://" not in link]
    forms = REPOSITORY / ".github"
    assert [str(each) for each in PAGES if each not in reached and forms not in each.parents] == []
