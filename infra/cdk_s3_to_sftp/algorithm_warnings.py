"""Warnings at synth about SSH algorithms that are off by default for a reason."""

from constructs import Construct

from cdk_s3_to_sftp.algorithms import weak_algorithms
from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.server import SftpServer


def warn_of_algorithms(scope: Construct, server: SftpServer) -> None:
    """Warn of each old algorithm that the server is offered; each can be acknowledged by its own id."""
    for name, risk in weak_algorithms(server.algorithms, server.ciphers).items():
        warn(
            scope,
            f"weakAlgorithm-{name}",
            f"{server.host} is offered {name}, which {risk}. Ask the partner when the server will be "
            "replaced, and remove the name then.",
        )
