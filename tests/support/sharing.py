"""How workers divide the tests: which stay together, and which start first."""

from __future__ import annotations

from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/e2e/test_long_object.py": "long object",
    "tests/e2e/test_objects_between_deployments.py": "changes",
    "tests/e2e/test_deployed_stack.py": "stock stack",
    "tests/e2e/test_plain_lambda.py": "stock stack",
    "tests/e2e/test_runtime_client.py": "stock stack",
    "tests/e2e/test_harness.py": "stock stack",
    "tests/e2e/test_operator_command.py": "stock stack",
    "tests/e2e/test_chaos.py": "chaos",
    "tests/e2e/test_examples.py": "other apps",
    "tests/e2e/test_new_user.py": "other apps",
    "tests/e2e/test_template_without_cdk.py": "other apps",
    "tests/e2e/test_permissions.py": "permissions",
    "tests/e2e/test_operator_policy.py": "permissions",
}
"""Modules of the end-to-end tests. Those with one group share a deployed stack.

The slowest start first, and of these, one that waits beside one that computes.
"""

WAITING = (
    "tests/integration/test_faults_of_the_network.py",
    "tests/integration/test_faults_in_streams.py",
    "tests/integration/test_hostile_server.py",
    "tests/integration/test_channels.py",
    "tests/integration/test_faults_of_the_server.py",
    "tests/integration/test_faults_with_ledger.py",
)
"""Modules whose tests mostly wait for a timeout. One worker for a module would be the last to end."""

APART = {"tests/e2e/test_chaos.py", *WAITING}
"""Modules each of whose tests is a group of its own: it has its own stack or shares nothing."""

_ORDER = list(dict.fromkeys((*TOGETHER.values(), *WAITING)))


def group_of(nodeid: str) -> str:
    """Return what one worker runs as a whole: a module, for its fixtures, or several; or a single test."""
    module = _module_of(nodeid)
    return nodeid if module in APART else TOGETHER.get(module, module)


def turn_of(nodeid: str) -> tuple[int, str]:
    """Return the position of its group, and its module for groups without one: the lower, the earlier."""
    module = _module_of(nodeid)
    group = TOGETHER.get(module, module)
    return (_ORDER.index(group), "") if group in _ORDER else (len(_ORDER), module)


def to_collect(tests: Path, worker: int, workers: int) -> list[str]:
    """Return all folders of tests, each worker's own share first.

    On a fresh machine every module has to be compiled. In the same order, all workers would compile the same
    module at the same time; so each finds compiled what another began with.
    """
    unit = tests / "unit"
    found = sorted([*tests.iterdir(), *unit.iterdir()])
    parts = [str(path) for path in found if path != unit and _has_tests(path)]
    return [part for share in range(workers) for part in parts[(worker + share) % workers :: workers]]


def _has_tests(path: Path) -> bool:
    return any(path.rglob("test_*.py")) if path.is_dir() else path.match("test_*.py")


def _module_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


# Not `--dist=loadgroup`: under pytest 9.2 the groups of xdist 3.8 have no effect.
class Groups(LoadScopeScheduling):
    """Hands groups out in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
