"""Warnings at synth about SSH algorithms: what is off by default for a reason, and what a policy is not."""

from constructs import Construct

from cdk_s3_to_sftp.algorithms import weak_algorithms
from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.server import SftpServer
from s3_to_sftp.algorithm_rule import Policy


def warn_of_algorithms(scope: Construct, server: SftpServer) -> None:
    """Warn of each old algorithm that is offered, and of what a policy does not say; each has its own id."""
    if server.algorithms is not None and server.algorithms.policy is Policy.FIPS:
        warn(
            scope,
            "fipsIsAboutNames",
            f"Algorithms.fips() restricts the names of the algorithms that {server.host} is offered. It "
            f"does not "
            "make the function's cryptographic library a module that was validated under FIPS 140: where a "
            "partner or an auditor demands one, this is not it. Acknowledge this if the algorithms are "
            "enough.",
        )
    for name, risk in weak_algorithms(server.algorithms, server.ciphers).items():
        warn(
            scope,
            f"weakAlgorithm-{name}",
            f"{server.host} is offered {name}, which {risk}. Ask the partner when the server will be "
            "replaced, and remove the name then.",
        )
