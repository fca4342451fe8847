"""The doctor's report for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from s3_to_sftp.doctor.report import BREAKER_CHECK, PAUSE, Outcome
from s3_to_sftp_cli.doctor_checks import CONCURRENCY, NOTIFICATION, TRIGGER
from s3_to_sftp_cli.layout import labelled, printable

_MARKS = {
    Outcome.OK.value: ("✓", "green"),
    Outcome.WARNING.value: ("!", "yellow"),
    Outcome.FAILED.value: ("✗", "bold red"),
    Outcome.NOT_TRIED.value: ("–", "dim"),  # noqa: RUF001 - a dash is what is meant
}
_NAME_COLUMNS = 12
_INDENT = _NAME_COLUMNS + 3
_WHOLE = 1_000_000
"""Columns where the output is no terminal: what reads it wants whole lines."""

_HOLDS = {
    PAUSE: "deliveries are paused: nothing is delivered",
    TRIGGER: "the trigger is off: nothing is delivered",
    CONCURRENCY: "the function may not run: nothing is delivered",
    NOTIFICATION: "new objects are not seen",
}


def print_check(console: Console, check: Mapping[str, Any]) -> None:
    """Print a check: a line, and below it what to do or to write to the partner."""
    mark, style = _MARKS.get(check["outcome"], ("?", ""))
    line = _line(console, f"{mark} {printable(check['name']).ljust(_NAME_COLUMNS)} ", _text(check))
    line.stylize(style, 0, 1)
    console.print(line)
    if check["outcome"] == Outcome.OK.value:
        return
    for sign, text in (("→", check["advice"]), ("✉", check["to_partner"])):
        if text:
            console.print(_line(console, f"{' ' * _INDENT}{sign} ", printable(text)))


def print_summary(console: Console, report: Mapping[str, Any], *, write: bool, retry: str) -> None:
    """Print the last line, so that nobody leaves and believes that files flow when they do not.

    Args:
        console: Where to.
        report: As JSON values.
        write: Whether writing was asked for.
        retry: The command to type when the circuit breaker is open.
    """
    text, style = _summary(report, write=write, retry=retry)
    summary = _line(console, "", text)
    summary.stylize(style)
    console.print(summary)


def _line(console: Console, label: str, text: str) -> Text:
    width = console.width if console.is_terminal else _WHOLE
    return labelled(label, [text], width=width, label_width=len(label))


def _text(check: Mapping[str, Any]) -> str:
    text = printable(check["text"])
    if check["outcome"] != Outcome.NOT_TRIED.value:
        return text
    return f"not tried {text}" if text.startswith("(") else f"not tried: {text}"


def _summary(report: Mapping[str, Any], *, write: bool, retry: str) -> tuple[str, str]:
    seconds = f"({sum(check['seconds'] for check in report['checks']):.0f} s)"
    names: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
    for check in report["checks"]:
        names[Outcome(check["outcome"])].append(check["name"])
    holds = [_HOLDS[name] for name in names[Outcome.WARNING] if name in _HOLDS]
    if failed := names[Outcome.FAILED]:
        return "; ".join([f"{', '.join(failed)} failed {seconds}", *holds]), "bold red"
    if not report["healthy"]:
        return "; ".join([f"not everything was tried {seconds}", *holds]), "yellow"
    if BREAKER_CHECK in names[Outcome.WARNING]:
        holds.append(f"the circuit breaker is open: `{retry}` tries at once")
    but = f" now, but {'; '.join(holds)}" if holds else ""
    untried = "" if write else "; writing was not tried (--write)"
    return f"healthy{but}{untried} {seconds}", "yellow" if holds else "green"
