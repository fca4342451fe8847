"""What the function answers `s3-to-sftp plan` is what its next delivery does, and asking changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3_to_sftp import handler
from s3_to_sftp.errors import RenameUnanswered, RequestRefused
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from s3_to_sftp.rules.plan_request import answer
from s3_to_sftp.rules.sequence import Reset, Sequence
from s3_to_sftp.sftp.protocol import Request, Status
from tests.support.delivery_environment import is_rename
from tests.support.lambda_events import lambda_context
from tests.support.ledger_environment import TABLE
from tests.support.memory_s3 import PUT_AT, MemoryS3
from tests.support.rules_environment import EVENT_TIME, RulesEnvironment
from tests.support.scripted_server import NOTHING, Asked, status

PLAIN = {"SSH_HOST": "sftp.example", "SSH_PORT": "22", "SSH_USERNAME": "u", "SSH_PASSWORD": "p"}
NUMBERED = DeliveryRules(
    name="PAY_{sequence:04d}_{delivery_time:%Y%m%d}.csv",
    sequence=Sequence(start=7, reset=Reset.DAY),
    companions=[Companion.checksum("sha256"), Companion.marker("{stem}.done", before=True)],
    mode=0o640,
)


class Function:
    """A deployed function, as an invocation finds it.

    Attributes:
        environment: Its variables.
    """

    def __init__(self, s3: Any, dynamodb: Any, environment: dict[str, str], now: Any) -> None:
        self.clients = {"s3": s3, "dynamodb": dynamodb}
        self.environment = environment
        self.now = now

    def plan(self, key: str, **about: Any) -> dict[str, Any]:
        event = {"operation": "plan", "bucket": "bucket", "key": key, **about}
        return answer(event, self.environment, new_client=self._client, now=self.now)

    def _client(self, service: str, **_: Any) -> Any:
        return self.clients[service]


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what deploys rules: the function that has them in a layer, beside the deliveries of a test."""

    def deployed(
        harness: RulesEnvironment, *, own: dict[str, DeliveryRules] | None = None, **variables: str
    ) -> Function:
        document = RulesDocument(partner=harness.rules, sources=own or {})
        folder = tmp_path / PACKAGE
        folder.mkdir()
        (folder / FILE).write_text(document.as_text())
        monkeypatch.syspath_prepend(str(tmp_path))
        environment = {
            **PLAIN,
            "SSH_DIR": "inbox",
            "SSH_RULES": document.digest,
            "LEDGER_TABLE": TABLE,
            **variables,
        }
        return Function(harness.s3, harness.ledger.dynamodb, environment, harness.ledger.clock)

    return deployed


def everything_in(table: Any) -> list[Any]:
    return sorted(table.scan(TableName=TABLE)["Items"], key=str)


def test_plan_is_what_the_next_delivery_does(ledger_table: Any, deploy: Any) -> None:
    harness = RulesEnvironment(ledger_table, NUMBERED, {"a.csv": b"data", "b.csv": b"data"})
    function = deploy(harness)
    for number, key in enumerate(("a.csv", "b.csv"), 7):
        answered = function.plan(key)
        assert answered["refused"] is None
        assert answered["plan"]["remote_path"] == "inbox/PAY_{sequence}_20261123.csv"
        assert answered["plan"]["mode"] == "640"
        named = answered["sequence"].pop("remote_paths")
        sequence = {"name": "default", "number": number, "is_taken": False, "held_by": None}
        assert answered["sequence"] == sequence
        harness.deliver(harness.ref(key))
        receipt = harness.item(harness.ref(key))["receipt"]["M"]
        companions = [each["S"] for each in receipt["companions"]["L"]]
        assert named == [receipt["remote_path"]["S"], *companions]
        assert len(companions) == 2


