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
