"""What has to be true before a version is published, besides that it works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packaging.version import InvalidVersion, Version

from release import changelog
from release.project import NotReady, is_placeholder


def obstacles(
    tag: str,
    *,
    version: str,
    address: str,
    changes: str,
    links: Sequence[str] = (),
    unlisted: Sequence[str] = (),
) -> Iterator[str]:
    """Yield a sentence for each thing that is in the way of publishing `version` as `tag`.

    Args:
        tag: The tag of the release.
        version: That of pyproject.toml.
        address: Where the repository is, as pyproject.toml has it.
        changes: The text of the changelog.
        links: What else in pyproject.toml leads to the repository.
        unlisted: What the version has and the list of what is promised has not.
    """
    if tag != f"v{version}":
        yield f"The tag is {tag} and pyproject.toml has {version}: tag v{version}, or change the version."
    try:
        canonical = str(Version(version))
    except InvalidVersion:
        yield f"{version} is no version (PEP 440): such as 1.0.0rc1, 1.0.0 or 1.0.1."
    else:
        if canonical != version:
            yield f"An index would call {version} {canonical}: write it so in pyproject.toml."
    try:
        changelog.section_of(version, changes)
    except NotReady as reason:
        yield str(reason)
    if unlisted:
        yield (
            f"docs/reference/public-api.txt lacks `{unlisted[0]}`, the first of {len(unlisted)}: "
            "`python -m release.public_api` adds what is new, so that the next version keeps it."
        )
    if is_placeholder(address):
        yield (
            f"{address} is a placeholder: write the address of the repository into pyproject.toml "
            "(project.urls, and the substitutions of the README)."
        )
    for each in links:
        if not each.startswith(f"{address}/") and each != address:
            yield f"{each} is not in {address}: one replacement in pyproject.toml has to reach all."
