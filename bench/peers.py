"""The tools that people use instead."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.clients.job import Job
from bench.tools import Tool

_GCM = "aes128-gcm@openssh.com"
TRANSFERS = (4, 8, 16, 32)
"""The counts among which the best one of rclone is searched."""


def for_large() -> list[Tool]:
    """One large file, each tool with its defaults and, where it has options for it, tuned for speed."""
    return [
        _sftp(),
        _sftp("tuned", "-c", _GCM, "-B", "261120", "-R", "256"),
        _rclone(),
        _rclone("tuned", "--sftp-ciphers", _GCM, "--sftp-chunk-size", "255k", "--sftp-concurrency", "256"),
        _lftp(),
        _python_peer("asyncssh", "asyncssh_put"),
        _python_peer("asyncssh", "asyncssh_put", variant="gcm", cipher=_GCM),
        _python_peer("paramiko-putfo", "paramiko_putfo"),
        naive(),
    ]


def for_small(transfers: Sequence[int]) -> list[Tool]:
    """Many small files, each tool in its fastest way; rclone with each of these counts."""
    return [
        _sftp("batch"),
        *(_rclone(f"transfers {count}", "--transfers", str(count)) for count in transfers),
        _lftp("mirror"),
        _python_peer("asyncssh", "asyncssh_put", variant="32 at a time"),
        _python_peer("paramiko-putfo", "paramiko_putfo"),
        naive(),
    ]


def naive() -> Tool:
    """A naive Lambda function."""
    return _python_peer("naive", "naive")


def s3_get() -> Tool:
    """Not a peer: one plain GET, whose bytes are discarded."""
    return _python_peer("s3-get", "s3_get")


def rclone_program() -> str | None:
    """rclone: the one in the environment of this Python, otherwise the system's."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


def ssh_options(job: Job) -> list[str]:
    """What ssh needs to log in without asking, and without the files of the user."""
    pairs = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
    options = [word for pair in pairs for word in ("-o", pair)]
    return ["-F", "none", *options, "-o", "IdentitiesOnly=yes", "-i", job.key_file]


def _sftp(variant: str = "", *options: str) -> Tool:
    def command(job: Job) -> list[str]:
        put = f"put {job.local} {job.directory}/large" if job.files == 1 else _put_all(job)
        sftp = ["sftp", "-q", "-P", str(job.port), *ssh_options(job), *options, "-b", "-"]
        return _fed(put, [*sftp, f"{job.username}@{job.host}"])

    return Tool(name="sftp", variant=variant, command=command, missing=_needs("sftp"), reads_files=True)


def _put_all(job: Job) -> str:
    return f"lcd {job.local}\ncd {job.directory}\nmput *"


def _fed(text: str, command: list[str]) -> list[str]:
    # The shell is replaced by the tool's own process, so that only that one is measured.
    return ["sh", "-c", f"exec {shlex.join(command)} <<'END'\n{text}\nEND"]


def _rclone(variant: str = "", *options: str) -> Tool:
    def command(job: Job) -> list[str]:
        action = "copyto" if job.files == 1 else "copy"
        target = f"{job.directory}/large" if job.files == 1 else job.directory
        login = ["--sftp-host", job.host, "--sftp-port", str(job.port), "--sftp-user", job.username]
        return [
            rclone_program() or "rclone",
            action,
            job.local,
            f":sftp:{target}",
            *login,
            "--sftp-key-file",
            job.key_file,
            *_NO_EXTRA_WORK,
            *options,
        ]

    return Tool(
        name="rclone",
        variant=variant,
        command=command,
        missing=lambda: None if rclone_program() else _not_installed("rclone"),
        reads_files=True,
    )


# What the others do not do either: checksums, modification times, a look for the shell and the target.
_NO_EXTRA_WORK = (
    "--config=",
    "--sftp-shell-type=none",
    "--sftp-disable-hashcheck",
    "--sftp-set-modtime=false",
    "--no-check-dest",
    "--quiet",
)


def _lftp(variant: str = "") -> Tool:
    def command(job: Job) -> list[str]:
        ssh = shlex.join(["ssh", "-a", "-x", *ssh_options(job)])
        settings = f'set sftp:connect-program "{ssh}"; set cmd:fail-exit yes; set net:max-retries 1; '
        login = f"open -u {job.username},unused -p {job.port} sftp://{job.host}; "
        if job.files == 1:
            action = f"put {job.local} -o {job.directory}/large"
        else:
            action = f"mirror --reverse --no-perms --parallel=8 {job.local} {job.directory}"
        return ["lftp", "--norc", "-c", settings + login + action]

    return Tool(name="lftp", variant=variant, command=command, missing=_needs("lftp"), reads_files=True)


def _python_peer(name: str, client: str, *, variant: str = "", cipher: str = "") -> Tool:
    def command(job: Job) -> list[str]:
        return dataclasses.replace(job, cipher=cipher).command(client)

    library = "asyncssh" if name == "asyncssh" else "paramiko"
    return Tool(
        name=name,
        variant=variant,
        command=command,
        missing=lambda: None if importlib.util.find_spec(library) else _not_installed(library),
        reads_files=name == "asyncssh",
        reads_object=name in {"naive", "s3-get"},
    )


def _needs(program: str) -> Callable[[], str | None]:
    return functools.partial(_unless_on_path, program)


def _unless_on_path(program: str) -> str | None:
    return None if shutil.which(program) else _not_installed(program)


def _not_installed(what: str) -> str:
    return f"{what} is not installed"
