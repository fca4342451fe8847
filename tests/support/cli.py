"""A deployed delivery without Lambda: ledger, queues and log in memory, and the command that operates it."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import CliRunner

from s3_to_sftp.operator_request import OperatorRequest
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import to_attribute
from s3_to_sftp.state.items import KEY, instant, partition_key, version_key
from s3_to_sftp.state.ledger import Lease
from s3_to_sftp.state.receipt import Evidence, Receipt
from s3_to_sftp_cli.aws import Aws
from s3_to_sftp_cli.delivery import DeployedDelivery, WatchedSource
from s3_to_sftp_cli.main import main
from tests.support.json_schemas import draft_2020_12, without_additional_properties
from tests.support.ledger_environment import LedgerEnvironment, commit_of, create_table, ref
from tests.support.memory_aws import mock_aws

REGION = "eu-west-1"
FUNCTION = "Acme-Function"
HOST, PORT = "sftp.acme.example", 22
BUCKET = "bucket"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2wK8v1rO5yJ2cVZ0e2qkK0c2m8Yw0m9m7b3yqk1XbR"
_SCHEMAS = Path(__file__).parents[2] / "docs/reference/cli-json"


@dataclass(frozen=True)
class Outcome:
    """What a command has printed, and its exit code."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The only document that was printed."""
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[Any]:
        """The documents that were printed, one a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


class CliEnvironment:
    """What is deployed, and who types commands.

    Attributes:
        aws: The account and region, in memory.
        delivery: What every command finds. Replace it with `deploy`.
        ledger: The table, written as the function writes it; its clock starts at the present time.
        queue_url: Of the queue.
        dead_letter_queue_url: Of the dead-letter queue.
        refused: Requests that are answered with AccessDenied from now on, as `service:Operation`.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aws = Aws(region=REGION)
        create_table(self.aws.client("dynamodb"))
        self.ledger = LedgerEnvironment(self.aws.client("dynamodb"))
        self.ledger.clock.now = time.time()
        sqs = self.aws.client("sqs")
        self.queue_url = sqs.create_queue(QueueName="Acme-Queue")["QueueUrl"]
        self.dead_letter_queue_url = sqs.create_queue(QueueName="Acme-DeadLetters")["QueueUrl"]
        self.log_group = f"/aws/lambda/{FUNCTION}"
        self.refused: set[str] = set()
        self.delivery = DeployedDelivery(
            function=FUNCTION,
            arn=f"arn:aws:lambda:{REGION}:123456789012:function:{FUNCTION}",
            host=HOST,
            port=PORT,
            directory="/inbox",
            host_keys=(HOST_KEY,),
            table=self.ledger.table,
            queue_url=self.queue_url,
            dead_letter_queue_url=self.dead_letter_queue_url,
            sources=(WatchedSource(bucket=BUCKET),),
            log_group=self.log_group,
        )
        monkeypatch.setattr("s3_to_sftp_cli.context.find", lambda *_, **__: self.delivery)
        self._refuse_on_demand(monkeypatch)

    def deploy(self, **changes: Any) -> None:
        """Change the delivery that commands find."""
        self.delivery = dataclasses.replace(self.delivery, **changes)

    def run(self, *arguments: str, answers: str = "") -> Outcome:
        """Type `s3-to-sftp` with these arguments; `answers` is what is typed when it asks."""
        code = 0
        with CliRunner().isolation(input=answers) as (stdout, stderr, _):
            try:
                main(list(arguments))
            except SystemExit as exited:
                code = int(exited.code or 0)
            sys.stdout.flush()
            return Outcome(code, stdout.getvalue().decode(), stderr.getvalue().decode())

    # --- what the function has done ---

    def sending(self, key: str = "in/a.csv", *, sequencer: str = "0A", **attributes: Any) -> Lease:
        """An object that an invocation is sending now; attributes are added to its item."""
        lease = self.ledger.lease(ref(sequencer, key=key))
        self.write(lease.ref, **attributes)
        return lease

    def delivered(
        self,
        key: str = "in/a.csv",
        *,
        sequencer: str = "0A",
        size: int = 7,
        seconds: float = 0.5,
        at: float | None = None,
        operator: OperatorRequest | None = None,
        **receipt: Any,
    ) -> ObjectRef:
        """An object whose RENAME was answered, by default now; `at` in seconds since 1970."""
        version = dataclasses.replace(ref(sequencer, key=key), operator=operator)
        with self.at((at or self.ledger.clock.now) - seconds):
            ledger = self.ledger.function()
            lease = self.ledger.lease(version, ledger)
            ledger.commit(lease, commit_of(lease, size=size))
            lease.names.remove(lease.temporary)
            self.ledger.clock.now += seconds
            made = Receipt(
                ref=version,
                remote_path=lease.remote_path,
                size=size,
                seconds=seconds,
                attempt=lease.attempt,
                **{
                    "checksum_algorithm": "CRC64NVME",
                    "checksum": "AAAAAAAAAAE=",
                    "verified_by": "full_object:CRC64NVME",
                    "evidence": Evidence.RENAME_OK,
                    "streams": 1,
                    "host_key_fingerprint": "SHA256:abc",
                    **receipt,
                },
            )
            ledger.delivered(lease, made.as_item(request_id=lease.owner))
        return version

    def waiting(self, key: str = "in/a.csv", *, sequencer: str = "0A", **attributes: Any) -> ObjectRef:
        """An object that has been announced, and not been tried yet."""
        version = ref(sequencer, key=key)
        now = self.ledger.clock.now
        at = instant(now)
        self._put(
            version,
            {
                "state": "WAITING",
                "status": "IN_FLIGHT",
                "status_at": at,
                "first_seen": at,
                "revision": 1,
                **attributes,
            },
        )
        return version

    def released(self, key: str = "in/a.csv", *, sequencer: str = "0A", **attributes: Any) -> ObjectRef:
        """An object whose last attempt failed, and that will be retried."""
        ledger = self.ledger.function()
        lease = self.ledger.lease(ref(sequencer, key=key), ledger)
        ledger.release(lease, reason="The connection was lost.")
        self.write(lease.ref, **attributes)
        return lease.ref

    def failed(
        self,
        key: str = "in/a.csv",
        *,
        sequencer: str = "0A",
        state: str = "FAILED",
        reason: str = "The server refused to create the file: permission denied.",
        hint: str = "Ask the partner for write permission.",
        at: float | None = None,
        dead_letter: bool = True,
        **attributes: Any,
    ) -> ObjectRef:
        """An object that was given up, and its message in the dead-letter queue."""
        version = ref(sequencer, key=key)
        with self.at(at):
            ledger = self.ledger.function()
            lease = self.ledger.lease(version, ledger)
            ledger.record_outcome(version, state=state, reason=reason, hint=hint, lease=lease)  # type: ignore[arg-type]
        about = {"error": "RequestRefused", "operation": "create", "sftp_status": "PERMISSION_DENIED"}
        self.write(version, **{**about, **attributes})
        if dead_letter:
            told = {**about, **attributes}
            self.dead_letter(
                version,
                error=str(told["error"]),
                operation=str(told["operation"]),
                status=str(told["sftp_status"]),
                reason=reason,
                hint=hint,
            )
        return version

    def dead_letter(self, version: ObjectRef, **attributes: str) -> None:
        """Put a message into the dead-letter queue, with these attributes and those of the object."""
        told = {"bucket": version.bucket, "key": version.key, **attributes}
        self.aws.client("sqs").send_message(
            QueueUrl=self.dead_letter_queue_url,
            MessageBody=notification(version),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in told.items() if value
            },
        )

    def announce(self, version: ObjectRef, *, delay: int = 0) -> None:
        """Put the notification of an object into the queue."""
        self.aws.client("sqs").send_message(
            QueueUrl=self.queue_url, MessageBody=notification(version), DelaySeconds=delay
        )

    def breaker(self, **attributes: Any) -> None:
        """Write the item of the circuit breaker: open after a refused login, unless told otherwise."""
        now = time.time()
        self.item(
            f"partner#{HOST}:{PORT}",
            "breaker",
            **{
                "revision": 1,
                "failures": 4,
                "since": now - 3600,
                "error": "LoginRefused",
                "reason": "The server refused the login of 'us'.",
                "openings": {"LoginRefused": 4},
                "retry_at": now + 600,
                "claimed_until": 0,
                "refused": ["config"],
                "alike": "",
                "objects": [],
                **attributes,
            },
        )

    def pause(self, **attributes: Any) -> None:
        """Write the item of a pause."""
        now = time.time()
        item = {"since": now - 60, "reason": "planned maintenance", "who": "arn:aws:iam::1:user/eve"}
        self.item("delivery", "hold", **{**item, "revision": 1, **attributes})

    def log(self, *lines: Mapping[str, Any] | str, at: float | None = None) -> None:
        """Write lines into the function's log."""
        client = self.aws.client("logs")
        for create, name in (
            (client.create_log_group, {"logGroupName": self.log_group}),
            (client.create_log_stream, {"logGroupName": self.log_group, "logStreamName": "one"}),
        ):
            with suppress(client.exceptions.ResourceAlreadyExistsException):
                create(**name)
        started = int((at or time.time()) * 1000)
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        client.put_log_events(
            logGroupName=self.log_group,
            logStreamName="one",
            logEvents=[{"timestamp": started + number, "message": text} for number, text in enumerate(texts)],
        )

    # --- items ---

    def item(self, pk: str, sk: str, **attributes: Any) -> None:
        """Write any item, whole."""
        self.aws.client("dynamodb").put_item(
            TableName=self.ledger.table,
            Item={
                "pk": {"S": pk},
                "sk": {"S": sk},
                **{name: to_attribute(value) for name, value in attributes.items()},
            },
        )

    def read(self, version: ObjectRef) -> dict[str, Any]:
        """An item as the table has it, in the form of the low-level client."""
        return dict(self.ledger.item(version))

    def write(self, version: ObjectRef, **attributes: Any) -> None:
        """Add attributes to the item of a version."""
        for name, value in attributes.items():
            self.ledger.write(version, name, to_attribute(value))

    @contextmanager
    def at(self, time_: float | None) -> Iterator[None]:
        """Let the function do something at another time."""
        before = self.ledger.clock.now
        self.ledger.clock.now = before if time_ is None else time_
        try:
            yield
        finally:
            self.ledger.clock.now = before

    def _put(self, version: ObjectRef, attributes: Mapping[str, Any]) -> None:
        pk, sk = partition_key(version), version_key(version)
        if self.ledger.key_item(version).get("version") in (None, {"S": sk}):
            self.item(pk, KEY, version=sk, temporaries={}, **attributes)
        else:
            self.item(pk, sk, **attributes)

    def _refuse_on_demand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        call = BaseClient._make_api_call  # type: ignore[attr-defined] # what everybody patches

        def perhaps(client: Any, operation: str, request: Mapping[str, Any]) -> Any:
            service = client.meta.service_model.service_name
            if f"{service}:{operation}" in self.refused:
                message = f"User: eve is not authorized to perform: {service}:{operation} on resource: x"
                raise ClientError(
                    {"Error": {"Code": "AccessDeniedException", "Message": message}},
                    operation,
                )
            return call(client, operation, request)

        monkeypatch.setattr(BaseClient, "_make_api_call", perhaps)


