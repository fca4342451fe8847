"""`receipts`: what happened to an object, or to all of a time, without holding them all in memory."""

from __future__ import annotations

import csv
import io
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.ledger import LedgerReader
from s3_to_sftp_cli.receipt_words import EVIDENCE, checksum_hex, verified_in_words
from s3_to_sftp_cli.receipts import CSV_COLUMNS, Selection, row
from tests.support.cli import BUCKET, REGION, CliEnvironment, check_schema
from tests.support.ledger_environment import ref


def rows(cli: CliEnvironment, *arguments: str) -> list[Any]:
    outcome = cli.run("receipts", *arguments, "--json")
    assert outcome.code == 0, outcome.stderr
    for document in outcome.lines:
        check_schema("receipts", document)
    return outcome.lines


def keys(cli: CliEnvironment, *arguments: str) -> list[str]:
    return [each["key"] for each in rows(cli, *arguments)]


# --- one object ---


def test_key_shows_everything_about_it(cli: CliEnvironment) -> None:
    version = cli.delivered(
        "in/a.csv", size=20_000_000_000, seconds=1.9, sha256="ab" * 32, checksum="AAAAAAAAAP8=", streams=4
    )
    text = cli.run("receipts", "in/a.csv").stdout
    lines = {line[:14].strip(): line[14:] for line in text.splitlines()}
    assert text.startswith("s3://bucket/in/a.csv\n")
    assert f"version {version.version_id}   DELIVERED" in text
    assert lines["delivered"].endswith(", 1.9 s later")
    assert lines["size"] == "20,000,000,000 bytes (20.0 GB)"
    assert lines["attempts"] == "1"
    assert lines["remote path"] == "out/in/a.csv"
    assert lines["checksum"] == "CRC64NVME 00000000000000ff"
    assert lines["sha256"] == "ab" * 32
    assert lines["verified"] == "the bytes match S3's CRC64NVME of the whole object"
    assert lines["evidence"] == "the server answered the RENAME with OK"
    assert lines["sent"] == "4 streams, 1.9 s"
    assert lines["log"] == "There is no log group '/aws/lambda/Acme-Function'."


def test_all_versions_of_a_key_are_shown_the_last_one_first(cli: CliEnvironment) -> None:
    now = time.time()
    cli.delivered("a.csv", sequencer="0A", at=now - 100)
    cli.delivered("a.csv", sequencer="0B", at=now - 50)
    assert [each["version_id"] for each in rows(cli, "a.csv")] == ["v0B", "v0A"]


def test_failed_object_has_reason_and_hint(cli: CliEnvironment) -> None:
    cli.failed("a.csv")
    text = cli.run("receipts", "a.csv").stdout
    assert "FAILED" in text
    assert "permission denied." in text
    assert "Ask the partner for write permission." in text
    assert "refused       PERMISSION_DENIED create" in text


def test_object_that_nobody_sends_is_waiting(cli: CliEnvironment) -> None:
    cli.released("a.csv", next_try=time.time() - 5)
    text = cli.run("receipts", "a.csv").stdout
    assert "version v0A   waiting" in text
    assert "next try      due" in text
    (document,) = rows(cli, "a.csv")
    assert (document["state"], document["being_sent"]) == ("SENDING", False)


def test_object_that_is_being_sent_names_the_invocation(cli: CliEnvironment) -> None:
    cli.sending("a.csv")
    assert "by the invocation f" in cli.run("receipts", "a.csv").stdout
    assert rows(cli, "a.csv")[0]["being_sent"]


def test_object_that_is_being_sent_shows_how_much_of_it_is_sent(cli: CliEnvironment) -> None:
    cli.sending("a.csv", progress={"bytes": 8_100_000_000, "total": 20_000_000_000, "at": time.time() - 30})
    assert (
        "sent so far   8,100,000,000 of 20,000,000,000 bytes (40 %), 3" in cli.run("receipts", "a.csv").stdout
    )
    (document,) = rows(cli, "a.csv")
    assert (document["progress"]["bytes"], document["progress"]["total"]) == (8_100_000_000, 20_000_000_000)


