"""The local harness: a local AWS, an SFTP server and the stock stack between them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.aws_proxy import aws_proxy
from local.cloud import LocalCloud, prepare_emulator, start_cloud
from local.deployment import (
    Deployment,
    bootstrap,
    cloud_assembly,
    configure_function,
    deploy,
    fill_secret,
    server_context,
    wait_for_test_event,
)
from local.progress import Progress
from local.sftp_server import RunningServer, start_server
from local.twin import start_twin
from s3_to_sftp.measured_server import MeasuredServer

_INBOX = "inbox"


@dataclass(frozen=True, kw_only=True)
class Harness:
    """A running deployment: what is put into the bucket arrives in the inbox.

    Attributes:
        cloud: The local AWS.
        endpoint: The same with what the emulator lacks, for the function and for people.
        server: The SFTP server.
        deployment: The stack in between.
        scratch: A directory for files of this run; deleted at its end.
    """

    cloud: LocalCloud
    endpoint: str
    server: RunningServer
    deployment: Deployment
    scratch: Path

    def landing_place(self, key: str) -> Path:
        """Returns the local path at which an object with this key arrives."""
        return self.server.root / _INBOX / key

    def remote_path(self, key: str) -> str:
        """Returns the same path as the SFTP server names it."""
        return f"{self.server.directory.rstrip('/')}/{_INBOX}/{key}"


@contextmanager
def set_up(progress: Progress, *, partner: MeasuredServer | None = None) -> Iterator[Harness]:
    """Starts everything, and stops it when the block ends; nothing is shared with another copy.

    Args:
        progress: Told of each step.
        partner: What a server showed: the SFTP server then does the same.
    """
    with tempfile.TemporaryDirectory(prefix="s3-to-sftp-") as folder:
        scratch = Path(folder)
        inbox = scratch / "sftp"
        inbox.mkdir()
        with progress.step("preparing the local AWS (downloads MiniStack the first time)"):
            prepare_emulator()
        with start_twin(inbox, partner) if partner else start_server(inbox) as server:
            progress.say(f"{server.kind} listens on {server.host}:{server.port}")
            with start_cloud(scratch / "cloud") as cloud, aws_proxy(cloud.endpoint) as endpoint:
                progress.say(f"MiniStack listens on {cloud.endpoint}, behind {endpoint}")
                with progress.step("cdk bootstrap"):
                    bootstrap(cloud, scratch=scratch / "cdk")
                with progress.step("cdk deploy"), cloud_assembly(scratch / "cdk") as assembly:
                    deployment = deploy(
                        cloud, server_context(server, _INBOX), assembly=assembly, scratch=scratch / "cdk"
                    )
                fill_secret(cloud, deployment, server)
                progress.say("the secret holds the login of the SFTP server")
                wait_for_test_event(cloud, deployment)
                configure_function(cloud, deployment, variables={"AWS_ENDPOINT_URL": endpoint})
                yield Harness(
                    cloud=cloud, endpoint=endpoint, server=server, deployment=deployment, scratch=scratch
                )
