"""The doctor for a server of a test: what it examines, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass, field

from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.doctor.aws_checks import AwsChecks
from s3_to_sftp.doctor.checklist import NotTriedError
from s3_to_sftp.doctor.doctor import Doctor
from s3_to_sftp.doctor.hold_checks import HoldChecks
from s3_to_sftp.doctor.login_guard import LoginGuard, NoGuard
from s3_to_sftp.doctor.partner_checks import PartnerChecks, Target
from s3_to_sftp.doctor.report import Check, Outcome, Report
from s3_to_sftp.doctor.request import DoctorRequest
from s3_to_sftp.doctor.secret_check import SecretCheck
from s3_to_sftp.errors import PartnerError
from s3_to_sftp.server import Server
from s3_to_sftp.settings import Settings
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.partner import IMPATIENT


@dataclass
class MemoryGuard:
    """Remembers one refused login.

    Attributes:
        refused: The error; None: no refusal.
        logins: How often a login was about to be tried.
    """

    refused: PartnerError | None = None
    logins: int = 0
    accepted_logins: list[str] = field(default_factory=list)

    def require_untried(self, login: Credentials) -> None:
        if self.refused is not None:
            raise NotTriedError(f"refused before: {self.refused.reason} ({login.username})")
        self.logins += 1

    def failed(self, error: PartnerError) -> None:
        self.refused = error

    def accepted(self) -> None:
        self.accepted_logins.append("accepted")


def examine(
    server: Server,
    credentials: Credentials,
    *,
    directory: str = "",
    write: bool = False,
    measure: bool = False,
    guard: LoginGuard | None = None,
    trusted: str = "",
    has_way_out: bool = True,
    timeouts: Timeouts = IMPATIENT,
) -> Report:
    """Examine the way to a server, without AWS."""
    target = Target(server=server, directories=(directory,), trusted=trusted)

    def partner(login: Credentials | None) -> PartnerChecks:
        return PartnerChecks(
            target,
            login,
            guard=guard or NoGuard(),
            has_way_out=lambda: ("checkip.amazonaws.com", has_way_out),
            timeouts=timeouts,
        )

    def no_client(service: str) -> None:
        raise AssertionError(f"{service} is not needed")

    doctor = Doctor(
        server=server,
        holds=HoldChecks(Settings(server=server), no_client),
        secret=SecretCheck(FixedCredentials(credentials)),
        aws=AwsChecks(Settings(server=server), no_client),
        partner=partner,
        ran_in="local",
        is_over=lambda: False,
    )
    return doctor.examine(DoctorRequest(write=write, measure=measure))


def first_problem(report: Report) -> Check:
    """Return the first check that did not pass."""
    return next(check for check in report.checks if check.outcome in {Outcome.FAILED, Outcome.NOT_TRIED})