def test_progress_of_what_is_delivered_or_not_recorded_is_not_shown(cli: CliEnvironment) -> None:
    version = cli.delivered("a.csv")
    cli.write(version, progress={"bytes": 1, "total": 2, "at": 1})
    cli.sending("b.csv")
    assert "sent so far" not in cli.run("receipts", "a.csv").stdout + cli.run("receipts", "b.csv").stdout
    assert [each["progress"] for each in rows(cli)] == [None, None]


def test_earlier_receipts_and_operator_actions_are_kept(cli: CliEnvironment) -> None:
    version = cli.delivered("a.csv")
    earlier = {
        "remote_path": "out/a.csv",
        "bytes": 7,
        "checksum_algorithm": "CRC32",
        "checksum": "AAAAAQ==",
        "evidence": "rename_ok",
    }
    action = {"action": "resend", "who": "arn:eve", "at": 1000, "reason": "they lost it", "id": "1"}
    cli.write(version, earlier_receipts=[earlier], operator_actions=[action])
    text = cli.run("receipts", "a.csv").stdout
    assert "receipt 1     out/a.csv, 7 bytes, CRC32 00000001, the server" in text
    assert "resend by arn:eve: they lost it" in " ".join(text.split())
    (document,) = rows(cli, "a.csv")
    assert document["earlier_receipts"][0]["checksum"] == "00000001"
    assert document["earlier_receipts"][0]["at"] is None
    assert document["operator_actions"][0]["at"] == "1970-01-01T00:16:40+00:00"
    assert document["seconds_to_deliver"] is None


def test_object_that_was_sent_again_shows_each_delivery_with_its_time(cli: CliEnvironment) -> None:
    first, last = sent_again(cli, ago=3600)
    text = " ".join(cli.run("receipts", "a.csv").stdout.split())
    at = f"{first.astimezone():%Y-%m-%d %H:%M:%S}"
    assert f"receipt 1 {at}, out/a.csv, 7 bytes, CRC64NVME 0000000000000001, the server answered" in text
    assert "rename_ok" not in text
    (document,) = rows(cli, "a.csv")
    assert document["delivery"] == 2
    assert document["earlier_receipts"][0]["at"] == first.isoformat()
    assert document["changed"] == last.isoformat()


def sent_again(cli: CliEnvironment, *, ago: float) -> tuple[datetime, datetime]:
    """Deliver `a.csv` at that time and now; return both times."""
    first, last = (round(time.time() - seconds) for seconds in (ago, 0))
    cli.delivered("a.csv", at=first)
    request = OperatorRequest(action=Action.RESEND, id="r", who="arn:eve", at=first + 1, reason="lost")
    cli.delivered("a.csv", at=last, operator=request)
    return datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)


def test_log_of_the_object_is_shown(cli: CliEnvironment) -> None:
    cli.delivered("a.csv", sequencer="0A")
    cli.log(
        {"level": "INFO", "message": "logged in", "function_request_id": "f"},
        {"level": "INFO", "message": "delivered", "object": "s3://bucket/a.csv (version v0A)"},
        {"level": "INFO", "message": "not this version", "object": "s3://bucket/a.csv (version v0B)"},
        {
            "level": "INFO",
            "message": "not this object",
            "object": "s3://bucket/b.csv",
            "function_request_id": "f",
        },
        {"level": "INFO", "message": "not this invocation", "function_request_id": "g"},
    )
    text = cli.run("receipts", "a.csv").stdout
    assert "logged in" in text
    assert "delivered" in text.splitlines()[-1]
    assert "not this" not in text
    assert [each["message"] for each in rows(cli, "a.csv")[0]["log"]] == ["logged in", "delivered"]
    assert "logged in" not in cli.run("receipts", "a.csv", "--no-logs").stdout


def test_missing_permission_for_the_log_hides_only_the_log(cli: CliEnvironment) -> None:
    cli.delivered("a.csv")
    cli.refused.add("logs:FilterLogEvents")
    outcome = cli.run("receipts", "a.csv")
    assert "log           not allowed: logs:FilterLogEvents" in outcome.stdout
    assert outcome.code == 0


