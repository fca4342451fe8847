"""The examination, from top to bottom.

    pause, breaker ─ secret ─ ledger, queue, bucket
    ─ name ─ connect ─ handshake ─ host key ─ login ─ sftp ─ directory ─ measure ─ write

Everything at the partner happens over one connection. A second one is made where the server has several
addresses, to compare host keys, or where its large packets seem to get lost, to try small ones. There is one
login, and none where the partner has refused this very login before: partners lock accounts.
"""

import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.doctor.advice import advice_of_report
from s3_to_sftp.doctor.aws_checks import AwsChecks
from s3_to_sftp.doctor.checklist import Checklist
from s3_to_sftp.doctor.hold_checks import HoldChecks
from s3_to_sftp.doctor.partner_checks import PartnerChecks
from s3_to_sftp.doctor.report import Check, Report
from s3_to_sftp.doctor.request import DoctorRequest
from s3_to_sftp.doctor.secret_check import SecretCheck
from s3_to_sftp.server import Server

LONGEST_SECONDS = 110.0
"""Of an examination. The command waits for three minutes, and AWS' answers take some seconds, too."""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Examines one delivery.

    Attributes:
        server: The partner's.
        holds: Looks for what keeps deliveries from happening.
        secret: Reads the login.
        aws: Checks of the function's own resources.
        partner: Makes the checks of the partner, for a login (None: there is none).
        ran_in: `function`, or `local`.
        is_over: Whether there is no time for another check.
        ends_at: When the connection is closed, whatever is under way, in seconds of `time.monotonic`.
        author: Of the function's configuration, see `in_words_of_author`; empty: nobody known.
    """

    server: Server
    holds: HoldChecks
    secret: SecretCheck
    aws: AwsChecks
    partner: Callable[[Credentials | None], PartnerChecks]
    ran_in: str
    is_over: Callable[[], bool]
    ends_at: float = math.inf
    author: str = ""

    def examine(
        self, request: DoctorRequest, *, report: Callable[[Check], None] = lambda _check: None
    ) -> Report:
        """Run all checks. Never raises for what AWS or the partner does.

        Args:
            request: What is asked for.
            report: Told of each check as it ends.
        """
        advise = functools.partial(advice_of_report, write=request.write, author=self.author)
        checklist = Checklist(is_over=self.is_over, report=report, advise=advise)
        for name, step in self.holds.steps():
            checklist.run(name, step)
        checklist.run("secret", lambda: self.secret.read(request.secret_version))
        for name, step in self.aws.steps():
            checklist.run(name, step)
        with _closed(self.partner(self.secret.login), at=self.ends_at) as partner:
            steps = partner.steps()
            if request.measure:
                steps += partner.measure_steps()
            if request.write:
                steps += partner.write_steps()
            checklist.run_in_order(steps)
            return Report(
                server=str(self.server),
                ran_in=self.ran_in,
                checks=checklist.checks,
                profile={**partner.profile, **self._certificate()},
                connections=partner.connections,
            )

    def _certificate(self) -> dict[str, float]:
        until = self.secret.certificate_until
        return {} if until is None else {"certificate_until": until}


@contextmanager
def _closed(partner: PartnerChecks, *, at: float) -> Iterator[PartnerChecks]:
    """Close it at the end of the block, and at this time in any case: what waits for the server then ends."""
    timer = threading.Timer(max(at - time.monotonic(), 0), partner.close) if at < math.inf else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield partner
    finally:
        if timer is not None:
            timer.cancel()
        partner.close()