def test_plan_tells_object_facts_and_rules(ledger_table: Any, deploy: Any) -> None:
    rules = DeliveryRules(name="{metadata[Order]}-{tag[site]}{ext}", preserve_time=True)
    harness = RulesEnvironment(ledger_table, rules, {"a.csv": b"data"})
    harness.s3.metadata["a.csv"] = {"order": "17", "other": "x"}
    harness.s3.tags["a.csv"] = {"site": "ZH", "other": "x"}
    answered = deploy(harness).plan("a.csv")
    assert answered["object"] == {"bucket": "bucket", "key": "a.csv", "version_id": None, "bytes": 4}
    assert answered["facts"] == {
        "event_time": int(PUT_AT.timestamp()),
        "delivery_time": int(harness.ledger.clock.now),
        "metadata": {"Order": "17"},
        "tags": {"site": "ZH"},
    }
    assert answered["rules"] == {"of": "partner", "source": None}
    assert answered["plan"]["remote_path"] == "inbox/17-ZH.csv"
    assert answered["plan"]["modified"] == EVENT_TIME
    assert answered["sequence"] is None


def test_rules_of_the_source_are_said_to_be_its_own(ledger_table: Any, deploy: Any) -> None:
    harness = RulesEnvironment(ledger_table, NUMBERED, {"fast/a.csv": b"data"})
    sources = [{"bucket": "bucket", "prefix": "fast/", "directory": "quick", "rules": "fast"}]
    answered = deploy(
        harness, own={"fast": DeliveryRules(name="F_{name}")}, SSH_SOURCES=json.dumps(sources)
    ).plan("fast/a.csv")
    source = {"bucket": "bucket", "prefix": "fast/", "suffix": ""}
    assert answered["rules"] == {"of": "source", "source": source}
    assert answered["plan"]["remote_path"] == "quick/F_a.csv"


def test_function_without_rules_answers_without_the_code_that_makes_and_executes_plans() -> None:
    script = """
import sys
from s3_to_sftp.rules.plan_request import answer
from tests.support.memory_s3 import MemoryS3
s3 = MemoryS3({"in/a.csv": b"data"})
environment = {
    "SSH_HOST": "h", "SSH_PORT": "22", "SSH_USERNAME": "u", "SSH_PASSWORD": "p", "SSH_DIR": "/inbox"
}
answered = answer({"bucket": "bucket", "key": "in/a.csv"}, environment, new_client=lambda *_, **__: s3)
print(answered["plan"]["remote_path"], answered["rules"], answered["plan"]["steps"][-1])
print([name for name in ("plan", "execution", "delivery_rules") if f"s3_to_sftp.rules.{name}" in sys.modules])
"""
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [
        "/inbox/in/a.csv {'of': 'none', 'source': None} record the receipt",
        "[]",
    ]


def test_asking_changes_nothing_and_does_not_connect(ledger_table: Any, deploy: Any) -> None:
    harness = RulesEnvironment(ledger_table, NUMBERED, {"a.csv": b"1", "b.csv": b"2"})
    function = deploy(harness)
    harness.deliver(harness.ref("a.csv"))
    before, connections = everything_in(ledger_table), len(harness.env.made)
    assert function.plan("b.csv")["refused"] is None
    assert everything_in(ledger_table) == before
    assert len(harness.env.made) == connections


def test_object_that_holds_a_number_keeps_number_and_name(ledger_table: Any, deploy: Any) -> None:
    harness = RulesEnvironment(ledger_table, NUMBERED, {"a.csv": b"1", "b.csv": b"2"})
    function, ref = deploy(harness), harness.ref("a.csv")
    harness.env.scripts[0] = lambda asked: NOTHING if is_final_name(asked) else None
    with pytest.raises(RenameUnanswered):
        harness.deliver(ref)
    harness.ledger.clock.now += 86_400
    own = function.plan("a.csv", etag=ref.etag, sequencer=ref.sequencer)
    assert own["state"] == "COMMITTING"
    assert own["plan"]["remote_path"] == "inbox/PAY_0007_20261123.csv"
    assert (own["sequence"]["number"], own["sequence"]["is_taken"]) == (7, True)
    other = function.plan("b.csv")
    assert other["state"] is None
    assert (other["sequence"]["number"], other["sequence"]["held_by"]) == (7, "s3://bucket/a.csv")