def test_key_cannot_move_the_cursor(cli: CliEnvironment) -> None:
    cli.delivered("a\x1b[2J.csv")
    assert "\x1b" not in cli.run("receipts", "a\x1b[2J.csv").stdout
    assert "\x1b" not in cli.run("receipts").stdout


# --- an object that is not in the ledger ---


@pytest.fixture
def s3(cli: CliEnvironment) -> Any:
    client = cli.aws.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


def missing(cli: CliEnvironment, key: str, *arguments: str) -> str:
    outcome = cli.run("receipts", key, *arguments)
    assert outcome.code == 4
    assert f"The ledger has no record of s3://bucket/{key}." in outcome.stderr
    return outcome.stderr


def test_misspelt_key_has_similar_names(cli: CliEnvironment, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="in/report.csv", Body=b"")
    assert "Similar names: in/report.csv" in missing(cli, "in/reprot.csv")


def test_names_that_share_only_an_extension_are_not_similar(cli: CliEnvironment, s3: Any) -> None:
    for name in ("h1.csv", "h2.csv", "Orders-2.csv"):
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"")
    assert "Check the spelling." in missing(cli, "nosuch.csv")
    assert "Similar names: Orders-2.csv." in missing(cli, "orders-1.csv")


def test_bucket_that_is_not_watched_is_said(cli: CliEnvironment, s3: Any) -> None:
    said = "This delivery does not watch the bucket otherbucket: it watches bucket."
    for arguments in (("a.csv",), ()):
        assert said in cli.run("receipts", *arguments, "--bucket", "otherbucket").stderr


def test_checksum_in_the_log_is_written_as_in_the_receipt(cli: CliEnvironment) -> None:
    cli.delivered("a.csv", checksum="AAAAAAAAAP8=")
    about = {"object": "s3://bucket/a.csv (version v0A)", "checksum": "CRC64NVME:AAAAAAAAAP8="}
    cli.log({"level": "INFO", "message": "delivered", **about})
    assert "checksum=CRC64NVME:00000000000000ff" in cli.run("receipts", "a.csv").stdout


def test_key_without_similar_names_is_to_be_checked(cli: CliEnvironment, s3: Any) -> None:
    assert "no such object in bucket. Check the spelling." in missing(cli, "in/a.csv")


def test_object_that_is_not_watched_is_said(cli: CliEnvironment, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="other/a.csv", Body=b"")
    cli.deploy(sources=(WatchedSource(bucket=BUCKET, prefix="in/"),))
    assert "It is not watched: s3://bucket/in/* is." in missing(cli, "other/a.csv")


def test_object_of_before_the_deployment_is_to_be_backfilled(cli: CliEnvironment, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="a.csv", Body=b"")
    assert "`s3-to-sftp backfill --prefix a.csv --reason TEXT` sends it" in missing(cli, "a.csv")


def test_deleted_object_has_a_delete_marker(cli: CliEnvironment, s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="a.csv", Body=b"")
    s3.delete_object(Bucket=BUCKET, Key="a.csv")
    assert "delete marker" in missing(cli, "a.csv")


def test_bucket_that_cannot_be_read_is_said(cli: CliEnvironment) -> None:
    cli.refused.add("s3:HeadObject")
    assert "could not be checked" in missing(cli, "a.csv")


def test_bucket_must_be_named_where_none_is_known(cli: CliEnvironment) -> None:
    cli.deploy(sources=())
    outcome = cli.run("receipts", "a.csv")
    assert outcome.code == 2
    assert "--bucket" in outcome.stderr
    cli.delivered("a.csv")
    assert keys(cli, "a.csv", "--bucket", "bucket") == ["a.csv"]
    assert keys(cli, "s3://bucket/a.csv") == ["a.csv"]


# --- many ---


