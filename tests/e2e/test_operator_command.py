"""The operator's command against the deployed stack."""

from __future__ import annotations

from tests.support.e2e.operator import operate
from tests.support.e2e.stack_environment import StackEnvironment, wait_until

REFUSED = "operator/../refused.csv"


def test_list_finds_the_deployed_delivery(env: StackEnvironment) -> None:
    code, listed = operate(env, "list")
    assert (code, listed["version"], listed["command"]) == (0, 1, "list")
    (delivery,) = listed["deliveries"]
    assert delivery["function"] == env.deployment.function
    assert (delivery["host"], delivery["port"]) == (env.server.host, env.server.port)
    assert [source["bucket"] for source in delivery["sources"]] == [env.deployment.bucket]


def test_redrive_dry_run_counts_dead_letters_by_kind_and_moves_none(env: StackEnvironment) -> None:
    dead_letters = env.deployment.dead_letter_queue_url
    before = env.messages(dead_letters)
    env.put(REFUSED, b"refused")
    wait_until(lambda: env.messages(dead_letters) == before + 1, "dead letter", env.explain)
    code, counted = operate(env, "redrive", "--error", "RemotePathRefused", "--dry-run")
    assert (code, counted["command"], counted["dry_run"], counted["sent"]) == (0, "redrive", True, 0)
    (kind,) = counted["matched"]
    assert kind["kind"].startswith("RemotePathRefused")
    assert kind["messages"] >= 1
    assert env.messages(dead_letters) == before + 1


def test_redrive_of_a_kind_that_is_not_there_says_so(env: StackEnvironment) -> None:
    code, counted = operate(env, "redrive", "--error", "NoSuchError", "--dry-run")
    assert (code, counted["matched"]) == (4, [])


def test_unknown_name_is_an_error_document(env: StackEnvironment) -> None:
    code, document = operate(env, "redrive", "--dry-run", "--name", "no-such-delivery")
    assert (code, document["error"]["code"]) == (4, "NOT_FOUND")
