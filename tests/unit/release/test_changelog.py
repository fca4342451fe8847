"""The changelog, and what it takes to publish a version."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cdk_s3_to_sftp
from release import changelog
from release.__main__ import main
from release.assets import compiler
from release.project import REPOSITORY, NotReady, address, is_placeholder, links, version
from release.readiness import obstacles
from s3_to_sftp_cli.main import cli

TEXT = """# Changelog

## [Unreleased]

## [1.1.0] - 2027-02-01

### Added
- More.

## [1.0.0] - 2027-01-01

### Added
- All.
"""
ADDRESS = "https://forge.somewhere.org/team/project"


def obstacles_of(tag: str, **arguments: Any) -> list[str]:
    given = {"version": "1.1.0", "address": ADDRESS, "changes": TEXT, **arguments}
    return list(obstacles(tag, **given))


class TestVersion:
    def test_package_and_command_have_the_version_of_pyproject(self) -> None:
        assert cdk_s3_to_sftp.__version__ == version()
        assert CliRunner().invoke(cli, ["--version"]).output == f"s3-to-sftp, version {version()}\n"

    def test_no_other_file_of_the_distribution_has_it(self) -> None:
        sources = [*(REPOSITORY / "infra").rglob("*.py"), *(REPOSITORY / "cli").rglob("*.py")]
        sources += (REPOSITORY / "lambda_src").rglob("*.py")
        assert [path for path in sources if version() in path.read_text()] == []
        assert len(sources) > 100


class TestChangelog:
    def test_newest_version_is_that_of_pyproject(self) -> None:
        newest = next(each for each in changelog.sections() if each.version != "Unreleased")
        assert newest.version == version()

    def test_sections_are_in_order_of_their_dates(self) -> None:
        unreleased, *released = changelog.sections()
        assert unreleased.version == "Unreleased"
        dates = [each.released for each in released if each.released]
        assert len(dates) == len(released) > 0
        assert dates == sorted(dates, reverse=True)

    def test_headings_are_those_of_keep_a_changelog(self) -> None:
        for each in changelog.sections():
            kinds = re.findall(r"^### (.*)$", each.text, re.MULTILINE)
            assert kinds == sorted(set(kinds), key=changelog.KINDS.index), each.version
            assert not re.findall(r"^#{4,} ", each.text, re.MULTILINE)

    def test_section_has_version_day_and_text(self) -> None:
        assert [each.version for each in changelog.sections(TEXT)] == ["Unreleased", "1.1.0", "1.0.0"]
        found = changelog.section_of("1.0.0", TEXT)
        assert (found.released, found.text) == (date(2027, 1, 1), "### Added\n- All.")

    def test_links_of_the_notes_lead_to_the_tag(self) -> None:
        text = "## [1.0.0] - 2027-01-01\n\nRead [this](docs/a.md#b) and [that](https://somewhere.org)."
        assert changelog.notes(changelog.section_of("1.0.0", text), ADDRESS) == (
            f"Read [this]({ADDRESS}/blob/v1.0.0/docs/a.md#b) and [that](https://somewhere.org).\n"
        )

    def test_notes_name_the_compiler_on_which_the_bytes_of_the_function_depend(self) -> None:
        notes = changelog.notes(changelog.section_of("1.0.0", TEXT), ADDRESS, compiler=compiler())
        assert (
            re.search(r"\n\nThe function is compiled by Python 3\.13\.\d+\S*\.\n$", notes) or not compiler()
        )

    def test_heading_of_another_form_is_refused(self) -> None:
        with pytest.raises(NotReady, match=r"`## Version one` in CHANGELOG\.md names no version"):
            changelog.sections("## Version one\ntext")


class TestReadiness:
    def test_nothing_is_in_the_way(self) -> None:
        assert obstacles_of("v1.1.0") == []

    @pytest.mark.parametrize(
        ("tag", "arguments", "sentence"),
        [
            ("v1.2.0", {}, "The tag is v1.2.0 and pyproject.toml has 1.1.0"),
            ("1.1.0", {}, "The tag is 1.1.0 and pyproject.toml has 1.1.0: tag v1.1.0"),
            ("v1.2.0", {"version": "1.2.0"}, "CHANGELOG.md says nothing about 1.2.0"),
            ("v1.1.0", {"changes": TEXT.replace(" - 2027-02-01", "")}, "does not say when 1.1.0 is released"),
            ("v1.0-rc1", {"version": "1.0-rc1"}, "An index would call 1.0-rc1 1.0rc1"),
            ("vone", {"version": "one"}, "one is no version"),
            ("v1.1.0", {"unlisted": ["f(x=)", "g"]}, "public-api.txt lacks `f(x=)`, the first of 2"),
            ("v1.1.0", {"address": "https://forge.example/x"}, "https://forge.example/x is a placeholder"),
            (
                "v1.1.0",
                {"links": [f"{ADDRESS}/a", "https://forge.example/x/b"]},
                "https://forge.example/x/b is not",
            ),
        ],
    )
    def test_each_obstacle_is_named(self, tag: str, arguments: dict[str, Any], sentence: str) -> None:
        found = obstacles_of(tag, **arguments)
        assert any(sentence in each for each in found), found

    @pytest.mark.parametrize(
        ("url", "is_one"),
        [
            ("https://forge.example/x", True),
            ("https://example.com/x", True),
            ("https://github.com/example/x", False),
            ("https://sample.org/x", False),
        ],
    )
    def test_placeholders_are_hosts_that_nobody_can_own(self, url: str, *, is_one: bool) -> None:
        assert is_placeholder(url) is is_one

    def test_release_that_must_not_be_published_is_not_built(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = tmp_path / "release"
        monkeypatch.setattr(sys, "argv", ["release", "check", f"--output={output}", "--tag=v0.0.1"])
        with pytest.raises(SystemExit, match=r"Not ready: The tag is v0\.0\.1 and pyproject\.toml has"):
            main()
        assert not output.exists()

    def test_address_of_the_repository_stands_in_one_form(self) -> None:
        """Links of the long description cannot refer to it: one replacement in the file has to reach all."""
        assert len(links()) == 6
        assert [each for each in links() if not each.startswith(address())] == []