def test_without_a_key_shows_today(cli: CliEnvironment) -> None:
    now = time.time()
    cli.delivered("today.csv", at=now)
    cli.delivered("before.csv", at=now - 2 * 86_400)
    cli.failed("failed.csv")
    cli.waiting("waiting.csv")
    assert keys(cli) == ["today.csv", "failed.csv", "waiting.csv"]
    lines = cli.run("receipts").stdout.splitlines()
    assert lines[0].endswith("  DELIVERED        7 B  today.csv")
    assert lines[1].endswith("failed.csv  PERMISSION_DENIED create")
    assert "  waiting   " in lines[2]


def test_since_and_day_choose_a_time(cli: CliEnvironment) -> None:
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    cli.delivered("old.csv", at=two_days_ago.timestamp())
    cli.failed("old-failed.csv", at=two_days_ago.timestamp())
    cli.delivered("new.csv")
    cli.waiting("waiting.csv")
    assert keys(cli, "--since", "3d") == ["old.csv", "new.csv", "old-failed.csv", "waiting.csv"]
    assert keys(cli, "--day", two_days_ago.date().isoformat()) == ["old.csv", "old-failed.csv"]
    assert keys(cli, "--day", "2020-01-01") == []


def test_month_and_until_choose_a_time_that_is_over(cli: CliEnvironment) -> None:
    now = datetime.now(UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    cli.delivered("before.csv", at=(first - timedelta(seconds=1)).timestamp())
    cli.delivered("begin.csv", at=first.timestamp())
    cli.delivered("now.csv")
    cli.waiting("waiting.csv")
    assert keys(cli, "--month", f"{first - timedelta(days=1):%Y-%m}") == ["before.csv"]
    assert keys(cli, "--month", f"{now:%Y-%m}") == ["begin.csv", "now.csv", "waiting.csv"]
    since, until = (f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in (first - timedelta(days=1), first))
    assert keys(cli, "--since", since, "--until", until) == ["before.csv"]
    lines = cli.run("receipts", "--month", f"{first - timedelta(days=1):%Y-%m}", "--csv").stdout.splitlines()
    assert len(lines) == 2


def test_pattern_looks_back_for_thirty_days(cli: CliEnvironment) -> None:
    now = time.time()
    cli.delivered("in/a.csv", at=now - 20 * 86_400)
    cli.delivered("in/a.txt", at=now)
    cli.delivered("in/b.csv", at=now - 40 * 86_400)
    assert keys(cli, "--key", "in/*.csv") == ["in/a.csv"]
    assert keys(cli, "--key", "*a*") == ["in/a.csv", "in/a.txt"]
    assert keys(cli, "--key", "*.csv", "--since", "50d") == ["in/b.csv", "in/a.csv"]


def test_failed_shows_what_needs_a_person_however_old(cli: CliEnvironment) -> None:
    cli.failed("old.csv", at=time.time() - 20 * 86_400)
    cli.failed("unknown.csv", state="UNKNOWN")
    cli.failed("superseded.csv", state="SUPERSEDED")
    cli.delivered("fine.csv")
    assert keys(cli, "--failed") == ["old.csv", "unknown.csv"]


def test_nothing_found_is_no_error(cli: CliEnvironment) -> None:
    outcome = cli.run("receipts")
    assert (outcome.code, outcome.stdout) == (0, "")
    assert "no record of that time" in outcome.stderr


def test_cancelled_objects_are_shown(cli: CliEnvironment) -> None:
    version = cli.failed("a.csv", dead_letter=False)
    cli.write(version, state="CANCELLED", status="CANCELLED")
    assert rows(cli)[0]["state"] == "CANCELLED"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--csv", "--json"),
        ("--since", "1h", "--day", "today"),
        ("a.csv", "--failed"),
        ("a.csv", "--key", "*"),
        ("--since", "soon"),
        ("--month", "2026-11", "--day", "today"),
        ("--month", "soon"),
        ("--month", "2999-01"),
        ("--until", "1h"),
        ("--since", "1h", "--until", "2h"),
        ("a.csv", "--month", "2026-11"),
        ("a.csv", "--since", "2h", "--until", "1h"),
        ("--day", "someday"),
    ],
)
def test_contradiction_is_a_usage_error(cli: CliEnvironment, arguments: tuple[str, ...]) -> None:
    outcome = cli.run("receipts", *arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.stderr


# --- CSV ---


def test_csv_has_a_header_and_a_line_each(cli: CliEnvironment) -> None:
    cli.delivered("a,b\n.csv", checksum="AAAAAAAAAP8=")
    cli.failed("c.csv")
    delivered, failed = list(csv.DictReader(io.StringIO(cli.run("receipts", "--csv").stdout)))
    assert tuple(delivered) == CSV_COLUMNS
    assert (delivered["key"], delivered["checksum"]) == ("a,b\n.csv", "00000000000000ff")
    assert delivered["changed"].endswith("Z")
    assert (failed["state"], failed["sftp_status"], failed["checksum"]) == ("FAILED", "PERMISSION_DENIED", "")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t"])
def test_csv_has_no_formulas(cli: CliEnvironment, first: str) -> None:
    cli.delivered(f"{first}1+1")
    (line,) = csv.DictReader(io.StringIO(cli.run("receipts", "--csv").stdout))
    assert line["key"] == f"'{first}1+1"


def test_csv_says_waiting_of_what_nobody_sends(cli: CliEnvironment) -> None:
    cli.released("a.csv")
    cli.sending("b.csv")
    lines = csv.DictReader(io.StringIO(cli.run("receipts", "--csv").stdout))
    assert [line["state"] for line in lines] == ["WAITING", "SENDING"]


def test_csv_has_a_row_for_each_delivery(cli: CliEnvironment) -> None:
    first, last = sent_again(cli, ago=3600)
    earlier, latest = list(csv.DictReader(io.StringIO(cli.run("receipts", "a.csv", "--csv").stdout)))
    assert (earlier["state"], earlier["delivery"], earlier["attempts"]) == ("DELIVERED", "1", "1")
    assert (latest["state"], latest["delivery"], latest["attempts"]) == ("DELIVERED", "2", "2")
    assert datetime.fromisoformat(earlier["changed"]) == first
    assert datetime.fromisoformat(latest["changed"]) == last
    assert (earlier["operator_actions"], latest["operator_actions"]) == ("", "resend by arn:eve: lost")
    assert float(earlier["seconds_to_deliver"]) == 0.5
    assert latest["seconds_to_deliver"] == ""


def test_delivery_of_a_time_that_is_over_is_found_though_the_object_was_sent_again(
    cli: CliEnvironment,
) -> None:
    first, _ = sent_again(cli, ago=3 * 86_400)
    day = first.date().isoformat()
    lines = csv.DictReader(io.StringIO(cli.run("receipts", "--day", day, "--csv").stdout))
    assert [(line["key"], line["delivery"]) for line in lines] == [("a.csv", "1")]
    (line,) = cli.run("receipts", "--day", day).stdout.splitlines()
    assert line.startswith(f"{first.astimezone():%Y-%m-%d %H:%M:%S}")
    assert line.endswith("a.csv  sent again since")
    assert keys(cli, "--day", day) == ["a.csv"]
    assert keys(cli, "--day", (first + timedelta(days=1)).date().isoformat()) == []
    assert len(cli.run("receipts", "--since", "5d").stdout.splitlines()) == 2
    assert len(cli.run("receipts", "--since", "2d").stdout.splitlines()) == 1


@pytest.mark.parametrize("ends", ["FAILED", "IN_FLIGHT"])
def test_delivery_is_found_though_the_resend_was_not_delivered(cli: CliEnvironment, ends: str) -> None:
    first, _ = sent_again(cli, ago=3 * 86_400)
    version = ref("0A", key="a.csv")
    cli.write(version, state=ends if ends == "FAILED" else "SENDING", status=ends)
    assert keys(cli, "--day", first.date().isoformat()) == ["a.csv"]
    assert keys(cli, "--failed") == (["a.csv"] if ends == "FAILED" else [])


def test_csv_of_one_object(cli: CliEnvironment) -> None:
    cli.delivered("a.csv")
    assert len(cli.run("receipts", "a.csv", "--csv").stdout.splitlines()) == 2


# --- size ---


def test_rows_are_read_page_by_page() -> None:
    """A million receipts do not fit into memory."""
    ledger = LedgerReader(Pages(), "table")
    day = datetime(2026, 11, 1, tzinfo=UTC)
    selection = Selection(since=day, until=day + timedelta(days=1))
    records = selection.records(ledger, today=day.date())
    first = next(records)
    assert row(first, now=0)["key"] == "1-0"
    assert Pages.asked == 1
    assert sum(1 for _ in records) == Pages.PAGES * Pages.ITEMS - 1


class Pages:
    """A DynamoDB client whose first query has many pages."""

    PAGES, ITEMS = 50, 100
    asked = 0

    def query(self, **request: Any) -> Any:
        if not request["ExpressionAttributeValues"][":s"]["S"].startswith("DELIVERED"):
            return {"Items": []}
        Pages.asked += 1
        items = [
            {"pk": {"S": f"object#bucket/{Pages.asked}-{number}"}, "sk": {"S": "version#1"}}
            for number in range(self.ITEMS)
        ]
        return {"Items": items, **({"LastEvaluatedKey": {"x": 1}} if Pages.asked < self.PAGES else {})}


# --- words ---


def test_checksum_that_is_no_base64_is_shown_as_it_is() -> None:
    assert checksum_hex({"checksum": "what?"}) == "what?"
    assert checksum_hex({}) == ""


@pytest.mark.parametrize(
    ("verified_by", "words"),
    [
        ("composite:CRC32C/12", "the bytes match S3's composite CRC32C of 12 parts"),
        ("none", "no checksum stored by S3 was compared"),
        ("another", "another"),
    ],
)
def test_verification_is_in_words(verified_by: str, words: str) -> None:
    assert verified_in_words({"verified_by": verified_by}) == words


def test_every_evidence_has_words() -> None:
    from s3_to_sftp.state.receipt import Evidence

    assert {*Evidence, "confirmed"} <= EVIDENCE.keys()


def test_object_that_was_given_up_promises_no_retry(cli: CliEnvironment) -> None:
    cli.failed("a.csv", hint="Ask the partner to free disk space. It will be retried.")
    (shown,) = rows(cli, "a.csv", "--no-logs")
    assert shown["hint"] == "Ask the partner to free disk space."
    assert "retried" not in cli.run("receipts", "a.csv", "--no-logs").stdout


MOVED = {"action": "move", "state": "done", "at": 1_795_392_000.0, "bucket": "archive", "key": "x/a b"}


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({**MOVED, "version_id": "v9"}, "moved to s3://archive/x/a b (version v9)"),
        ({**MOVED, "state": "copied"}, "copied to s3://archive/x/a b, and not deleted yet"),
        ({"action": "tag", "state": "done"}, "tagged in S3"),
        (
            {"action": "delete", "state": "pending", "reason": "AccessDenied"},
            "still to be deleted from S3: AccessDenied",
        ),
        ({"action": "delete", "state": "gone", "reason": "404"}, "not deleted from S3: 404"),
        (
            {"action": "tag", "state": "done", "other_copy": "s3://archive/x"},
            "tagged in S3. A copy may be at s3://archive/x",
        ),
        (
            {**MOVED, "state": "kept", "reason": "No.", "other_copy": "s3://archive/x"},
            "not moved: No. A copy may be at s3://archive/x",
        ),
    ],
)
def test_what_was_done_with_the_object_afterwards_is_shown(
    cli: CliEnvironment, after: dict[str, Any], words: str
) -> None:
    cli.write(cli.delivered("in/a.csv"), after=after)
    lines = {line[:14].strip(): line[14:] for line in cli.run("receipts", "in/a.csv").stdout.splitlines()}
    assert lines["afterwards"] == words
    (row,) = rows(cli, "in/a.csv")
    assert (row["after"]["action"], row["after"]["state"]) == (after["action"], after["state"])


def test_nothing_is_shown_of_an_object_that_was_left_in_s3(cli: CliEnvironment) -> None:
    cli.delivered("in/a.csv")
    assert "afterwards" not in cli.run("receipts", "in/a.csv").stdout
    assert rows(cli, "in/a.csv")[0]["after"] is None
