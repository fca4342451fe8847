"""The doctor inside the function: what an invocation that does nothing else answers."""

from collections.abc import Callable, Mapping
from typing import Any

from s3_to_sftp.configured_by import VARIABLE, in_words_of_author
from s3_to_sftp.doctor.build import build_doctor
from s3_to_sftp.doctor.report import Check, Outcome, Report
from s3_to_sftp.doctor.request import DoctorRequest
from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.settings import Settings
from s3_to_sftp.state.circuit_breaker import Opened


def examine(
    event: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    new_client: Callable[..., Any],
    is_over: Callable[[], bool],
    ran_in: str = "function",
    report: Callable[[Check], None] = lambda _check: None,
    opened: Callable[[Opened], None] = lambda _opened: None,
) -> dict[str, Any]:
    """Run an examination; return the report as JSON values, without secrets. Never raises.

    Args:
        event: See `DoctorRequest.from_event`.
        environment: Of the function.
        new_client: `boto3.client`.
        is_over: Whether there is no time for another check.
        ran_in: `function`, or `local`.
        report: Told of each check as it ends.
        opened: Told when a refused login has opened the circuit breaker.
    """
    author = environment.get(VARIABLE, "")
    try:
        settings, request = Settings.from_environment(environment), DoctorRequest.from_event(event)
    except (ConfigurationError, ValueError) as error:
        check = _refused(error, author)
        report(check)
        return Report(server="", ran_in=ran_in, checks=[check]).as_json()
    doctor = build_doctor(
        settings,
        request,
        new_client=new_client,
        ran_in=ran_in,
        author=author,
        is_over=is_over,
        opened=opened,
    )
    return doctor.examine(request, report=report).as_json()


def _refused(error: Exception, author: str) -> Check:
    hint = in_words_of_author(error.hint, author) if isinstance(error, ConfigurationError) else ""
    reason = error.reason if isinstance(error, ConfigurationError) else str(error)
    return Check(
        name="settings",
        outcome=Outcome.FAILED,
        text=reason,
        advice=hint,
        error=type(error).__name__,
    )