def is_final_name(asked: Asked) -> bool:
    return is_rename(asked) and asked.texts[-1].endswith(".csv")


def test_plan_of_an_earlier_attempt_stays(ledger_table: Any, deploy: Any) -> None:
    harness = RulesEnvironment(
        ledger_table, DeliveryRules(name="{delivery_time:%Y%m%d}_{name}"), {"a.csv": b"1"}
    )
    function, ref = deploy(harness), harness.ref("a.csv")
    harness.env.scripts[0] = lambda asked: NOTHING if is_final_name(asked) else None
    with pytest.raises(RenameUnanswered):
        harness.deliver(ref)
    harness.ledger.clock.now += 86_400
    about = {"etag": ref.etag, "sequencer": ref.sequencer}
    assert function.plan("a.csv", **about)["plan"]["remote_path"] == "inbox/20261123_a.csv"
    assert function.plan("a.csv")["plan"]["remote_path"] == "inbox/20261124_a.csv"


def test_plan_that_was_made_with_other_rules_is_made_again(ledger_table: Any, deploy: Any) -> None:
    harness = RulesEnvironment(ledger_table, DeliveryRules(name="OLD_{name}"), {"a.csv": b"1"})
    ref = harness.ref("a.csv")
    harness.env.scripts[0] = lambda asked: NOTHING if is_final_name(asked) else None
    with pytest.raises(RenameUnanswered):
        harness.deliver(ref)
    harness.rules = DeliveryRules(name="NEW_{name}")
    answered = deploy(harness).plan("a.csv", etag=ref.etag, sequencer=ref.sequencer)
    assert answered["plan"]["remote_path"] == "inbox/NEW_a.csv"


@pytest.mark.parametrize(
    ("rules", "key", "refused"),
    [
        (
            DeliveryRules(allowed_names=r"[A-Z]+\.CSV"),
            "a.csv",
            {"error": "RuleRefused", "rule": "allowed_names", "value": "a.csv"},
        ),
        (DeliveryRules(), "a//b", {"error": "RuleRefused", "rule": "name"}),
        (DeliveryRules(), "gone", {"error": "ObjectGone", "rule": None, "value": None}),
        (DeliveryRules(), "folder/", {"error": "FolderMarker", "rule": None, "value": None}),
    ],
)
def test_reason_why_there_is_no_plan_is_the_answer(
    ledger_table: Any, deploy: Any, rules: DeliveryRules, key: str, refused: dict[str, Any]
) -> None:
    harness = RulesEnvironment(ledger_table, rules, {"a.csv": b"1", "a//b": b"2", "folder/": b""})
    answered = deploy(harness).plan(key)
    assert answered["plan"] is None
    assert answered["refused"].items() >= refused.items()
    assert answered["refused"]["reason"]
    assert answered["refused"]["hint"]


def test_number_that_the_rules_do_not_allow_is_the_answer(ledger_table: Any, deploy: Any) -> None:
    rules = DeliveryRules(name="P{sequence}.csv", sequence=Sequence(start=9), allowed_names=r"P\d\.csv")
    harness = RulesEnvironment(ledger_table, rules, {"a.csv": b"1", "b.csv": b"2"})
    harness.deliver(harness.ref("a.csv"))
    answered = deploy(harness).plan("b.csv")
    assert answered["plan"] is None
    assert answered["refused"].items() >= {"rule": "allowed_names", "value": "P10.csv"}.items()


