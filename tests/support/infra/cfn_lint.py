"""What cfn-lint says about a template. It is imported when a template is there: that takes half a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

IMPLIED_DEPENDENCY = "W3005"
"""CDK writes dependencies that a reference implies anyway."""


def reported(template: str, *, ignored: Sequence[str] = (IMPLIED_DEPENDENCY,)) -> list[Any]:
    """Return what cfn-lint reports, but for the ignored rules."""
    from cfnlint import api  # type: ignore[import-untyped]  # it ships no types

    found: list[Any] = api.lint(
        template, config=api.ManualArgs(ignore_checks=[*ignored], regions=["eu-west-1"])
    )
    return found
