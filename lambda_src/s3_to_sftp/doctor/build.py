"""Builds the doctor from the function's settings."""

import functools
import socket
import time
from collections.abc import Callable
from typing import Any

from botocore.config import Config

from s3_to_sftp.app import credentials_of
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.delivery.configuration import identify_configuration
from s3_to_sftp.doctor.aws_checks import AwsChecks
from s3_to_sftp.doctor.doctor import LONGEST_SECONDS, Doctor
from s3_to_sftp.doctor.hold_checks import HoldChecks
from s3_to_sftp.doctor.login_guard import (
    CANARY_REMEMBERS_SECONDS,
    LedgerGuard,
    LoginGuard,
    NoGuard,
    TellsBreaker,
    TellsNobody,
)
from s3_to_sftp.doctor.partner_checks import TIMEOUTS, PartnerChecks, Target
from s3_to_sftp.doctor.request import CURRENT, DoctorRequest
from s3_to_sftp.doctor.secret_check import SecretCheck
from s3_to_sftp.settings import Settings
from s3_to_sftp.ssh.connect import Timeouts
from s3_to_sftp.ssh.tcp import open_connection
from s3_to_sftp.state.circuit_breaker import Opened
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from s3_to_sftp.state.refused_logins import DynamoRefusedLogins
from s3_to_sftp.state.trusted_host_key import DynamoTrustedHostKeys

_SHORT = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 2})
_CONTROL = ("checkip.amazonaws.com", 443)
_CONTROL_SECONDS = 5.0


def build_doctor(
    settings: Settings,
    request: DoctorRequest,
    *,
    new_client: Callable[..., Any],
    ran_in: str,
    author: str = "",
    is_over: Callable[[], bool] = lambda: False,
    opened: Callable[[Opened], None] = lambda _opened: None,
    timeouts: Timeouts = TIMEOUTS,
) -> Doctor:
    """Build a doctor for one examination.

    Args:
        settings: Of the function.
        request: What is asked for.
        new_client: `boto3.client`.
        ran_in: `function`, or `local`.
        author: Of the function's configuration, see `in_words_of_author`.
        is_over: Whether there is no time for another check.
        opened: Told when a refused login has opened the circuit breaker.
        timeouts: How long to wait for the partner.
    """
    short_client = functools.partial(new_client, config=_SHORT)
    source = credentials_of(settings, short_client)
    trusted = ""
    if settings.ledger_table is not None:
        client = short_client("dynamodb")
        current = DynamoTrustedHostKeys(client, settings.ledger_table, str(settings.server)).current()
        trusted = current.fingerprint if current else ""
    directories = dict.fromkeys(
        [settings.directory, *(each.directory or settings.directory for each in settings.sources)]
    )
    target = Target(server=settings.server, directories=tuple(directories), trusted=trusted)

    secret = SecretCheck(source)

    def breaker(table: str) -> TellsBreaker | TellsNobody:
        if request.secret_version != CURRENT:
            return TellsNobody()
        return TellsBreaker(
            DynamoCircuitBreaker(short_client("dynamodb"), table, str(settings.server)),
            identify_configuration(settings.server, settings.directory, source.version),
            opened=opened,
            login_in_use=secret.stage_beside,
        )

    def guard() -> LoginGuard:
        table = settings.ledger_table
        if table is None:
            return NoGuard()
        return LedgerGuard(
            DynamoRefusedLogins(short_client("dynamodb"), table, str(settings.server)),
            secret.version or "environment",
            breaker=breaker(table),
            again=request.retry_login,
            remembers=CANARY_REMEMBERS_SECONDS if request.canary else None,
        )

    def partner(login: Credentials | None) -> PartnerChecks:
        return PartnerChecks(target, login, guard=guard(), has_way_out=has_way_out, timeouts=timeouts)

    ends_at = time.monotonic() + LONGEST_SECONDS
    return Doctor(
        server=settings.server,
        holds=HoldChecks(settings, short_client),
        secret=secret,
        aws=AwsChecks(settings, short_client),
        partner=partner,
        ran_in=ran_in,
        is_over=lambda: is_over() or time.monotonic() >= ends_at,
        ends_at=ends_at,
        author=author,
    )


def has_way_out() -> tuple[str, bool]:
    """Return the name of an address of AWS, and whether it answers."""
    host, port = _CONTROL
    try:
        found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
        open_connection(str(found[0][4][0]), port, timeout=_CONTROL_SECONDS).close()
    except OSError:
        return host, False
    return host, True
