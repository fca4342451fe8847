"""How workers divide the tests: which stay together, and which start first."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/e2e/test_long_object.py": "long object",
    "tests/e2e/test_long_object_over_two_streams.py": "long object over two streams",
    "tests/e2e/test_chaos.py": "chaos",
    "tests/e2e/test_objects_between_deployments.py": "changes",
    "tests/e2e/test_deployed_stack.py": "stock stack",
    "tests/e2e/test_plain_lambda.py": "stock stack",
    "tests/e2e/test_runtime_client.py": "stock stack",
    "tests/e2e/test_harness.py": "stock stack",
    "tests/e2e/test_examples.py": "other apps",
    "tests/e2e/test_new_user.py": "other apps",
    "tests/e2e/test_template_without_cdk.py": "other apps",
    "tests/e2e/test_permissions.py": "permissions",
}
"""Modules that use one deployed stack. The slowest start first, beside all others."""

_ORDER = list(dict.fromkeys(TOGETHER.values()))


def group_of(nodeid: str) -> str:
    """What one worker does as a whole: a module, for its fixtures, or several of them."""
    module = nodeid.partition("::")[0]
    return TOGETHER.get(module, module)


def turn_of(nodeid: str) -> int:
    """The position of its group: the lower, the earlier."""
    group = group_of(nodeid)
    return _ORDER.index(group) if group in _ORDER else len(_ORDER)


# Not `--dist=loadgroup`: under pytest 9.2 the groups of xdist 3.8 have no effect.
class Groups(LoadScopeScheduling):
    """Hands groups out in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
