"""Runs checks in order. The first that fails keeps those behind it from being tried."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from s3_to_sftp.doctor.report import Check, Outcome
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.untrusted_text import quoted


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check has found that works.

    Attributes:
        text: In short.
        warning: What should be looked at; empty: nothing.
        advice: What to do about it.
        to_partner: What to write to the partner; empty: nothing.
        cause: Name of the cause, where it is one of `diagnosis`.
    """

    text: str
    warning: str = ""
    advice: str = ""
    to_partner: str = ""
    cause: str = ""


class NotTriedError(Exception):
    """A check was not tried, for its own reason; those behind it are not tried either.

    Attributes:
        reason: Why.
        advice: What to do.
    """

    def __init__(self, reason: str, *, advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


Step = Callable[[], Finding | str]
"""Returns what was found, or raises DeliveryError or NotTriedError."""


class Checklist:
    """The checks of one report.

    Args:
        is_over: Whether there is no time for another check.
        report: Told of each check as it ends.
        advise: Puts advice into the words of a report.
        clock: Seconds.

    Attributes:
        checks: So far.
    """

    def __init__(
        self,
        *,
        is_over: Callable[[], bool],
        report: Callable[[Check], None] = lambda _check: None,
        advise: Callable[[str], str] = lambda advice: advice,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.checks: list[Check] = []
        self._is_over = is_over
        self._report = report
        self._advise = advise
        self._clock = clock

    def run(self, name: str, step: Step) -> bool:
        """Run one check; return whether it was passed."""
        if self._is_over():
            self._add(Check(name=name, outcome=Outcome.NOT_TRIED, text="the time is over"))
            return False
        started = self._clock()
        try:
            found = step()
        except NotTriedError as why:
            check = Check(name=name, outcome=Outcome.NOT_TRIED, text=why.reason, advice=why.advice)
        except DeliveryError as error:
            check = _failed(name, error, self._clock() - started)
            check = _cut_short(check) if self._is_over() else check
        except Exception as error:  # noqa: BLE001 - a check that breaks must not take the report with it
            check = Check(
                name=name,
                outcome=Outcome.FAILED,
                text=f"the check broke with {type(error).__name__}: {quoted(error)}",
                advice="Report this with the output of --json.",
                error=type(error).__name__,
                seconds=self._clock() - started,
            )
        else:
            check = _passed(name, found, self._clock() - started)
        self._add(check)
        return check.outcome in {Outcome.OK, Outcome.WARNING}

    def run_in_order(self, steps: list[tuple[str, Step]]) -> None:
        """Run checks of which each needs those before it."""
        failed = ""
        for name, step in steps:
            if failed:
                self._add(Check(name=name, outcome=Outcome.NOT_TRIED, text=f"({failed})"))
            elif not self.run(name, step):
                failed = name

    def _add(self, check: Check) -> None:
        check = replace(check, advice=self._advise(check.advice))
        self.checks.append(check)
        self._report(check)


def _cut_short(check: Check) -> Check:
    """Return what is said of a check that was ended because the time was over: not what that looks like."""
    return replace(
        check,
        text=f"not finished within the time of an examination: the server answers too slowly ({check.text})",
        advice="Ask the partner why the server is slow.",
        cause="",
        to_partner="",
    )


def _passed(name: str, found: Finding | str, seconds: float) -> Check:
    if isinstance(found, str):
        return Check(name=name, outcome=Outcome.OK, text=found, seconds=seconds)
    return Check(
        name=name,
        outcome=Outcome.WARNING if found.warning else Outcome.OK,
        text=f"{found.text}; {found.warning}" if found.warning else found.text,
        advice=found.advice,
        to_partner=found.to_partner,
        cause=found.cause,
        seconds=seconds,
    )


def _failed(name: str, error: DeliveryError, seconds: float) -> Check:
    return Check(
        name=name,
        outcome=Outcome.FAILED,
        text=error.reason,
        advice=error.hint,
        to_partner=error.to_partner,
        cause=error.cause,
        error=type(error).__name__,
        seconds=seconds,
    )
