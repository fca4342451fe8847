"""CHANGELOG.md, by Keep a Changelog 1.1.0: one section for each version, the newest first."""

import re
from dataclasses import dataclass
from datetime import date

from release.project import REPOSITORY, NotReady

PATH = REPOSITORY / "CHANGELOG.md"

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""The headings that a section may have."""

_SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
_HEADING = re.compile(r"\[?(?P<version>[^\]\s]+)\]?(?: - (?P<date>\d{4}-\d{2}-\d{2}))?")


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one version changed.

    Attributes:
        version: Such as `1.0.0`, or `Unreleased`.
        released: The day of its release; None: it has none yet.
        text: What stands below its heading.
    """

    version: str
    released: date | None
    text: str


def sections(text: str | None = None) -> list[Section]:
    """Return the sections of the changelog in their order.

    Raises:
        NotReady: A heading is none of a version.
    """
    parts = _SECTION.split(PATH.read_text() if text is None else text)[1:]
    return [_section(*each) for each in zip(parts[::2], parts[1::2], strict=True)]


def section_of(version: str, text: str | None = None) -> Section:
    """Return what the changelog says about a version.

    Raises:
        NotReady: It says nothing, or does not say when the version was released.
    """
    found = next((each for each in sections(text) if each.version == version), None)
    if found is None or not found.text:
        raise NotReady(
            f"CHANGELOG.md says nothing about {version}: rename its section Unreleased to "
            f"`## [{version}] - YYYY-MM-DD`."
        )
    if found.released is None:
        raise NotReady(
            f"CHANGELOG.md does not say when {version} is released: `## [{version}] - YYYY-MM-DD`."
        )
    return found


def notes(section: Section, address: str, *, compiler: str = "") -> str:
    """Return the text for the page of the release, where links to files have to be absolute.

    Args:
        section: What the changelog says of the version.
        address: Where the repository is.
        compiler: The Python that has compiled the function, whose bytes depend on it; empty: none has.
    """
    base = f"{address}/blob/v{section.version}"
    text = re.sub(r"\]\((?!https?://|#)([^)]+)\)", rf"]({base}/\1)", section.text)
    compiled = f"\n\nThe function is compiled by Python {compiler}." if compiler else ""
    return f"{text}{compiled}\n"


def _section(heading: str, text: str) -> Section:
    named = _HEADING.fullmatch(heading.strip())
    if named is None:
        raise NotReady(f"`## {heading}` in CHANGELOG.md names no version: `## [1.2.3] - YYYY-MM-DD`.")
    day = named["date"]
    return Section(
        version=named["version"], released=date.fromisoformat(day) if day else None, text=text.strip()
    )