def _kept_as_configured(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of `Aws` that makes the same thing once for all tests with the same configuration."""

    @functools.cache
    def made(_variables: frozenset[tuple[str, str]], aws: Aws, *arguments: Any, **options: Any) -> Any:
        return make(aws, *arguments, **options)

    def kept(aws: Aws, *arguments: Any, **options: Any) -> Any:
        variables = {item for item in os.environ.items() if item[0].startswith("AWS_") or item[0] == "HOME"}
        return made(frozenset(variables), aws, *arguments, **options)

    return kept


# A client takes longer to make than most commands run. It knows nothing of the account, which is in memory.
_session = _kept_as_configured(Aws._session.__wrapped__)
_client = _kept_as_configured(Aws._client.__wrapped__)


@contextmanager
def cli_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[CliEnvironment]:
    """A delivery of its own, and nothing else in the account. A fixture of tests/unit/cli wraps it.

    Args:
        monkeypatch: That of the test: what both replace is restored in reverse order.
    """
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "COLUMNS": "80",
        "NO_COLOR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "S3_TO_SFTP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Aws, "_session", _session)
    monkeypatch.setattr(Aws, "_client", _client)
    with mock_aws():
        yield CliEnvironment(monkeypatch)


def check_schema(name: str, document: Any) -> None:
    """Require that a document is as its schema in docs/reference/cli-json says, without any other field."""
    _validator(name).validate(document)


@functools.cache
def _validator(name: str) -> Any:
    schema = json.loads((_SCHEMAS / f"{name}.schema.json").read_text())
    kind = draft_2020_12()
    kind.check_schema(schema)
    strict = without_additional_properties(schema)
    kind.check_schema(strict)
    return kind(strict, format_checker=kind.FORMAT_CHECKER)


def notification(version: ObjectRef) -> str:
    """What S3 writes into the queue."""
    about = {
        "key": quote_plus(version.key, safe="/"),
        "size": version.size or 0,
        "eTag": version.etag or "",
        "versionId": version.version_id,
        "sequencer": version.sequencer,
    }
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": version.bucket},
            "object": {name: value for name, value in about.items() if value is not None},
        },
    }
    return json.dumps({"Records": [record]})
