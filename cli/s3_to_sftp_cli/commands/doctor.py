"""`s3-to-sftp doctor`: the cause in one line, and below it what to do or to write to the partner."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from rich.console import Console

from s3_to_sftp.doctor.report import Check, Outcome
from s3_to_sftp.doctor.request import CURRENT, STAGES, DoctorRequest
from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import printable

_MARKS = {
    Outcome.OK.value: "✓",
    Outcome.WARNING.value: "!",
    Outcome.FAILED.value: "✗",
    Outcome.NOT_TRIED.value: "–",  # noqa: RUF001 - a dash is what is meant
}
_NAME_COLUMNS = 12
_ANSWER_SECONDS = 180
"""An examination takes two minutes at most."""


@click.command("doctor")
@click.option("--local", is_flag=True, help="From this machine: its address and network, your AWS rights.")
@click.option("--write", is_flag=True, help="Also put a small file at the partner, and remove it.")
@click.option(
    "--secret-version",
    type=click.Choice(STAGES),
    default=CURRENT,
    show_default=True,
    help="Try the login of this version of the secret.",
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Keep what the server showed, as JSON.",
)
@shared_options
def doctor_command(
    context: Context, *, local: bool, write: bool, secret_version: str, save: Path | None
) -> int:
    """Find out why the partner cannot be delivered to.

    Runs inside the function, with its network, role and secret. One login is tried, and none where the
    partner has refused this very login before.
    """
    request = DoctorRequest(write=write, secret_version=secret_version)
    delivery = context.delivery
    where = "this machine" if local else delivery.function
    context.output.note(f"examining {delivery.server} from {where}: up to two minutes, one login")
    report = _examine_here(context, request) if local else _ask_function(context, request)
    if save is not None:
        save.write_text(json.dumps(report["profile"], indent=2, ensure_ascii=False) + "\n")

    def show(console: Console) -> None:
        if not local:
            for check in report["checks"]:
                _print(console, check)
        console.print(_summary(report), markup=False)

    context.output.result("doctor", {"delivery": delivery.as_json(), **_without_version(report)}, show)
    return ExitCode.OK if report["healthy"] else ExitCode.FAILED


def _examine_here(context: Context, request: DoctorRequest) -> dict[str, Any]:
    from s3_to_sftp.doctor.invoked import examine  # loads paramiko

    answer = context.aws.client("lambda").get_function_configuration(FunctionName=context.delivery.function)
    console = context.output.console

    def report(check: Check) -> None:
        if not context.output.as_json:
            _print(console, check.as_json())

    return examine(
        request.as_event(),
        answer.get("Environment", {}).get("Variables", {}),
        new_client=lambda service, **_options: context.aws.client(service),
        is_over=lambda: False,
        ran_in="local",
        report=report,
    )


def _ask_function(context: Context, request: DoctorRequest) -> dict[str, Any]:
    """Return the function's report.

    Raises:
        CliError: It has none.
    """
    function = context.delivery.function
    # Never sent a second time: that would be a second login.
    client = context.aws.client_without_retries("lambda", read_timeout=_ANSWER_SECONDS)
    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(request.as_event()).encode())
        said = json.loads(answer["Payload"].read())
    except (ReadTimeoutError, ConnectTimeoutError):
        raise CliError(
            f"{function} has not answered within {_ANSWER_SECONDS} s.",
            hint="`s3-to-sftp logs` may have its report. `doctor --local` examines from this machine.",
        ) from None
    except ValueError:
        said = None
    if answer.get("FunctionError") or not isinstance(said, dict) or "checks" not in said:
        raise _failed(function, answer.get("FunctionError"), said)
    return said


def _failed(function: str, kind: str | None, said: object) -> CliError:
    message = str(said.get("errorMessage", "")) if isinstance(said, Mapping) else ""
    if "timed out" in message:
        return CliError(
            f"{function} was ended before the examination was: {printable(message)}.",
            hint="Its timeout is shorter than the two minutes that an examination may take: raise it, or use "
            "`doctor --local`.",
        )
    return CliError(
        f"{function} failed ({printable(kind or message or 'its answer is no report')}).",
        hint="`s3-to-sftp logs` says why. A function that was deployed before this command cannot examine: "
        "deploy it again.",
    )


def _print(console: Console, check: Mapping[str, Any]) -> None:
    mark, name = _MARKS.get(check["outcome"], "?"), str(check["name"]).ljust(_NAME_COLUMNS)
    text = printable(check["text"])
    shown = f"not tried {text}" if check["outcome"] == Outcome.NOT_TRIED.value else text
    console.print(f"{mark} {name} {shown}", markup=False)
    if check["outcome"] == Outcome.OK.value:
        return
    indent = " " * (_NAME_COLUMNS + 3)
    if check["advice"]:
        console.print(f"{indent}→ {printable(check['advice'])}", markup=False)
    if check["to_partner"]:
        console.print(f"{indent}✉ {printable(check['to_partner'])}", markup=False)


def _summary(report: Mapping[str, Any]) -> str:
    seconds = sum(check["seconds"] for check in report["checks"])
    failed = [check["name"] for check in report["checks"] if check["outcome"] == Outcome.FAILED.value]
    if failed:
        return f"{', '.join(failed)} failed ({seconds:.0f} s)"
    if not report["healthy"]:
        return f"not everything was tried ({seconds:.0f} s)"
    return f"healthy ({seconds:.0f} s)"


def _without_version(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report without its own version: that of the command's document stands for both."""
    return {name: value for name, value in report.items() if name != "version"}
