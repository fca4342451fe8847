"""`s3-to-sftp doctor`: the cause in one line, and below it what to do or to write to the partner."""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from rich.console import Console

from s3_to_sftp.doctor.report import Check
from s3_to_sftp.doctor.request import CURRENT, STAGES, DoctorRequest, SecretVersionMissing
from s3_to_sftp.measured_server import MeasuredServer
from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.doctor_checks import CONCURRENCY, checks_from_outside, how_to_lift
from s3_to_sftp_cli.doctor_text import print_check, print_summary
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.files_to_write import require_writable
from s3_to_sftp_cli.layout import printable
from s3_to_sftp_cli.option_types import FILE_PATH

_COMMAND = re.compile(r"`s3-to-sftp ([^`]+)`")
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
    "--retry-login", is_flag=True, help="Send the login although the partner has refused it before."
)
@click.option(
    "--save",
    type=FILE_PATH,
    metavar="FILE",
    help="Measure what the server does, with small files, and write that as JSON: SftpServer(profile=FILE).",
)
@shared_options
def doctor_command(
    context: Context,
    *,
    local: bool,
    write: bool,
    secret_version: str,
    retry_login: bool,
    save: Path | None,
) -> int:
    """Find out why the partner cannot be delivered to.

    Runs inside the function, with its network, role and secret. One login is tried, and none where the
    partner has refused this very login before.
    """
    if save is not None:
        require_writable(save, "--save")
    request = DoctorRequest(
        write=write, secret_version=secret_version, retry_login=retry_login, measure=save is not None
    )
    delivery = context.delivery
    where = "this machine" if local else delivery.function
    context.output.note(f"examining {delivery.server} from {where}: up to two minutes, one login")
    outside = checks_from_outside(context.aws, delivery)
    if local:
        for check in outside:
            _tell(context, check)
        report = _examine_here(context, request)
    else:
        _require_concurrency(delivery.function, outside)
        report = _ask_function(context, request)
    report["checks"] = [*(check.as_json() for check in outside), *report["checks"]]

    def show(console: Console) -> None:
        if not local:
            for each in report["checks"]:
                print_check(console, _for_this_delivery(context, each))
        retry = context.command_line("retry --partner --reason TEXT")
        print_summary(console, report, write=write, retry=retry)

    context.output.result("doctor", {"delivery": delivery.as_json(), **_without_version(report)}, show)
    if save is not None:
        _save(context, report, save)
    return _exit_code(report)


def _save(context: Context, report: Mapping[str, Any], path: Path) -> None:
    """Write what was measured.

    Raises:
        CliError: The function has answered with something else.
    """
    written = report["profile"].get("measured")
    if written is None:
        context.output.note(f"{path} was not written: the server could not be measured")
        return
    try:
        measured = MeasuredServer.from_json(written)
    except ValueError as error:
        raise CliError(
            f"{path} was not written: the function answered with {printable(str(error))}.",
            hint="Deploy the function from the same version as this command, or use `doctor --local`.",
        ) from None
    path.write_text(measured.as_text(), encoding="utf-8")
    context.output.note(f"{path} has what the server showed: SftpServer(profile=...) takes it")


def _require_concurrency(function: str, outside: list[Check]) -> None:
    """Require that the function may run.

    Raises:
        CliError: It may not.
    """
    if any(check.name == CONCURRENCY for check in outside):
        raise CliError(
            f"{function} may not run: its reserved concurrency is 0, so nothing is delivered.",
            hint=f"{how_to_lift(function)} `s3-to-sftp doctor --local` examines from this machine.",
            code=ExitCode.CONFLICT,
        )


def _exit_code(report: Mapping[str, Any]) -> ExitCode:
    if any(check["error"] == SecretVersionMissing.__name__ for check in report["checks"]):
        return ExitCode.NOT_FOUND
    return ExitCode.OK if report["healthy"] else ExitCode.FAILED


def _tell(context: Context, check: Check) -> None:
    if not context.output.as_json:
        print_check(context.output.console, _for_this_delivery(context, check.as_json()))


def _for_this_delivery(context: Context, check: Mapping[str, Any]) -> dict[str, Any]:
    """Return the check with the options in the commands of its advice by which this delivery was found."""
    advice = _COMMAND.sub(lambda found: f"`{context.command_line(found[1])}`", check["advice"])
    return {**check, "advice": advice}


def _examine_here(context: Context, request: DoctorRequest) -> dict[str, Any]:
    from s3_to_sftp.doctor.invoked import examine  # loads paramiko

    answer = context.aws.client("lambda").get_function_configuration(FunctionName=context.delivery.function)
    return examine(
        request.as_event(),
        answer.get("Environment", {}).get("Variables", {}),
        new_client=lambda service, **_options: context.aws.client(service),
        is_over=lambda: False,
        ran_in="local",
        report=functools.partial(_tell, context),
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
    except KeyboardInterrupt:
        context.output.note(
            "the examination goes on in the function, for two minutes at most, with its login; "
            "`s3-to-sftp logs` will have its report"
        )
        raise
    except ClientError as error:
        if error.response["Error"].get("Code") != "TooManyRequestsException":
            raise
        raise _throttled(function, error) from None
    except ValueError:
        said = None
    if answer.get("FunctionError") or not isinstance(said, dict) or "checks" not in said:
        raise _failed(function, answer.get("FunctionError"), said)
    return said


def _throttled(function: str, error: ClientError) -> CliError:
    said = printable(error.response["Error"].get("Message", ""))
    return CliError(
        f"{function} may not run now: {said}",
        hint="Its reserved concurrency is 0 or used up, or that of the account is: "
        f"`aws lambda get-function-concurrency --function-name {function}` says which. "
        "`s3-to-sftp doctor --local` examines from this machine.",
    )


def _failed(function: str, kind: str | None, said: object) -> CliError:
    message = str(said.get("errorMessage", "")) if isinstance(said, Mapping) else ""
    if "timed out" in message:
        return CliError(
            f"{function} ran out of time before the examination was complete: {printable(message)}.",
            hint="Its timeout is shorter than the two minutes that an examination may take: raise it, or use "
            "`doctor --local`.",
        )
    return CliError(
        f"{function} failed ({printable(kind or message or 'its answer is not a report')}).",
        hint="`s3-to-sftp logs` says why. A function that was deployed before this command cannot examine: "
        "deploy it again.",
    )


def _without_version(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report without its own version: that of the command's document stands for both."""
    return {name: value for name, value in report.items() if name != "version"}
