"""The circuit breaker limits logins at a partner that refuses them: thirty functions make one or three."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import paramiko
import pytest

from s3_to_sftp.credentials import FixedCredentials
from s3_to_sftp.delivery.invocation import InvocationRunner
from s3_to_sftp.errors import (
    LoginRefused,
    PartnerUnreachable,
    PasswordExpired,
    SecondFactorRequired,
    SftpNotStarted,
    TooManyConnections,
)
from s3_to_sftp.outcomes import CircuitOpen
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from tests.support.faults.ssh_door import (
    Asked,
    Door,
    Script,
    banner,
    disconnect,
    failure,
    prompts,
    ssh_door,
    success,
    wants_new_password,
)
from tests.support.ledger_environment import TABLE
from tests.support.partner import IMPATIENT
from tests.unit.delivery.test_invocation import InvocationEnvironment

INVOCATIONS = 30


@pytest.fixture
def env(ledger_table: Any) -> InvocationEnvironment:
    return InvocationEnvironment(ledger_table)


def script_for(method: str, *said: bytes) -> Script:
    def script(asked: Asked) -> Sequence[bytes]:
        return [failure(method)] if asked.method == "none" else said

    return script


def end_session(channel: paramiko.Channel) -> None:
    channel.send_exit_status(127)
    channel.close()


def send_greeting(channel: paramiko.Channel) -> None:
    channel.sendall(b"Bienvenue \xe0 la banque\r\n")


REFUSALS: dict[str, tuple[type[Exception], dict[str, Any]]] = {
    "wrong password": (LoginRefused, {"script": script_for("password", failure("password"))}),
    "wrong password, in Latin-1": (
        LoginRefused,
        {"script": script_for("password", banner(b"Zugang verweigert f\xfcr Sie"), failure("password"))},
    ),
    "wrong password, and goodbye": (
        LoginRefused,
        {"script": script_for("password", disconnect(2, b"Zu viele Fehlversuche f\xfcr heute"))},
    ),
    "expired password": (PasswordExpired, {"script": script_for("password", wants_new_password(b"expired"))}),
    "a code": (
        SecondFactorRequired,
        {"script": script_for("keyboard-interactive", prompts(b"Verification code: "))},
    ),
    "a limit": (TooManyConnections, {"script": script_for("password", disconnect(12, b"too many users"))}),
    "silence": (PartnerUnreachable, {"script": lambda _asked: []}),
    "no SFTP": (SftpNotStarted, {"script": lambda _asked: [success()], "session": end_session}),
    "a shell": (SftpNotStarted, {"script": lambda _asked: [success()], "session": send_greeting}),
    "no channel": (SftpNotStarted, {"script": lambda _asked: [success()], "refuses_channel": b"not you"}),
}


@pytest.mark.parametrize("how", REFUSALS)
def test_thirty_functions_make_one_login_or_three_for_transient_errors(
    how: str, env: InvocationEnvironment
) -> None:
    error, server = REFUSALS[how]
    logins = 1 if issubclass(error, LoginRefused) else 3
    with ssh_door(**server) as door:
        invoke = functions_at(door, env)
        found = [{type(each) for each in invoke()} for _ in range(INVOCATIONS)]
    assert found == [{error}] * logins + [{CircuitOpen}] * (INVOCATIONS - logins)
    assert door.methods.count("none") == logins, door.methods


def functions_at(door: Door, env: InvocationEnvironment) -> Callable[[], list[Exception]]:
    """Return a call that delivers two objects with a new function, and returns their errors."""

    def invoke() -> list[Exception]:
        credentials = FixedCredentials(door.login)
        client = SftpClient(door.address, credentials, timeouts=IMPATIENT)
        function = InvocationRunner(
            server=door.address,
            credentials=credentials,
            delivery=env.harness.function(partner=client),
            breaker=DynamoCircuitBreaker(
                env.dynamodb, TABLE, str(door.address), clock=env.clock, random=lambda: 0
            ),
            publisher=env.listener,
            telemetry=env.reports,
            end_of_invocation=client.close,
        )
        return list(env.invoke("a", "b", function=function).values())

    return invoke
