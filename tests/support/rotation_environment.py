"""A secret, a server that changes its login, and functions that deliver a batch meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import asyncssh
import boto3

from s3_to_sftp.credentials import Credentials, SecretCredentials
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.delivery.invocation import InvocationRunner
from s3_to_sftp.errors import DeliveryError, Disposition
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.upload_request import DEFAULT_TUNING, TransferTuning
from s3_to_sftp.state.breaker_item import BREAKER, breaker_key
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from s3_to_sftp.telemetry import NullTelemetry
from tests.support.delivery_environment import OneAtATime
from tests.support.ledger_environment import TABLE, LedgerEnvironment
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import IMPATIENT

FINAL = {Disposition.PERMANENT, Disposition.DONE}
"""Dispositions of messages that are dead-lettered or deleted."""


def password(value: str, *, username: str = "partner") -> Credentials:
    """Return a login by password."""
    return Credentials(username=username, password=f"s3cret-canary-{value}")


def key() -> Credentials:
    """Return a login by a new key."""
    made = asyncssh.generate_private_key("ssh-ed25519")
    return Credentials(username="partner", private_key=made.export_private_key().decode())


class CountingTelemetry(NullTelemetry):
    """Counts the invocations that used the login of another stage."""

    def __init__(self) -> None:
        self.fallbacks = 0

    def login_fallback(self) -> None:
        self.fallbacks += 1


class HookedS3(MemoryS3):
    """Calls `hook` once, when an object is read after `after` others."""

    after = 0
    hook: Callable[[], object] | None = None

    def get_object(self, **request: Any) -> Any:
        self.after -= 1
        if self.hook and self.after < 0:
            hook, self.hook = self.hook, None
            hook()
        return super().get_object(**request)


class RotationEnvironment:
    """What the functions share.

    Attributes:
        s3: The objects of the batch.
        telemetry: That of all functions.
        clock: Seconds since the epoch, for breaker, ledger and secret.
        tick: What a test adds to the clock of the connections.
        clients: Of the functions.
    """

    def __init__(self, dynamodb: Any, server: Server, objects: dict[str, bytes]) -> None:
        self.server = server
        self.s3 = HookedS3(objects)
        self.telemetry = CountingTelemetry()
        self.ledger = LedgerEnvironment(OneAtATime(dynamodb))
        self.clock = self.ledger.clock
        self.clock.now = time.time()
        self.tick = 0.0
        self.clients: list[SftpClient] = []
        self._secrets = boto3.client(
            "secretsmanager", "eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        self._arn = ""

    def put(self, login: Credentials, stage: str = "AWSCURRENT") -> str:
        """Put a login into the secret and return its version."""
        text = json.dumps({name: value for name, value in asdict(login).items() if value})
        if not self._arn:
            made = self._secrets.create_secret(Name=f"login-{id(self)}-{time.time_ns()}", SecretString=text)
            self._arn = made["ARN"]
            return str(made["VersionId"])
        put = self._secrets.put_secret_value(SecretId=self._arn, SecretString=text, VersionStages=[stage])
        return str(put["VersionId"])

    def promote(self, version: str) -> None:
        """Make a version AWSCURRENT."""
        current = self._secrets.get_secret_value(SecretId=self._arn)["VersionId"]
        self._secrets.update_secret_version_stage(
            SecretId=self._arn,
            VersionStage="AWSCURRENT",
            MoveToVersionId=version,
            RemoveFromVersionId=current,
        )

    def function(
        self, *, max_connections: int = 1, tuning: TransferTuning = DEFAULT_TUNING, warm: bool = True
    ) -> InvocationRunner:
        """Start a function."""
        credentials = SecretCredentials(secret_arn=self._arn, client=self._secrets, clock=self.clock)
        client = SftpClient(
            self.server,
            credentials,
            timeouts=IMPATIENT,
            max_connections=max_connections,
            tuning=tuning,
            clock=lambda: time.monotonic() + self.tick,
        )
        self.clients.append(client)
        return InvocationRunner(
            server=self.server,
            credentials=credentials,
            delivery=Delivery(s3=self.s3, sftp=client, directory="", ledger=self.ledger.function()),
            breaker=DynamoCircuitBreaker(
                self.ledger.dynamodb, TABLE, str(self.server), clock=self.clock, random=lambda: 0
            ),
            publisher=NullPublisher(),
            telemetry=self.telemetry,
            end_of_invocation=lambda: client.end_of_invocation(keep_first=warm),
        )

    def admit_an_attempt(self) -> None:
        """Let the open circuit breaker admit a function now, as `s3-to-sftp retry --partner` does."""
        self.ledger.dynamodb.update_item(
            TableName=TABLE,
            Key={"pk": {"S": breaker_key(str(self.server))}, "sk": {"S": BREAKER}},
            UpdateExpression="SET retry_at = :now",
            ExpressionAttributeValues={":now": {"N": "0"}},
        )

    def during(self, number: int, change: Callable[[], object]) -> None:
        """Have this happen when that many objects have been read."""
        self.s3.after, self.s3.hook = number, change

    def invoke(self, function: InvocationRunner, *keys: str) -> dict[str, Exception]:
        """Run one invocation and return the errors."""
        refs = [self.s3.ref(key) for key in keys or self.s3.objects]
        invocation = Invocation(Deadline(lambda: 900.0, clock=self.clock), "request")
        return {ref.key: error for ref, error in function.deliver(refs, invocation).items()}

    def deliver_all(self, function: InvocationRunner) -> int:
        """Run invocations until everything is delivered, as the queue does; return how many it took.

        Raises:
            AssertionError: A message would have been dead-lettered.
        """
        waiting = list(self.s3.objects)
        for count in range(1, 10):
            errors = self.invoke(function, *waiting)
            dead = {name: error for name, error in errors.items() if _is_final(error)}
            assert dead == {}
            waiting = list(errors)
            if not waiting:
                return count
            self.clock.now += 60
        raise AssertionError(f"not delivered: {errors}")

    def close(self) -> None:
        """Close all connections."""
        for client in self.clients:
            client.close()


def _is_final(error: Exception) -> bool:
    return not isinstance(error, DeliveryError) or error.disposition in FINAL
