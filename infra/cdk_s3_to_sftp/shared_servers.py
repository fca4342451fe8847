"""Warns of constructs that deliver to one server, each with limits of its own."""

from dataclasses import dataclass

from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IConstruct

from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.arguments import is_token
from cdk_s3_to_sftp.exclusive_use import name_of
from cdk_s3_to_sftp.server import SftpServer

_OF_APPS: dict[IConstruct, list["_Known"]] = {}
"""App -> its servers so far."""


@dataclass(frozen=True, kw_only=True)
class _Known:
    """The server of a construct."""

    owner: str
    address: str
    credentials: str
    connections: int


def warn_of_shared_server(
    scope: Construct, server: SftpServer, credentials: secretsmanager.ISecret, *, max_connections: int
) -> None:
    """Warn if another construct of the app delivers to the same host and port, and then register this one.

    The user is in a secret, which is not read at synth: other secrets may hold the same one.

    Args:
        scope: The construct.
        server: That it delivers to.
        credentials: The secret with the login.
        max_connections: How many it opens at a time.
    """
    if is_token(server.host) or is_token(server.port):
        return
    new = _Known(
        owner=scope.node.path,
        address=server.address,
        credentials=name_of(credentials, credentials.secret_arn),
        connections=max_connections,
    )
    known = _OF_APPS.setdefault(scope.node.root, [])
    if other := next((each for each in known if each.address == new.address), None):
        _warn(scope, new, other)
    known.append(new)


def _warn(scope: Construct, new: _Known, other: _Known) -> None:
    is_same_login = new.credentials == other.credentials
    who = "with the same login" if is_same_login else "and the users in their secrets may be the same"
    counts = [new.connections, other.connections]
    known = "" if any(map(is_token, counts)) else f" ({other.connections} and {new.connections})"
    otherwise = "" if is_same_login else ", or acknowledge this if the partner counts their users apart"
    warn(
        scope,
        "sharedServer",
        f"{other.owner} and {new.owner} both deliver to {new.address}, {who}: each keeps its own "
        f"max_connections{known}, max_megabytes_per_second and rule max_drops, and the partner sees the sum. "
        f"Let one construct have all sources (add_source), or divide the partner's limits among "
        f"them{otherwise}.",
    )
