"""`selftest` where the partner's rules move delivered objects: nothing is left in the archive."""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp_cli.errors import ExitCode
from tests.support.cli import BUCKET, REGION, CliEnvironment, check_schema
from tests.unit.cli.test_selftest import Selftest

ARCHIVE = "archive"


class Moving(Selftest):
    """The function moves what it has delivered, later than it records the receipt."""

    def __init__(self, cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(cli, monkeypatch)
        self.s3.create_bucket(Bucket=ARCHIVE, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_bucket_versioning(Bucket=ARCHIVE, VersioningConfiguration={"Status": "Enabled"})
        self.ref: Any = None
        self.happens = [self._deliver, self._nothing, self._move]

    def _deliver(self, key: str) -> None:
        self.ref = self.cli.delivered(key)
        self._record(state="pending")

    def _nothing(self, key: str) -> None:
        """Leave the action undone for one more look."""

    def _move(self, key: str) -> None:
        copied = self.s3.copy_object(
            Bucket=ARCHIVE, Key=f"in/{key}", CopySource={"Bucket": BUCKET, "Key": key}
        )
        self._record(state="done", bucket=ARCHIVE, key=f"in/{key}", version_id=copied["VersionId"])

    def _record(self, **after: Any) -> None:
        self.cli.write(self.ref, after={"action": "move", "at": 1_795_392_000.0, **after})

    def archived(self) -> list[str]:
        """Of all versions in the archive; no delete marker may stay there either."""
        answer = self.s3.list_object_versions(Bucket=ARCHIVE)
        assert not answer.get("DeleteMarkers")
        return [each["Key"] for each in answer.get("Versions", [])]


@pytest.fixture(name="env")
def _environment(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> Moving:
    return Moving(cli, monkeypatch)


def test_moved_object_is_waited_for_and_deleted_from_the_archive(env: Moving) -> None:
    outcome = env.run()
    assert outcome.code == 0
    key = env.requests[0]["key"]
    text = " ".join(outcome.stdout.split())
    assert f"the object is moved to s3://{ARCHIVE}/in/{key} (version " in text
    assert f"s3://{ARCHIVE}/in/{key} is deleted" in text
    assert env.archived() == []
    assert env.keys() == []


def test_json_says_that_the_copy_is_gone(env: Moving) -> None:
    document = env.run("--json").json
    check_schema("selftest", document)
    assert document["copy_deleted"] is True
    steps = [each["step"] for each in document["steps"]]
    assert steps == ["put", "DELIVERED", "file_removed", "after_delivery", "copy_deleted", "object_deleted"]


def test_copy_that_may_not_be_deleted_is_named(env: Moving) -> None:
    env.happens[-1] = lambda key: env._record(state="done", bucket="not-ours", key=f"in/{key}")
    outcome = env.run("--json")
    assert outcome.code == 0
    key = env.requests[0]["key"]
    assert f"the moved object s3://not-ours/in/{key} stays, delete it there: " in " ".join(
        outcome.stderr.split()
    )
    assert outcome.json["copy_deleted"] is False


def test_action_that_failed_is_told_and_not_waited_for(env: Moving) -> None:
    env.happens[1:] = [lambda key: env._record(state="pending", reason="AccessDenied")]
    outcome = env.run()
    assert outcome.code == ExitCode.OK
    assert "the object is still to be moved: AccessDenied" in outcome.stdout
    assert env.keys() == []


def test_kept_object_is_kept_in_the_archive(env: Moving) -> None:
    outcome = env.run("--keep", "--json")
    assert outcome.json["copy_deleted"] is None
    assert len(env.archived()) == 1
