"""Fixtures of the integration layer: real servers with a folder of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from local.cloud import LocalCloud, start_cloud
from local.processes import CannotRun
from local.sftp_server import RunningServer, sshd_path, start_asyncssh_server, start_sshd
from s3_to_sftp import untrusted_text
from tests.support import partner
from tests.support.partner import tuned


@pytest.fixture(autouse=True)
def secrets_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets the secrets of a test at its end: a function knows those of its own partner only.

    What finds the private keys of sixteen tests takes a fifth of a second to compile, anew for each test.
    """
    # Those of fixtures that serve several tests stay.
    monkeypatch.setattr(untrusted_text, "_secrets", dict(untrusted_text._secrets))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder in which the partner's files land."""
    folder = tmp_path / "partner"
    folder.mkdir()
    return folder


@pytest.fixture(params=["sshd", "asyncssh"])
def server(request: pytest.FixtureRequest, root: Path) -> Iterator[RunningServer]:
    """A healthy server of each kind."""
    with start(request.param, root) as running:
        yield running


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local AWS for the tests of a file."""
    with ExitStack() as stack:
        try:
            cloud = stack.enter_context(start_cloud(tmp_path_factory.mktemp("cloud")))
        except CannotRun as error:
            pytest.skip(f"there is no local AWS: {error}")
        yield cloud


@pytest.fixture
def sshd_or_skip() -> None:
    """Skips where OpenSSH's server is not installed."""
    skip_without_sshd()


def start(kind: str, root: Path) -> AbstractContextManager[RunningServer]:
    """Start a server of this kind, or skip with the reason."""
    if kind == "sshd":
        skip_without_sshd()
        return start_sshd(root)
    return start_asyncssh_server(root)


def skip_without_sshd() -> None:
    if sshd_path() is None:
        pytest.skip("OpenSSH's sshd is not installed (apt-get install openssh-server)")


@pytest.fixture
def streams_at_any_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives any object as many streams as the partner allows, and small ranges to take.

    How many streams pay is decided in `stream_count` (see test_parallel_streams.py); here they are wanted for
    their faults.
    """
    monkeypatch.setattr(partner, "TUNING", tuned(255 * 1024))
