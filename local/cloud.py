"""A local AWS: MiniStack in its own virtual environment."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from local.environments import REPOSITORY, prepare
from local.interpreter import lambda_interpreter
from local.processes import LOOPBACK, CannotRun, Launch, read, server_on_a_free_port

ACCOUNT = "123456789012"
REGION = "eu-west-1"

_REQUIREMENTS = REPOSITORY / "local" / "requirements.txt"
EMULATOR = REPOSITORY / "local" / "emulator.py"
_FUNCTION_LOCK = REPOSITORY / "lambda_src" / "s3_to_sftp" / "requirements.txt"
_ENFORCING = {"AUTH": "true"}
_TLS = {"USE_SSL": "1"}
_MOST_CONNECTIONS = 32
"""Of one client: tests and benchmarks use it in many threads."""
_CERTIFICATE = Path("ministack-tls") / "server.crt"
"""Its path below the TMPDIR of MiniStack; the functions that it runs trust it without configuration."""

_making_clients = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class LocalCloud:
    """What a client needs to know about a running local AWS.

    Attributes:
        endpoint: Answers for every service.
        read_log: Text of what the emulator logged so far.
        certificate: What a client must trust; None where the endpoint speaks plain HTTP.
    """

    endpoint: str
    read_log: Callable[[], str] = field(repr=False)
    certificate: Path | None = None
    _clients: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    def client(self, service: str, **credentials: str) -> Any:
        """A boto3 client of one service, independent of the profile, proxies and files of the user.

        The same one for all who ask: to make one takes boto3 many times as long as a request.

        Args:
            service: As boto3 calls it.
            **credentials: `aws_access_key_id` and so on. By default those of the root of the account.
        """
        key = service, *sorted(credentials.items())
        with _making_clients:  # a session is not for several threads
            if key not in self._clients:
                self._clients[key] = self._new_client(service, credentials)
            return self._clients[key]

    def _new_client(self, service: str, credentials: Mapping[str, str]) -> Any:
        return _session().client(
            service,
            endpoint_url=self.endpoint,
            verify=str(self.certificate) if self.certificate else None,
            config=Config(
                proxies={},
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 2},
                max_pool_connections=_MOST_CONNECTIONS,
            ),
            **credentials,
        )

    def environment(self) -> dict[str, str]:
        """The environment of a program that talks to this cloud and to no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept,
            **_ADDRESSES,
            **self._trust(),
            "AWS_ENDPOINT_URL": self.endpoint,
            # Downloads may need the user's proxy, the emulator never does.
            "NO_PROXY": f"{LOOPBACK},localhost",
            "no_proxy": f"{LOOPBACK},localhost",
        }

    def _trust(self) -> dict[str, str]:
        if self.certificate is None:
            return {}
        # Only Node and the AWS tools trust it: other downloads of a deployment come from elsewhere.
        return {"AWS_CA_BUNDLE": str(self.certificate), "NODE_EXTRA_CA_CERTS": str(self.certificate)}


# The emulator treats these as the root of the account, and any other key, too, unless it enforces IAM. The
# files of the user are neither needed nor read.
_ADDRESSES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def start_cloud(folder: Path, *, enforce_iam: bool = False, tls: bool = False) -> Iterator[LocalCloud]:
    """Runs MiniStack on loopback until the block ends; everything it writes stays in `folder`.

    The first call on a machine builds its virtual environment, which takes a download.

    Args:
        folder: Its own.
        enforce_iam: Let it check signatures and policies, and give functions the credentials of their roles.
            It then speaks TLS only: the policies of the stack deny requests without it.
        tls: Let it speak TLS only.

    Raises:
        CannotRun: The environment could not be built, or the emulator did not start.
    """
    tls = tls or enforce_iam
    if tls and shutil.which("openssl") is None:
        raise CannotRun("openssl is missing: MiniStack makes its certificate with it")
    interpreter = prepare_emulator()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "ministack.log"
    scheme = "https" if tls else "http"
    more = {**(_TLS if tls else {}), **(_ENFORCING if enforce_iam else {})}
    launch = functools.partial(_ministack, interpreter, folder, scheme, more)
    with server_on_a_free_port("MiniStack", launch, log=log) as port:
        yield LocalCloud(
            endpoint=f"{scheme}://{LOOPBACK}:{port}",
            read_log=functools.partial(read, log),
            certificate=folder / _CERTIFICATE if tls else None,
        )


def prepare_emulator() -> Path:
    """MiniStack's interpreter; builds its environment if this machine has none for the present pins.

    Raises:
        CannotRun: An install failed, or this machine cannot run the function's Linux wheels.
    """
    if platform.system() != "Linux":
        raise CannotRun(
            f"the local AWS runs the function's own bundle, which is for Linux, got {platform.system()}: "
            "run this in a Linux container or virtual machine"
        )
    base = lambda_interpreter()
    # Functions run on MiniStack's interpreter; cffi is the only compiled part of theirs without abi3.
    more = [] if base else [_locked_cffi()]
    return prepare("ministack", requirements=_REQUIREMENTS, base=base, more=more)


def _locked_cffi() -> str:
    lines = _FUNCTION_LOCK.read_text().splitlines()
    return next(line.rstrip(" \\") for line in lines if line.startswith("cffi=="))


def _ministack(interpreter: Path, folder: Path, scheme: str, more: dict[str, str], port: int) -> Launch:
    return Launch(
        command=[interpreter, "-P", EMULATOR],
        # Spelled out, because functions inherit it: in Lambda they see no proxy, no PYTHONPATH of ours.
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "STATE_DIR": str(folder),
            "S3_DATA_DIR": str(folder),
            "BIND_HOST": LOOPBACK,  # its default is every interface
            "MINISTACK_HOST": LOOPBACK,
            "GATEWAY_PORT": str(port),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "SFTP_ENABLED": "0",  # its own SFTP server would want a fixed port
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        },
        ready=f"Running on {scheme}://{LOOPBACK}:{port} ",
    )


@functools.cache  # with the descriptions of the services that it has read
def _session() -> Any:  # boto3's stubs accept no variable as the name of a service
    # (name in the file, environment variable, default, conversion): without a variable the default applies.
    nowhere: dict[str, tuple[None, None, str | None, None]] = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
        "ca_bundle": (None, None, None, None),
    }
    return boto3.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - see _ADDRESSES
        region_name=REGION,
        botocore_session=botocore.session.Session(session_vars=nowhere),
    )
