"""`backfill`: what is stored and was never delivered is sent, once, and nothing else."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import click
import pytest
from botocore.client import BaseClient

from s3_to_sftp.operator_request import OperatorRequest
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.s3.envelopes import objects_in_message
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.items import KEY, partition_key, version_key
from s3_to_sftp_cli import backfill_plan, costs
from s3_to_sftp_cli.commands import backfill
from s3_to_sftp_cli.costs import Cost
from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.errors import ExitCode
from s3_to_sftp_cli.operator_messages import Sender
from tests.support.cli import BUCKET, REGION, CliEnvironment, Outcome, check_schema

WHY = ("--reason", "before the deployment")


class Stored:
    """A bucket with objects, and what the ledger knows of them."""

    def __init__(self, cli: CliEnvironment, bucket: str = BUCKET, *, versions: bool = True) -> None:
        self.cli = cli
        self.bucket = bucket
        self.s3 = cli.aws.client("s3")
        self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        if versions:
            self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(self, key: str, content: bytes = b"x") -> ObjectRef:
        answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return ObjectRef(
            bucket=self.bucket,
            key=key,
            version_id=answer.get("VersionId"),
            etag=answer["ETag"].strip('"'),
            size=len(content),
        )

    def known(self, ref: ObjectRef, state: str) -> None:
        """Let the ledger have a record of the version: the first one of its key."""
        self.cli.item(partition_key(ref), KEY, version=version_key(ref), temporaries={}, state=state)

    def run(self, *arguments: str, yes: bool = True) -> Outcome:
        options = ("--yes",) if yes else ()
        return self.cli.run("backfill", *WHY, *options, *arguments)

    def queued(self) -> list[ObjectRef]:
        """What the messages name, as the function reads them."""
        return [ref for message in self.messages() for ref in objects_in_message(message["Body"])]

    def keys(self) -> list[str]:
        return sorted(ref.key for ref in self.queued())

    def messages(self) -> list[dict[str, Any]]:
        sqs, found = self.cli.aws.client("sqs"), []
        while messages := sqs.receive_message(
            QueueUrl=self.cli.queue_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=600,
        ).get("Messages"):
            found += messages
        return found


@pytest.fixture
def stored(cli: CliEnvironment) -> Stored:
    return Stored(cli)


@pytest.fixture
def unversioned(cli: CliEnvironment) -> Stored:
    cli.deploy(sources=(WatchedSource(bucket="plain"),))
    return Stored(cli, "plain", versions=False)


# What is sent


def test_message_names_the_version_as_s3_would_and_says_who_wants_it(stored: Stored) -> None:
    ref = stored.put("in/a b+ü.csv", b"12345")
    outcome = stored.run("--json")
    (message,) = stored.messages()
    assert objects_in_message(message["Body"]) == [ref]
    request = OperatorRequest.from_text(message["MessageAttributes"]["operator"]["StringValue"])
    assert (request.action, request.reason) == ("backfill", "before the deployment")
    assert request.id == outcome.json["id"]
    check_schema("backfill", outcome.json)


def test_only_the_current_version_is_sent_and_nothing_that_was_deleted(stored: Stored) -> None:
    stored.put("a", b"old")
    current = stored.put("a", b"new")
    stored.put("deleted")
    stored.s3.delete_object(Bucket=BUCKET, Key="deleted")
    stored.run()
    assert stored.queued() == [current]


@pytest.mark.parametrize("state", ["DELIVERED", "WAITING", "SENDING", "STAGED", "COMMITTING"])
def test_what_the_ledger_has_delivered_or_in_flight_is_skipped(state: str, stored: Stored) -> None:
    stored.known(stored.put("known"), state)
    new = stored.put("new")
    outcome = stored.run("--json")
    assert stored.queued() == [new]
    assert outcome.json["skipped"]["delivered" if state == "DELIVERED" else "in_flight"] == 1


@pytest.mark.parametrize("state", ["UNKNOWN", "CANCELLED", "SUPERSEDED", "GONE"])
def test_what_needs_a_person_or_is_settled_is_skipped(state: str, stored: Stored) -> None:
    stored.known(stored.put("known"), state)
    assert stored.run("--json").json["objects"] == 0


def test_what_has_failed_is_sent(stored: Stored) -> None:
    ref = stored.put("failed")
    stored.known(ref, "FAILED")
    stored.run()
    assert stored.queued() == [ref]


def test_newer_version_of_a_delivered_key_is_sent(stored: Stored) -> None:
    stored.known(stored.put("a", b"1"), "DELIVERED")
    newer = stored.put("a", b"2")
    stored.run()
    assert stored.queued() == [newer]


def test_without_versions_the_same_content_of_a_key_counts_as_delivered(unversioned: Stored) -> None:
    for key, content in (("same", b"1"), ("other", b"2")):
        unversioned.put(key, content)
    same, other = (
        ObjectRef(bucket="plain", key=key, etag=etag, sequencer="0A")
        for key, etag in (("same", unversioned.put("same", b"1").etag), ("other", "another-etag"))
    )
    unversioned.known(same, "DELIVERED")
    unversioned.known(other, "DELIVERED")
    unversioned.run()
    assert unversioned.keys() == ["other"]


def test_what_is_older_than_the_versions_of_its_bucket_has_no_version(cli: CliEnvironment) -> None:
    stored = Stored(cli, versions=False)
    old, known = stored.put("old"), stored.put("known", b"k")
    stored.known(known, "DELIVERED")
    stored.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    stored.run()
    assert stored.queued() == [old]


def test_markers_of_folders_and_what_is_not_watched_are_skipped(cli: CliEnvironment) -> None:
    stored = Stored(cli)
    cli.deploy(
        sources=(
            WatchedSource(bucket=BUCKET, prefix="in/", suffix=".csv"),
            WatchedSource(bucket=BUCKET, prefix="in/", suffix=".xml"),
            WatchedSource(bucket=BUCKET, prefix="in/deep/", suffix=".txt"),
        )
    )
    for key in ("in/a.csv", "in/b.xml", "in/c.pdf", "in/deep/d.txt", "out/a.csv"):
        stored.put(key)
    outcome = stored.run("--json")
    assert stored.keys() == ["in/a.csv", "in/b.xml", "in/deep/d.txt"]
    assert outcome.json["skipped"]["not_watched"] == 1


def test_empty_object_named_like_a_folder_is_skipped(stored: Stored) -> None:
    stored.put("in/", b"")
    stored.put("in/x_$folder$", b"")
    stored.put("empty.csv", b"")
    assert stored.run("--json").json["skipped"]["folder_marker"] == 2
    assert stored.keys() == ["empty.csv"]


def test_bucket_and_prefix_narrow_what_is_sent(cli: CliEnvironment) -> None:
    one, other = Stored(cli), Stored(cli, "other")
    cli.deploy(sources=(WatchedSource(bucket=BUCKET, prefix="in/"), WatchedSource(bucket="other")))
    for key in ("in/2026/a", "in/2025/b"):
        one.put(key)
    other.put("in/2026/c")
    one.run("--bucket", BUCKET, "--prefix", "in/2026")
    assert one.keys() == ["in/2026/a"]


def test_since_leaves_out_what_was_put_before(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.put("a")
    assert stored.run("--since", "1h", "--json").json["objects"] == 1
    monkeypatch.setattr(backfill, "parse_past", lambda _text, *, now: now.replace(year=now.year + 1))
    outcome = stored.run("--since", "1h", "--json")
    assert (outcome.json["objects"], outcome.json["skipped"]["older"]) == (0, 1)


# What is said and asked before


def test_dry_run_shows_numbers_and_cost_and_sends_nothing(stored: Stored) -> None:
    for number in range(12):
        stored.put(f"{number}", b"x" * 1000)
    outcome = stored.run("--dry-run", yes=False)
    assert outcome.code == 0
    assert "12 objects, 12.0 kB to send: less than $0.01" in outcome.stdout
    assert "7  DynamoDB writes per object, $0.625 per million" in outcome.stdout
    assert all(len(line) <= 80 for line in outcome.stdout.splitlines())
    assert stored.queued() == []


def test_dry_run_needs_no_reason_and_a_backfill_does(stored: Stored) -> None:
    stored.put("a")
    outcome = stored.cli.run("backfill", "--dry-run")
    assert (outcome.code, outcome.stdout.splitlines()[0]) == (0, "1 object, 1 B to send: less than $0.01")
    outcome = stored.cli.run("backfill", "--yes")
    assert (outcome.code, "Missing option '--reason'" in outcome.stderr) == (ExitCode.USAGE, True)
    assert stored.queued() == []


def test_what_failed_before_is_counted_among_what_is_sent(stored: Stored) -> None:
    stored.put("new")
    stored.known(stored.put("failed"), "FAILED")
    outcome = stored.run("--dry-run", yes=False)
    assert outcome.stdout.splitlines()[:2] == [
        "2 objects, 2 B to send: less than $0.01",
        "         1  of them failed before, and are sent again",
    ]
    document = stored.run("--dry-run", "--json", yes=False).json
    check_schema("backfill", document)
    assert (document["objects"], document["failed_before"]) == (2, 1)


def test_nothing_is_sent_without_a_yes(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.put("a")
    assert stored.run(yes=False).code == ExitCode.USAGE

    def no(_context: object, question: str) -> None:
        assert question.startswith("Send it to sftp.acme.example:22")
        raise click.Abort

    monkeypatch.setattr(backfill, "confirm", no)
    outcome = stored.run(yes=False)
    assert outcome.code == ExitCode.INTERRUPTED
    assert "1 object, 1 B to send" in outcome.stderr
    assert stored.queued() == []


def test_cost_is_that_of_the_page_about_costs() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/what-it-costs.md").read_text()
    assert "| DynamoDB writes | 7 units an object, see below | $0.625 per million |" in page
    assert (
        "| SQS | sent, received, deleted: 3 requests an object; fewer in batches | $0.40 per million |"
        in page
    )
    assert "| Lambda, requests | 1 an object; up to 10 share one | $0.20 per million |" in page
    assert [(part.each, part.per_million) for part in costs.PARTS] == [(7, 0.625), (3, 0.4), (1, 0.2)]
    assert str(Cost(1_000_000)) == "$5.78"
    assert str(Cost(0)) == "$0.00"


@pytest.mark.parametrize("page", ["reference/cli.md", "guides/operate.md"])
def test_pages_show_the_cost_that_is_printed(page: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / page).read_text()
    shown = re.findall(r"^ +(\d+)  (.+) per object, \$([0-9.]+) per million$", text, re.MULTILINE)
    assert shown == [(str(part.each), part.what, f"{part.per_million:g}") for part in costs.PARTS]
    ((objects, cost),) = re.findall(r"^([0-9,]+) objects?, .* to send: (.+)$", text, re.MULTILINE)
    assert cost == str(Cost(int(objects.replace(",", ""))))


def test_nothing_to_send_is_no_failure(stored: Stored) -> None:
    outcome = stored.run()
    assert (outcome.code, outcome.stdout) == (0, "There is nothing to send.\n")


# Interrupted and repeated


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_plan, "_CHUNK", 7)


def test_repeated_command_sends_what_the_ledger_does_not_know_yet(stored: Stored, small_steps: None) -> None:
    refs = [stored.put(f"{number:02}") for number in range(25)]
    stored.run()
    assert stored.keys() == [ref.key for ref in refs]
    for ref in refs[:20]:
        stored.known(ref, "WAITING")
    stored.run()
    assert stored.keys() == [ref.key for ref in refs[20:]]


def test_interrupted_command_continues_at_its_marker(
    stored: Stored, small_steps: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"{number:02}ü" for number in range(25)]
    for key in keys:
        stored.put(key)
    marker = tmp_path / "state.json"
    real = Sender.send

    def until_ctrl_c(*arguments: Any) -> Iterator[Any]:
        for number, each in enumerate(real(*arguments)):
            if number == 13:
                raise KeyboardInterrupt
            yield each

    monkeypatch.setattr(Sender, "send", until_ctrl_c)
    interrupted = stored.run("--state", str(marker))
    assert interrupted.code == ExitCode.INTERRUPTED
    assert "13 of 25 objects are in the queue" in interrupted.stderr
    assert interrupted.stdout == ""
    before = stored.keys()
    monkeypatch.setattr(Sender, "send", real)
    outcome = stored.run("--state", str(marker), "--json")
    after = stored.keys()
    assert sorted({*before, *after}) == keys
    assert len(after) == 12
    assert outcome.json["skipped"]["before"] == 13
    assert not marker.exists()


def test_interruption_is_one_document_that_tells_what_was_sent(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.put("a")
    stored.put("b")
    real = Sender.send

    def until_ctrl_c(*arguments: Any) -> Iterator[Any]:
        yield next(real(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(Sender, "send", until_ctrl_c)
    outcome = stored.run("--json")
    assert outcome.code == ExitCode.INTERRUPTED
    check_schema("backfill", outcome.json)
    assert [outcome.json[each] for each in ("objects", "sent", "interrupted")] == [2, 1, True]


def test_marker_of_another_backfill_is_refused(stored: Stored, tmp_path: Path) -> None:
    marker = tmp_path / "state.json"
    marker.write_text(json.dumps({"about": {"function": "other"}, "position": [0, "a"]}))
    stored.put("b")
    outcome = stored.run("--state", str(marker))
    assert outcome.code == ExitCode.USAGE
    assert "belongs to another backfill" in outcome.stderr
    marker.write_text("nonsense")
    assert stored.run("--state", str(marker)).code == ExitCode.USAGE
    assert stored.queued() == []


def test_entries_that_sqs_did_not_take_are_sent_again(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in "abc":
        stored.put(key)
    real: Any = BaseClient._make_api_call  # type: ignore[attr-defined] # what everybody patches
    tries: list[int] = []

    def first_one_fails(client: Any, operation: str, request: dict[str, Any]) -> Any:
        if operation != "SendMessageBatch":
            return real(client, operation, request)
        tries.append(len(request["Entries"]))
        if len(tries) > 1:
            return real(client, operation, request)
        failed, *entries = request["Entries"]
        answer = real(client, operation, {**request, "Entries": entries})
        return {**answer, "Failed": [{"Id": failed["Id"], "Code": "InternalError", "SenderFault": False}]}

    monkeypatch.setattr(BaseClient, "_make_api_call", first_one_fails)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    assert stored.run().code == 0
    assert (tries, stored.keys()) == ([3, 1], ["a", "b", "c"])


# Where it cannot be done


def test_bucket_that_is_not_watched_is_refused(stored: Stored) -> None:
    outcome = stored.run("--bucket", "elsewhere")
    assert outcome.code == ExitCode.NOT_FOUND
    assert f"watches {BUCKET}" in outcome.stderr


def test_function_that_does_not_tell_its_sources_needs_a_bucket(stored: Stored) -> None:
    stored.cli.deploy(sources=())
    stored.put("in/a")
    assert stored.run().code == ExitCode.USAGE
    outcome = stored.run("--bucket", BUCKET, "--prefix", "in/")
    assert "everything in the bucket is taken for watched" in outcome.stderr
    assert stored.keys() == ["in/a"]


def test_missing_permission_is_named(stored: Stored) -> None:
    stored.cli.refused.add("s3:ListObjectVersions")
    outcome = stored.run()
    assert outcome.code == ExitCode.DENIED
    assert "s3:ListObjectVersions" in outcome.stderr


# From an inventory

COLUMNS = ("Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag")
TIME = "2026-11-01T00:00:00.000Z"


def inventory(
    stored: Stored,
    *files: Sequence[Sequence[str]],
    columns: Sequence[str] = COLUMNS,
    **manifest: Any,
) -> str:
    """Write an inventory as S3 does, and return its address."""
    stored.s3.create_bucket(Bucket="lists", CreateBucketConfiguration={"LocationConstraint": REGION})
    names = []
    for number, rows in enumerate(files):
        text = "".join(",".join(f'"{value}"' for value in row) + "\n" for row in rows)
        names.append(f"inv/data/{number}.csv.gz")
        stored.s3.put_object(Bucket="lists", Key=names[-1], Body=gzip.compress(text.encode()))
    body = {
        "sourceBucket": stored.bucket,
        "destinationBucket": "arn:aws:s3:::lists",
        "version": "2016-11-30",
        "fileFormat": "CSV",
        "fileSchema": ", ".join(columns),
        "files": [{"key": name, "size": 1, "MD5checksum": "x"} for name in names],
        **manifest,
    }
    stored.s3.put_object(Bucket="lists", Key="inv/manifest.json", Body=json.dumps(body))
    return "s3://lists/inv/manifest.json"


def row(ref: ObjectRef, *, latest: bool = True, deleted: bool = False) -> list[str]:
    size = "" if deleted else str(ref.size)
    flags = [str(flag).lower() for flag in (latest, deleted)]
    return [ref.bucket, quote_plus(ref.key), ref.version_id or "", *flags, size, TIME, ref.etag or ""]


def test_inventory_is_a_list_like_any_other(stored: Stored) -> None:
    old, new = stored.put("a b+ü", b"1"), stored.put("a b+ü", b"22")
    deleted, known, last = stored.put("deleted"), stored.put("known"), stored.put("z")
    stored.known(known, "DELIVERED")
    url = inventory(
        stored, [row(new), row(old, latest=False)], [row(deleted, deleted=True), row(known), row(last)]
    )
    outcome = stored.run("--inventory", url, "--json")
    check_schema("backfill", outcome.json)
    assert stored.queued() == [new, last]
    assert outcome.json["skipped"]["delivered"] == 1


def test_inventory_of_a_bucket_without_versions_needs_the_etag(unversioned: Stored) -> None:
    ref = unversioned.put("a")
    url = inventory(
        unversioned, [[ref.bucket, "a", "1", ref.etag or ""]], columns=("Bucket", "Key", "Size", "ETag")
    )
    unversioned.run("--inventory", url)
    assert unversioned.queued() == [ref]
    outcome = unversioned.run("--inventory", url, "--since", "1h")
    assert outcome.code == ExitCode.USAGE
    assert "has no LastModifiedDate" in outcome.stderr


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"fileFormat": "Parquet"}, "The inventory is in Parquet"),
        ({"fileFormat": "ORC"}, "The inventory is in ORC"),
        ({"fileSchema": "Bucket, Key, Size"}, "has no VersionId, IsLatest, IsDeleteMarker"),
        ({"fileSchema": None, "files": 7}, "is not a manifest of an S3 Inventory"),
    ],
)
def test_inventory_that_cannot_be_used_is_refused_with_the_reason(
    manifest: dict[str, Any], words: str, stored: Stored
) -> None:
    outcome = stored.run("--inventory", inventory(stored, [row(stored.put("a"))], **manifest))
    assert outcome.code == ExitCode.USAGE
    assert words in outcome.stderr.replace("\n", " ")
    assert stored.queued() == []


def test_inventory_of_another_bucket_is_refused(stored: Stored) -> None:
    url = inventory(stored, [], sourceBucket="elsewhere")
    assert stored.run("--inventory", url).code == ExitCode.NOT_FOUND


@pytest.mark.parametrize("url", ["lists/inv/manifest.json", "s3://lists", "s3://lists/inv/"])
def test_address_that_is_none_of_a_manifest_is_refused(url: str, stored: Stored) -> None:
    assert stored.run("--inventory", url).code == ExitCode.USAGE


def test_damaged_file_of_an_inventory_sends_nothing(stored: Stored) -> None:
    url = inventory(stored, [row(stored.put("a"))], [["only", "two"]])
    outcome = stored.run("--inventory", url)
    assert outcome.code == ExitCode.FAILED
    assert "is not as its manifest says" in outcome.stderr
    assert stored.queued() == []


# What the partner's rules leave out


RULES = RulesDocument(
    partner=DeliveryRules(only=Filter(min_bytes=2, exclude=["*.tmp"])),
    sources={"1": DeliveryRules(only=Filter(suffixes=[".csv"]))},
)


def answering(monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    call: Any = BaseClient._make_api_call  # type: ignore[attr-defined] # what everybody patches

    def invoke(client: Any, operation: str, request: dict[str, Any]) -> Any:
        if operation != "Invoke":
            return call(client, operation, request)
        assert json.loads(request["Payload"]) == {"operation": "plan", "rules": True}
        return {"Payload": io.BytesIO(json.dumps(said).encode())}

    monkeypatch.setattr(BaseClient, "_make_api_call", invoke)


def test_what_the_rules_leave_out_is_counted_and_not_sent(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = (WatchedSource(bucket=BUCKET), WatchedSource(bucket=BUCKET, prefix="own/", rules="1"))
    stored.cli.deploy(rules=RULES.digest, sources=sources)
    answering(monkeypatch, {"rules": RULES.as_text()})
    for key, content in (("a", b"12"), ("b", b"1"), ("c.tmp", b"12"), ("own/d.csv", b"1"), ("own/e", b"12")):
        stored.put(key, content)
    outcome = stored.run("--json")
    assert stored.keys() == ["a", "own/d.csv"]
    assert outcome.json["skipped"]["filtered"] == 3
    check_schema("backfill", outcome.json)


def test_function_that_does_not_tell_its_rules_filters_by_itself(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.cli.deploy(rules=RULES.digest)
    answering(monkeypatch, {"plan": None, "refused": "unknown"})
    stored.put("b", b"1")
    outcome = stored.run()
    assert stored.keys() == ["b"]
    assert "the function does not tell its rules" in outcome.stderr
