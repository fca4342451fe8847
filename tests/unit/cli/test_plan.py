"""`plan`: what the function answers, for people and for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ReadTimeoutError

from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from s3_to_sftp.rules.plan_request import answer
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.rules.window import Window
from s3_to_sftp_cli.delivery import WatchedSource
from tests.support.cli import BUCKET, FUNCTION, CliEnvironment, check_schema
from tests.support.ledger_environment import TABLE, ref
from tests.support.memory_s3 import MemoryS3

PLAIN = {"SSH_HOST": "sftp.example", "SSH_PORT": "22", "SSH_USERNAME": "u", "SSH_PASSWORD": "p"}
RULES = DeliveryRules(
    name="PAY_{sequence:04d}.csv",
    sequence=Sequence(start=7),
    mode=0o640,
    preserve_time=True,
    temporary="{name}.tmp",
    companions=[Companion.marker("{stem}.done")],
)


class Function:
    """A function that answers as the real one does, from this account's ledger.

    Attributes:
        s3: Objects of the watched buckets, by bucket.
        environment: Its variables.
        events: What it was asked.
        answered: What it answers instead, or raises; None: the plan.
        extra: Other fields of Lambda's answer.
    """

    def __init__(self, cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cli = cli
        self.s3: dict[str, MemoryS3] = {BUCKET: MemoryS3({"in/a.csv": b"data", "folder/": b""})}
        self.environment = {**PLAIN, "SSH_DIR": "/inbox", "LEDGER_TABLE": TABLE}
        self.events: list[dict[str, Any]] = []
        self.answered: Any = None
        self.extra: dict[str, Any] = {}
        call: Any = BaseClient._make_api_call  # type: ignore[attr-defined] # what everybody patches

        def invoke(client: Any, operation: str, request: dict[str, Any]) -> Any:
            if operation != "Invoke":
                return call(client, operation, request)
            assert request["FunctionName"] == FUNCTION
            event = json.loads(request["Payload"])
            self.events.append(event)
            if isinstance(self.answered, Exception):
                raise self.answered
            said = self._answer(event) if self.answered is None else self.answered
            return {"Payload": io.BytesIO(json.dumps(said).encode()), **self.extra}

        monkeypatch.setattr(BaseClient, "_make_api_call", invoke)

    def _answer(self, event: dict[str, Any]) -> dict[str, Any]:
        clients = {"s3": self.s3[event["bucket"]], "dynamodb": self.cli.aws.client("dynamodb")}
        return answer(event, self.environment, new_client=lambda service, **_: clients[service])


@pytest.fixture(name="function")
def _function(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Function:
    function = Function(cli, monkeypatch)
    document = RulesDocument(partner=RULES, sources={})
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / FILE).write_text(document.as_text())
    monkeypatch.syspath_prepend(str(tmp_path))
    function.environment["SSH_RULES"] = document.digest
    return function


def test_plan_is_shown_as_numbered_steps(function: Function) -> None:
    outcome = function.cli.run("plan", "in/a.csv")
    assert outcome.code == 0
    lines = outcome.stdout.splitlines()
    assert lines[0] == "s3://bucket/in/a.csv, 4 B"
    assert lines[1] == "rules       of the partner"
    assert lines[2].startswith("put         20")
    assert lines[3:] == [
        "name        /inbox/PAY_{sequence}.csv",
        "number      7 of the sequence 'default' would be next",
        "names then  /inbox/PAY_0007.csv     /inbox/PAY_0007.done",
        "         1. upload the data as '/inbox/PAY_{token}.csv.tmp'",
        "         2. set mode 640 and the time of the object",
        "         3. take the next number of the sequence 'default'",
        "         4. give the data its final name '/inbox/PAY_{sequence}.csv', replacing",
        "            a file that has it",
        "         5. put '/inbox/PAY_{sequence}.done' (empty)",
        "         6. record the receipt",
    ]


def test_plan_of_an_object_that_waits_says_until_when(
    function: Function, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rules = DeliveryRules(windows=[Window("Mon 06:00-06:01")], holidays=["2026-12-25"], cut_off="17:00")
    document = RulesDocument(partner=rules, sources={})
    folder = tmp_path / "timing"
    (folder / PACKAGE).mkdir(parents=True)
    (folder / PACKAGE / FILE).write_text(document.as_text())
    monkeypatch.syspath_prepend(str(folder))
    function.environment["SSH_RULES"] = document.digest
    answered = function.cli.run("plan", "in/a.csv", "--json").json
    check_schema("plan", answered)
    assert answered["plan"]["timing"]["windows"] == "Mon 06:00-06:01 (UTC), not on 1 holiday"
    if answered["waits"] is not None:  # on all but one minute of the week
        text = " ".join(function.cli.run("plan", "in/a.csv").stdout.split())
        assert "WAITS until 20" in text
        assert "waits for a window of Mon 06:00-06:01" in text


def test_plan_is_a_document(function: Function) -> None:
    document = function.cli.run("plan", "in/a.csv", "--json").json
    check_schema("plan", document)
    assert document["sequence"]["number"] == 7
    assert document["plan"]["modified"] == document["facts"]["event_time"] == "2026-11-29T09:30:00+00:00"


def test_function_without_rules_has_a_plan(function: Function) -> None:
    del function.environment["SSH_RULES"]
    text = function.cli.run("plan", f"s3://{BUCKET}/in/a.csv").stdout
    assert "rules       none: the key gives the name" in text
    assert "name        /inbox/in/a.csv" in text
    document = function.cli.run("plan", "in/a.csv", "--json").json
    check_schema("plan", document)
    assert document["sequence"] is None


def test_refused_object_is_an_error_that_says_rule_and_advice(function: Function) -> None:
    outcome = function.cli.run("plan", "folder/")
    assert outcome.code == 1
    assert "no plan     s3://bucket/folder/ is the marker of a folder." in outcome.stdout
    assert "→ No action needed: it has no content." in outcome.stdout
    document = function.cli.run("plan", "folder/", "--json")
    check_schema("plan", document.json)
    assert (document.code, document.json["refused"]["error"]) == (1, "FolderMarker")


def test_object_that_is_not_there_is_not_found(function: Function) -> None:
    outcome = function.cli.run("plan", "in/b.csv", "--json")
    check_schema("error", outcome.json)
    assert (outcome.code, outcome.json["error"]["code"]) == (4, "NOT_FOUND")
    assert "S3 has no object 'in/b.csv'" in function.cli.run("plan", "in/b.csv").stderr


def test_object_is_looked_for_in_every_bucket_that_is_watched(function: Function) -> None:
    function.cli.deploy(sources=(WatchedSource(bucket=BUCKET), WatchedSource(bucket="other")))
    function.s3["other"] = MemoryS3({"in/b.csv": b"data"})
    assert "s3://other/in/b.csv" in function.cli.run("plan", "in/b.csv").stdout
    assert [event["bucket"] for event in function.events] == [BUCKET, "other"]
    function.s3["other"].objects["in/a.csv"] = b"data"
    outcome = function.cli.run("plan", "in/a.csv")
    assert (outcome.code, "in several buckets: bucket, other" in outcome.stderr) == (2, True)
    assert function.cli.run("plan", "in/a.csv", "--bucket", "other").code == 0


def test_object_that_is_not_watched_has_a_plan_and_a_note(function: Function) -> None:
    function.cli.deploy(sources=(WatchedSource(bucket=BUCKET, prefix="out/"),))
    outcome = function.cli.run("plan", "in/a.csv")
    assert (outcome.code, "does not watch the object" in outcome.stderr) == (0, True)


def test_version_that_is_asked_for_is_that_of_the_ledger(function: Function) -> None:
    version = ref("0A", version_id=None)
    function.cli.ledger.deliver(version)
    text = function.cli.run("plan", version.key).stdout
    assert "ledger      DELIVERED" in text
    assert function.events[-1].items() >= {"etag": "e", "sequencer": "0A"}.items()
    function.cli.run("plan", version.key, "--version", "v1")
    assert function.events[-1]["version_id"] == "v1"
    assert "sequencer" not in function.events[-1]


@pytest.mark.parametrize(
    ("answered", "extra", "said"),
    [
        (ReadTimeoutError(endpoint_url="x"), {}, "has not answered within 60 s"),
        ({"errorMessage": "x"}, {"FunctionError": "Unhandled"}, "failed (Unhandled)"),
        ("text", {}, "its answer is not a plan"),
        ({"batchItemFailures": []}, {}, "its answer is not a plan"),
    ],
)
def test_function_without_an_answer_is_an_error(
    function: Function, answered: Any, extra: dict[str, Any], said: str
) -> None:
    function.answered, function.extra = answered, extra
    outcome = function.cli.run("plan", "in/a.csv")
    assert (outcome.code, said in outcome.stderr) == (1, True), outcome.stderr


def test_hostile_metadata_cannot_act_on_the_terminal(function: Function) -> None:
    said = function._answer({"bucket": BUCKET, "key": "in/a.csv"})
    said["facts"]["metadata"] = {"x": "\x1b[2J"}
    function.answered = said
    text = function.cli.run("plan", "in/a.csv").stdout
    assert "metadata    x=\ufffd[2J" in text
