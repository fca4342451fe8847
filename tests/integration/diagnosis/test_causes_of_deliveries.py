"""Each problem with a partner is told by its cause, without a secret, after one attempt to log in."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest

from s3_to_sftp.credentials import FixedCredentials
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.diagnosis.catalogue import causes
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import IMPATIENT
from tests.support.problems import PROBLEMS
from tests.support.problems.healthy import HEALTHY
from tests.support.problems.problem import Problem, Provoke, Provoked


def deliver(provoked: Provoked, timeouts: Timeouts = IMPATIENT) -> None:
    s3 = MemoryS3({"report.csv": provoked.content})
    with closing(client_of(provoked, timeouts)) as client:
        Delivery(s3=s3, sftp=client, directory=provoked.directory).deliver(s3.ref("report.csv"))


def client_of(provoked: Provoked, timeouts: Timeouts) -> SftpClient:
    login = FixedCredentials(provoked.credentials)
    return SftpClient(provoked.server, login, timeouts=timeouts, directories=[provoked.directory])


def test_each_problem_has_a_name_of_its_own_and_a_cause_that_exists() -> None:
    assert [name for name, count in Counter(problem.name for problem in PROBLEMS).items() if count > 1] == []
    assert {problem.cause for problem in PROBLEMS} - causes().keys() == set()


@pytest.mark.parametrize("problem", PROBLEMS, ids=[problem.name for problem in PROBLEMS])
def test_error_begins_with_the_cause(problem: Problem) -> None:
    with problem.provoke() as provoked:
        with pytest.raises(DeliveryError) as raised:
            deliver(provoked, problem.timeouts)
        sent = provoked.logins()
    error = raised.value
    assert error.cause == problem.cause, str(error)
    assert error.reason.startswith(beginning(problem.cause, provoked))
    texts = f"{error.reason} {error.hint} {error.to_partner}"
    assert [secret for secret in provoked.secrets() if secret in texts] == []
    assert sent is None or set(Counter(sent).values()) <= {1}, "a login was sent twice"


def beginning(cause: str, provoked: Provoked) -> str:
    """Return the first sentence of a cause, up to the first name in it that only the error knows."""
    known = {"{server}": str(provoked.server), "{host!r}": repr(provoked.server.host)}
    known["{user!r}"] = repr(provoked.credentials.username)
    text = causes()[cause].summary
    for name, value in known.items():
        text = text.replace(name, value)
    return text.partition("{")[0]


@pytest.mark.parametrize("provoke", HEALTHY.values(), ids=HEALTHY.keys())
def test_healthy_server_takes_one_delivery_after_the_other(provoke: Provoke) -> None:
    with provoke() as healthy:
        for _ in range(2):
            deliver(healthy)
