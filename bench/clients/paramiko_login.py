"""How a plain paramiko client logs in."""

from __future__ import annotations

import socket

import paramiko

from bench.clients.job import Job

_ETHERNET_SEGMENT = 1448


def connect(job: Job) -> tuple[paramiko.SSHClient, paramiko.SFTPClient]:
    """A connection with paramiko's own preferences, and its SFTP session."""
    ssh = paramiko.SSHClient()
    # The server is ours and lives for one benchmark; most naive clients do the same to real ones.
    ssh.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507
    ssh.connect(
        job.host,
        port=job.port,
        username=job.username,
        key_filename=job.key_file,
        look_for_keys=False,
        allow_agent=False,
        sock=_connected_socket(job),
    )
    return ssh, ssh.open_sftp()


def _connected_socket(job: Job) -> socket.socket:
    """A connection with segments as on Ethernet.

    paramiko leaves Nagle's algorithm on. With loopback's segments of 64 KiB each unpipelined write then waits
    40 ms for a delayed acknowledgement, which no real network makes it do: 1 MB/s instead of 100.
    """
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _ETHERNET_SEGMENT)
    connection.connect((job.host, job.port))
    return connection
