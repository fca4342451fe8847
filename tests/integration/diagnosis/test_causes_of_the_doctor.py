"""The doctor names the cause that a delivery names, without a secret, and after one attempt to log in."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from s3_to_sftp.doctor.report import Outcome
from tests.support.doctor_environment import examine
from tests.support.problems import PROBLEMS
from tests.support.problems.healthy import HEALTHY
from tests.support.problems.problem import Problem, Provoke

MOST_CONNECTIONS = 3


@pytest.mark.parametrize("problem", PROBLEMS, ids=[problem.name for problem in PROBLEMS])
def test_first_line_that_fails_names_the_cause(problem: Problem) -> None:
    with problem.provoke() as provoked:
        report = examine(
            provoked.server,
            provoked.credentials,
            directory=provoked.directory,
            write=True,
            timeouts=problem.timeouts,
        )
        sent = provoked.logins()
    # Where the login is not reached, a secret that cannot be used is one more failure.
    failed = next(each for each in report.checks if each.outcome is Outcome.FAILED and each.name != "secret")
    assert failed.cause == problem.cause, failed
    assert failed.advice
    printed = json.dumps(report.as_json())
    assert [secret for secret in provoked.secrets() if secret in printed] == []
    assert report.connections <= MOST_CONNECTIONS
    assert sent is None or set(Counter(sent).values()) <= {1}, "a login was sent twice"


@pytest.mark.parametrize("provoke", HEALTHY.values(), ids=HEALTHY.keys())
def test_healthy_server_passes_every_check(provoke: Provoke) -> None:
    with provoke() as healthy:
        report = examine(healthy.server, healthy.credentials, directory=healthy.directory, write=True)
        log = healthy.log()
    assert report.is_healthy, report.checks
    assert report.connections == 1
    assert "preauth" not in log, "it looks like a scanner"
