"""A deployed delivery, as its function's configuration describes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from s3_to_sftp_cli.errors import CliError, ExitCode

_PORTS = range(1, 65_536)

HANDLER = "s3_to_sftp.handler.lambda_handler"


@dataclass(frozen=True, kw_only=True)
class WatchedSource:
    """Objects that are delivered: those of a bucket with this prefix and suffix.

    Attributes:
        bucket: Its name.
        prefix: Empty: any.
        suffix: Empty: any.
        directory: Remote directory; empty: that of the delivery.
        rules: Name of its own rules; empty: it has those of the partner.
    """

    bucket: str
    prefix: str = ""
    suffix: str = ""
    directory: str = ""
    rules: str = ""

    def watches(self, bucket: str, key: str) -> bool:
        """Return whether an object is one of them."""
        return self.bucket == bucket and key.startswith(self.prefix) and key.endswith(self.suffix)


@dataclass(frozen=True, kw_only=True)
class DeployedDelivery:
    """A function that delivers to one partner, and what belongs to it.

    Attributes:
        function: Name of the Lambda function.
        arn: Its ARN.
        host: The partner's server.
        port: Its TCP port; 0: the function's variable holds none.
        directory: Remote directory (empty: where the login starts).
        host_keys: As the function pins them.
        table: The ledger; None: a function without one.
        queue_url: None: messages are left to SQS.
        dead_letter_queue_url: The same.
        secret_arn: None: the login is in the function's environment.
        sources: What it watches, as far as its configuration tells.
        rules: Identifies the rules of the partner; empty: there are none.
        ciphers: The only ones that it offers, preferred first; empty: the default ones.
        algorithms: A policy, or the weak algorithms that it offers as well; empty: the default ones.
        log_group: Of the function.
        configured_by: What has set the function's variables: `construct`, `partner.toml` or `template`;
            empty: a person.
        configuration: As Lambda returns it, without the values of variables that hold a login.
    """

    function: str
    arn: str
    host: str
    port: int
    directory: str = ""
    host_keys: tuple[str, ...] = ()
    table: str | None = None
    queue_url: str | None = None
    dead_letter_queue_url: str | None = None
    secret_arn: str | None = None
    sources: tuple[WatchedSource, ...] = ()
    rules: str = ""
    ciphers: tuple[str, ...] = ()
    algorithms: str = ""
    log_group: str = ""
    configured_by: str = ""
    configuration: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def server(self) -> str:
        """host:port, as the ledger names it."""
        return f"{self.host}:{self.port or '?'}"

    @property
    def target(self) -> str:
        """Server and directory, for people."""
        return f"{self.server} {self.directory or '(login directory)'}"

    def as_json(self) -> dict[str, Any]:
        """Return what identifies it in JSON documents."""
        return {"function": self.function, "host": self.host, "port": self.port, "directory": self.directory}

    def require_table(self) -> str:
        """Return the name of the ledger's table.

        Raises:
            CliError: It has none.
        """
        if self.table is None:
            raise CliError(
                f"The function {self.function} has no ledger (LEDGER_TABLE is not set).",
                hint="Only deliveries with a ledger can be operated: deploy the construct, or see "
                "docs/guides/plain-lambda.md.",
                code=ExitCode.CONFLICT,
            )
        return self.table

    def require_queues(self) -> tuple[str, str]:
        """Return the URLs of the queue and the dead-letter queue.

        Raises:
            CliError: It has none.
        """
        if self.queue_url is None or self.dead_letter_queue_url is None:
            raise CliError(
                f"The function {self.function} has no queues (QUEUE_URL, DEAD_LETTER_QUEUE_URL are not set).",
                hint="Deploy the construct, or see docs/guides/plain-lambda.md.",
                code=ExitCode.CONFLICT,
            )
        return self.queue_url, self.dead_letter_queue_url

    def buckets(self) -> list[str]:
        """Return the names of the buckets that it watches, each once."""
        return list(dict.fromkeys(source.bucket for source in self.sources))


def is_delivery(configuration: Mapping[str, Any]) -> bool:
    """Return whether a function's configuration is one of ours."""
    return configuration.get("Handler") == HANDLER and "SSH_HOST" in _variables(configuration)


def from_configuration(configuration: Mapping[str, Any]) -> DeployedDelivery:
    """Return the delivery that the configuration of a function describes.

    Args:
        configuration: As GetFunctionConfiguration or ListFunctions return it.
    """
    variables = _variables(configuration)
    name = configuration["FunctionName"]
    shown = {key: value for key, value in configuration.items() if key != "Environment"}
    return DeployedDelivery(
        function=name,
        arn=configuration.get("FunctionArn", ""),
        host=variables.get("SSH_HOST", "").strip(),
        port=_port(variables.get("SSH_PORT", "")),
        directory=variables.get("SSH_DIR", "").strip(),
        host_keys=tuple(
            line.strip() for line in variables.get("SSH_HOST_KEY", "").splitlines() if line.strip()
        ),
        table=variables.get("LEDGER_TABLE", "").strip() or None,
        queue_url=variables.get("QUEUE_URL", "").strip() or None,
        dead_letter_queue_url=variables.get("DEAD_LETTER_QUEUE_URL", "").strip() or None,
        secret_arn=variables.get("SSH_SECRET_ARN", "").strip() or None,
        sources=_sources(variables.get("SSH_SOURCES", "")),
        rules=variables.get("SSH_RULES", "").strip(),
        ciphers=tuple(name.strip() for name in variables.get("SSH_CIPHERS", "").split(",") if name.strip()),
        algorithms=variables.get("SSH_ALGORITHMS", ""),
        log_group=(configuration.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}",
        configured_by=variables.get("CONFIGURED_BY", "").strip(),
        configuration=shown,
    )


def _variables(configuration: Mapping[str, Any]) -> Mapping[str, str]:
    return (configuration.get("Environment") or {}).get("Variables") or {}


def _port(text: str) -> int:
    try:
        port = int(text.strip() or 22)
    except ValueError:
        return 0
    return port if port in _PORTS else 0


def _sources(text: str) -> tuple[WatchedSource, ...]:
    try:
        described = json.loads(text.strip() or "[]")
        return tuple(WatchedSource(**source) for source in described if not source.pop("former", False))
    except (ValueError, TypeError, AttributeError):
        return ()