def test_number_of_an_object_that_was_given_up_would_be_next(ledger_table: Any, deploy: Any) -> None:
    rules = replace(NUMBERED, require_attributes=True)
    harness = RulesEnvironment(ledger_table, rules, {"a.csv": b"1", "b.csv": b"2"})
    harness.env.scripts[0] = lambda asked: (
        status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.SETSTAT else None
    )
    deployed, function, ref = deploy(harness), harness.function(), harness.ref("a.csv")
    with pytest.raises(RequestRefused) as error:
        function.deliver(ref)
    assert deployed.plan("b.csv")["sequence"]["held_by"] == "s3://bucket/a.csv"
    function.give_up(ref, error.value)
    sequence = deployed.plan("b.csv")["sequence"]
    assert (sequence["number"], sequence["held_by"]) == (7, None)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SSH_HOST": ""}, "SSH_HOST is not set"),
        ({"SSH_RULES": "0a1b"}, "SSH_RULES is '0a1b'"),
        ({"LEDGER_TABLE": "none"}, "does not exist"),
        ({"LEDGER_TABLE": ""}, "SSH_RULES needs a ledger"),
    ],
)
def test_broken_configuration_is_the_answer(
    ledger_table: Any, deploy: Any, variables: dict[str, str], said: str
) -> None:
    harness = RulesEnvironment(ledger_table, NUMBERED, {"a.csv": b"1"})
    answered = deploy(harness, **variables).plan("a.csv")
    assert said in answered["refused"]["reason"]
    assert answered["plan"] is None


@pytest.mark.parametrize("about", [{"key": ""}, {"key": 7}, {"version_id": ["x"]}])
def test_request_that_names_no_object_is_answered(ledger_table: Any, about: dict[str, Any]) -> None:
    function = Function(MemoryS3(), ledger_table, dict(PLAIN), lambda: 0.0)
    answered = function.plan(**{"key": "a", **about})
    assert "names no object" in answered["refused"]["reason"]


def test_corrupt_plan_in_the_ledger_is_the_answer(ledger_table: Any, deploy: Any) -> None:
    harness = RulesEnvironment(ledger_table, DeliveryRules(), {"a.csv": b"1"})
    ref, function = harness.ref("a.csv"), deploy(harness)
    harness.env.scripts[0] = lambda asked: NOTHING if is_final_name(asked) else None
    with pytest.raises(RenameUnanswered):
        harness.deliver(ref)
    kept = harness.item(ref)["plan"]["S"].partition(" ")[0]
    harness.ledger.write(ref, "plan", {"S": f"{kept} no JSON"})
    answered = function.plan("a.csv", etag=ref.etag, sequencer=ref.sequencer)
    assert answered["refused"]["error"] == "LedgerError"


@pytest.mark.filterwarnings("ignore:No application metrics to publish")  # as handler.py itself does
def test_handler_answers_without_building_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "_app", not_built)
    monkeypatch.setattr(handler, "_flush", lambda: None)
    monkeypatch.setenv("SSH_HOST", "")
    event = {"operation": "plan", "bucket": "b", "key": "k"}
    answered: Any = handler.lambda_handler(event, lambda_context())
    assert answered["refused"]["error"] == "ConfigurationError"


def not_built() -> Any:
    raise AssertionError("a plan needs no connection, and no breaker")


def test_rules_are_told_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = RulesDocument(partner=DeliveryRules(name="{name}"), sources={})
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / FILE).write_text(document.as_text())
    monkeypatch.syspath_prepend(str(tmp_path))
    environment = {"SSH_HOST": "h", "SSH_PORT": "22", "SSH_USERNAME": "u", "SSH_PASSWORD": "p"}
    asked = {"operation": "plan", "rules": True}
    assert answer(asked, environment, new_client=lambda *_: None) == {"rules": None}
    told = answer(asked, {**environment, "SSH_RULES": document.digest}, new_client=lambda *_: None)
    assert told == {"rules": document.as_text()}
    missing = answer(asked, {**environment, "SSH_RULES": "x"}, new_client=lambda *_: None)
    assert missing["rules"] is None
    assert "SSH_RULES is 'x'" in missing["refused"]["reason"]
