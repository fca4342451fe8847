"""An SFTP server that keeps its address, host key and files across restarts."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import asyncssh

from local.sftp_server import RunningServer, SftpFactory, start_asyncssh_server


class RestartableServer:
    """A server that a test can stop, restart, or replace by one with another login or host key."""

    def __init__(self, root: Path, *, sftp_factory: SftpFactory = asyncssh.SFTPServer) -> None:
        """Does not start the server.

        Args:
            root: The folder that a login sees as `/`.
            sftp_factory: Called once per SFTP session.
        """
        self.root = root
        self.password = "correct horse battery staple"
        self._sftp_factory = sftp_factory
        self._identity = asyncssh.generate_private_key("ssh-ed25519")
        self._running = ExitStack()
        self._port: int | None = None

    def start(self, *, password: str | None = None, identity: asyncssh.SSHKey | None = None) -> RunningServer:
        """Restarts the server at the same address; by default with the same password and host key."""
        self.stop()
        server = self._running.enter_context(
            start_asyncssh_server(
                self.root,
                port=self._port,
                password=password or self.password,
                host_keys=[identity or self._identity],
                sftp_factory=self._sftp_factory,
            )
        )
        self._port = server.port
        return server

    def stop(self) -> None:
        """Cuts every connection and refuses new ones."""
        self._running.close()
