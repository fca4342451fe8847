"""What happens to objects in S3 after their delivery: once, to the delivered version, whatever happens."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ReadTimeoutError

from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery_plan import PlannedAction
from s3_to_sftp.errors import (
    AfterDeliveryFailed,
    Disposition,
    LedgerError,
    MovedAfterDelivery,
    RuleRefused,
)
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.outcomes import AlreadyDelivered, CircuitOpen
from s3_to_sftp.rules.after_actions import AfterActions
from s3_to_sftp.rules.after_delivery import AfterDelivery
from s3_to_sftp.rules.after_execution import AfterExecution
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.support.killable_function import KillableEnvironment
from tests.support.memory_aws import mock_aws
from tests.support.memory_s3 import BUCKET, client_error
from tests.support.mortal_bucket import MortalBucket

pytestmark = pytest.mark.usefixtures("_one_thread")

ARCHIVE = "archive"
TAG = AfterDelivery.tag({"delivered": "yes"})
MOVE = AfterDelivery.move(prefix="delivered/")
DELETE = AfterDelivery.delete()
MOVE_ELSEWHERE = AfterDelivery.move(prefix="elsewhere/")
CHANGED = {"keep": AfterDelivery.keep(), "tag": TAG, "delete": DELETE, "move elsewhere": MOVE_ELSEWHERE}
"""Rules of a deployment in the middle of a move."""
ALL = {"tag": TAG, "move": MOVE, "delete": DELETE}


@pytest.fixture(autouse=True)
def _aws() -> Iterator[None]:
    with mock_aws():
        yield


def environment(after: AfterDelivery, *, is_versioned: bool = True, **rules: Any) -> Environment:
    return Environment(after, is_versioned=is_versioned, **rules)


class Environment(KillableEnvironment):
    """A partner, and a bucket whose requests are steps, too."""

    bucket: MortalBucket
    is_over: Callable[[], bool]

    def __init__(self, after: AfterDelivery, *, is_versioned: bool = True, **rules: Any) -> None:
        super().__init__(DeliveryRules(after_delivery=after, **rules), {})
        self.bucket = MortalBucket(self, is_versioned=is_versioned)
        self.is_over = lambda: False
        self.s3 = self.bucket  # type: ignore[assignment] # all that is used of it

    def deadline(self, **about: Any) -> Deadline:
        return super().deadline(**{"is_over": lambda: self.is_over(), **about})

    def after(self, ref: ObjectRef) -> dict[str, Any]:
        """The record of the action."""
        item = self.version_item(ref)
        assert item["state"] == {"S": "DELIVERED"}, item
        return {name: next(iter(value.values())) for name, value in item["after"]["M"].items()}

    @property
    def given(self) -> list[str]:
        """The final names, one for each time that a file got one."""
        return [landed.path for landed in self.disk.landed]


def assert_done(env: Environment, ref: ObjectRef, data: bytes) -> None:
    """Assert that the file arrived once, and that the action was done to the delivered version alone."""
    assert env.given == [f"inbox/{ref.key}"]
    assert bytes(env.disk.files[f"inbox/{ref.key}"]) == data
    assert env.after(ref)["state"] == "done"
    if env.rules.after_delivery is TAG:
        assert env.bucket.tags(ref.key) == {"kept": "1", "delivered": "yes"}
    else:
        assert env.bucket.versions(ref.key) == []
    if env.rules.after_delivery is MOVE:
        assert env.bucket.body(f"delivered/{ref.key}") == data
        assert env.bucket.tags(f"delivered/{ref.key}") == {"kept": "1"}


def places(env: Environment) -> list[str]:
    """The keys under which the object a is, in whatever version."""
    return [each for each in ("a", "delivered/a", "elsewhere/a") if env.bucket.versions(each)]


def killed_after_the_copy(
    after: AfterDelivery = MOVE, data: bytes = b"data"
) -> tuple[Environment, ObjectRef]:
    """An environment with a copy that the ledger does not know to be made, and the object."""
    for step in itertools.count(1):
        env = environment(after)
        ref = env.bucket.put("a", data)
        assert env.invoke([ref], dies_at=step).is_dead
        if "delivered/a" in places(env):
            assert env.after(ref)["state"] == "pending"
            return env, ref
    raise AssertionError


def assert_moved_once(env: Environment, ref: ObjectRef) -> None:
    after = env.after(ref)
    assert after["state"] == "done"
    assert env.bucket.versions("delivered/a") == [after["version_id"]]


class TestActions:
    @pytest.mark.parametrize("is_versioned", [True, False], ids=["versioned", "unversioned"])
    @pytest.mark.parametrize("after", ALL.values(), ids=ALL)
    def test_action_follows_the_receipt(self, after: AfterDelivery, *, is_versioned: bool) -> None:
        env = environment(after, is_versioned=is_versioned)
        ref = env.bucket.put("a", b"data", Tagging="kept=1")
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], Receipt)
        assert_done(env, ref, b"data")

    def test_keeping_asks_s3_for_nothing_and_records_nothing(self) -> None:
        env = environment(AfterDelivery.keep())
        ref = env.bucket.put("a", b"data")
        env.invoke([ref])
        assert env.bucket.asked == ["get_object"]
        assert "after" not in env.version_item(ref)

    def test_copy_keeps_metadata_content_type_and_encryption(self) -> None:
        env = environment(MOVE)
        kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-east-1:1:key/1"}
        ref = env.bucket.put("a", b"data", Metadata={"x": "1"}, ContentType="text/csv", **kms)
        env.invoke([ref])
        about = env.bucket.client.head_object(Bucket=BUCKET, Key="delivered/a")
        assert about["Metadata"] == {"x": "1"}
        assert about["ContentType"] == "text/csv"
        assert {name: about[name] for name in kms} == kms

    def test_object_is_moved_to_another_bucket(self) -> None:
        env = environment(AfterDelivery.move(prefix="", bucket=ARCHIVE))
        env.bucket.client.create_bucket(Bucket=ARCHIVE)
        ref = env.bucket.put("a", b"data")
        env.invoke([ref])
        assert env.bucket.body("a", ARCHIVE) == b"data"
        assert env.bucket.keys() == []
        assert (env.after(ref)["bucket"], env.after(ref)["key"]) == (ARCHIVE, "a")

    @pytest.mark.parametrize("after", [MOVE, DELETE], ids=["move", "delete"])
    def test_newer_version_stays(self, after: AfterDelivery) -> None:
        env = environment(after)
        first = env.bucket.put("a", b"first")
        second = env.bucket.put("a", b"second")
        env.invoke([first])
        assert env.bucket.versions("a") == [second.version_id]
        assert env.bucket.body("a") == b"second"

    @pytest.mark.parametrize("after", ALL.values(), ids=ALL)
    def test_newer_object_without_versions_stays_as_it_is(self, after: AfterDelivery) -> None:
        env = environment(after, is_versioned=False)
        first = env.bucket.put("a", b"first")
        put = env.ledger.memory.write

        def write(*changes: Any) -> Any:
            if "receipt" in changes[0].put:
                env.bucket.put("a", b"second")
            return put(*changes)

        env.ledger.memory.write = write  # type: ignore[method-assign]
        env.invoke([first])
        assert env.bucket.body("a") == b"second"
        assert env.bucket.tags("a") == {}
        assert env.bucket.keys() == ["a"]
        assert env.after(first)["state"] in {"gone", "done"}

    def test_object_of_which_nothing_says_the_version_is_kept(self) -> None:
        env = environment(DELETE, is_versioned=False)
        ref = dataclasses.replace(env.bucket.put("a", b"data"), etag=None)
        env.invoke([ref])
        assert env.bucket.keys() == ["a"]
        assert env.after(ref)["state"] == "kept"

    def test_delivery_that_is_only_assumed_changes_nothing_in_s3(self) -> None:
        env = environment(DELETE)
        ref = env.bucket.put("a", b"data")
        env.options["unknown_outcome"] = UnknownOutcome.ASSUME_DELIVERED
        env.env.scripts = {0: env.cut_at_rename(done=True)}
        env.invoke([ref])
        env.disk.files.clear()
        env.settle([ref])
        assert env.version_item(ref)["receipt"]["M"]["evidence"] == {"S": "assumed"}
        assert env.bucket.keys() == ["a"]
        assert env.after(ref)["state"] == "kept"

    def test_object_in_the_target_prefix_is_refused_before_it_is_sent(self) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("delivered/a", b"data")
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], RuleRefused)
        assert env.disk.files == {}

    def test_key_that_would_be_too_long_is_refused_before_it_is_sent(self) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("/".join(["b" * 200] * 5) + "/" + "c" * 15, b"data")
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], RuleRefused)
        assert "1024" in str(env.outcomes[ref])


class TestLargeObjects:
    SIZE = 5 * 1024**2
    """Of a part: S3's smallest."""

    @pytest.fixture(autouse=True)
    def _small_copies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        options = {"largest_copy": self.SIZE, "part_bytes": self.SIZE}
        monkeypatch.setattr(AfterActions.__init__, "__kwdefaults__", options)

    def test_object_beyond_the_limit_of_one_request_is_copied_in_parts(self) -> None:
        env = environment(MOVE)
        data = bytes(range(256)) * (2 * self.SIZE // 256) + b"rest"
        ref = env.bucket.put("a", data, Metadata={"x": "1"}, ContentType="text/csv", Tagging="kept=1")
        env.invoke([ref])
        assert "copy_object" not in env.bucket.asked
        assert env.bucket.asked.count("upload_part_copy") == 3
        assert_done(env, ref, data)
        about = env.bucket.client.head_object(Bucket=BUCKET, Key="delivered/a")
        assert (about["Metadata"], about["ContentType"]) == ({"x": "1"}, "text/csv")

    def test_retry_copies_only_the_parts_that_are_missing(self) -> None:
        env = environment(MOVE)
        data = bytes(3 * self.SIZE)
        ref = env.bucket.put("a", data)
        env.bucket.refusing["complete_multipart_upload"] = "SlowDown"
        env.invoke([ref])
        assert env.after(ref)["upload_id"]
        env.bucket.refusing.clear()
        env.settle([ref])
        assert env.bucket.asked.count("upload_part_copy") == 3
        assert env.bucket.body("delivered/a") == data
        assert "upload_id" not in env.after(ref)

    def test_copy_that_one_invocation_cannot_finish_is_continued_by_the_next(self) -> None:
        env = environment(MOVE)
        data = bytes(12 * self.SIZE)
        ref = env.bucket.put("a", data)
        env.bucket.refusing["upload_part_copy"] = "SlowDown"
        env.invoke([ref])
        env.bucket.refusing.clear()
        copied = lambda: env.bucket.asked.count("upload_part_copy")  # noqa: E731 - a name for it
        env.is_over = lambda: copied() >= 1
        env.invoke([ref])
        unfinished = env.outcomes[ref]
        assert isinstance(unfinished, AfterDeliveryFailed)
        assert (unfinished.disposition, unfinished.retry_after) == (Disposition.WAIT, 0)
        assert "parts are copied" in unfinished.reason
        assert 1 <= copied() < 12
        env.is_over = lambda: False
        env.invoke([ref])
        assert copied() == 12
        assert env.bucket.body("delivered/a") == data

    def test_upload_that_was_cleaned_up_is_begun_again(self) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("a", bytes(2 * self.SIZE))
        env.bucket.refusing["complete_multipart_upload"] = "SlowDown"
        env.invoke([ref])
        upload = {"Bucket": BUCKET, "Key": "delivered/a", "UploadId": env.after(ref)["upload_id"]}
        env.bucket.client.abort_multipart_upload(**upload)
        env.bucket.refusing.clear()
        env.settle([ref])
        assert env.bucket.keys() == ["delivered/a"]


class TestPartsThatAreLeft:
    DATA = b"8 bytes, and some"

    @pytest.fixture(autouse=True)
    def _tiny_copies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(AfterActions.__init__, "__kwdefaults__", {"largest_copy": 8, "part_bytes": 8})
        monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)

    @pytest.mark.parametrize("name", ["keep", "tag", "move elsewhere"])
    def test_changed_rule_leaves_no_parts_after_a_kill_at_any_step(self, name: str) -> None:
        """But for an upload that nobody knows of yet: that one is the lifecycle rule's."""
        begun = 0
        for step in itertools.count(1):
            env = environment(MOVE)
            ref = env.bucket.put("a", self.DATA)
            if not env.invoke([ref], dies_at=step).is_dead:
                break
            if env.version_item(ref).get("state") != {"S": "DELIVERED"}:
                continue
            begun += bool(env.bucket.uploads())
            known = [env.after(ref)["upload_id"]] if "upload_id" in env.after(ref) else []
            lost = {each["UploadId"] for each in env.bucket.uploads()} - {*known}
            env.rules = DeliveryRules(after_delivery=CHANGED[name])
            env.settle([ref])
            assert places(env) == ["delivered/a"], step
            assert {each["UploadId"] for each in env.bucket.uploads()} == lost, step
        assert begun > 2

    def begun_in_parts(self, refused: str = "complete_multipart_upload") -> tuple[Environment, ObjectRef]:
        """An object whose copy has parts, and is unfinished."""
        env = environment(MOVE)
        ref = env.bucket.put("a", self.DATA)
        env.bucket.refusing[refused] = "SlowDown"
        env.invoke([ref])
        env.bucket.refusing.clear()
        assert [each["UploadId"] for each in env.bucket.uploads()] == [env.after(ref)["upload_id"]]
        return env, ref

    @pytest.mark.parametrize("may_abort", [True, False])
    @pytest.mark.parametrize("name", ["keep", "tag"])
    def test_parts_of_a_copy_that_may_not_be_finished_are_removed_or_named(
        self, name: str, *, may_abort: bool
    ) -> None:
        env, ref = self.begun_in_parts()
        upload = env.after(ref)["upload_id"]
        env.rules = DeliveryRules(after_delivery=CHANGED[name])
        env.bucket.refusing["list_parts"] = "AccessDenied"
        if not may_abort:
            env.bucket.refusing["abort_multipart_upload"] = "AccessDenied"
        env.invoke([ref])
        parts = "" if may_abort else f" (parts of the upload {upload})"
        assert env.after(ref)["other_copy"] == f"s3://bucket/delivered/a{parts}"
        assert env.after(ref)["state"] == ("kept" if name == "keep" else "done")
        assert len(env.bucket.uploads()) == (not may_abort)
        assert env.bucket.keys() == ["a"]

    def test_parts_at_a_target_that_is_corrected_are_removed(self) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("a", self.DATA)
        env.bucket.refusing["upload_part_copy"] = "AccessDenied"
        env.invoke([ref])
        assert len(env.bucket.uploads()) == 1
        env.bucket.refusing.clear()
        env.rules = DeliveryRules(after_delivery=MOVE_ELSEWHERE)
        env.invoke([ref])
        assert env.bucket.keys() == ["elsewhere/a"]
        assert env.bucket.uploads() == []
        assert "other_copy" not in env.after(ref)

    def test_parts_are_kept_when_a_permission_is_corrected(self) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("a", self.DATA)
        env.bucket.refusing["complete_multipart_upload"] = "AccessDenied"
        env.invoke([ref])
        env.bucket.refusing.clear()
        env.invoke([ref])
        assert env.bucket.asked.count("upload_part_copy") == 3
        assert env.bucket.keys() == ["delivered/a"]

    def test_parts_of_an_object_that_somebody_else_deletes_are_removed(self) -> None:
        env, ref = self.begun_in_parts()
        env.bucket.client.delete_object(Bucket=BUCKET, Key="a", VersionId=ref.version_id)
        env.invoke([ref])
        assert env.after(ref)["state"] == "gone"
        assert env.bucket.uploads() == []

    def test_second_function_leaves_no_parts_beside_those_of_the_first(self) -> None:
        env, ref = self.begun_in_parts()
        first = env.after(ref)["upload_id"]
        planned = PlannedAction(action="move", bucket=BUCKET, key="delivered/a")
        late = AfterExecution(env.bucket, env.ledger.memory)
        with pytest.raises(AfterDeliveryFailed) as failed:
            late.run(ref, planned, attempts=1, after=None)
        assert failed.value.disposition is Disposition.WAIT
        assert [each["UploadId"] for each in env.bucket.uploads()] == [first]

    def test_upload_that_cannot_be_recorded_is_aborted(self) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("a", self.DATA)
        write = env.ledger.memory.write

        def fail(*changes: Any) -> Any:
            if ("after", "upload_id") in changes[0].put:
                raise LedgerError("The table does not answer.", hint="")
            return write(*changes)

        env.ledger.memory.write = fail  # type: ignore[method-assign]
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], LedgerError)
        assert env.bucket.uploads() == []
        env.ledger.memory.write = write  # type: ignore[method-assign]
        env.invoke([ref])
        assert env.bucket.keys() == ["delivered/a"]


class TestCrashes:
    @pytest.mark.parametrize("is_versioned", [True, False], ids=["versioned", "unversioned"])
    @pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
    @pytest.mark.parametrize("after", ALL.values(), ids=ALL)
    def test_action_is_completed_after_a_kill_at_any_step(
        self, after: AfterDelivery, *, is_large: bool, is_versioned: bool
    ) -> None:
        step = 0
        while True:
            step += 1
            env = environment(after, is_versioned=is_versioned)
            ref = env.bucket.put("a", b"data", Tagging="kept=1")
            ref = dataclasses.replace(ref, size=None) if is_large else ref
            if not env.invoke([ref], dies_at=step).is_dead:
                break
            env.settle([ref])
            assert_done(env, ref, b"data")
        assert step > 20

    @pytest.mark.parametrize("is_versioned", [True, False], ids=["versioned", "unversioned"])
    @pytest.mark.parametrize("name", CHANGED)
    def test_move_is_finished_as_recorded_by_changed_rules_after_a_kill_at_any_step(
        self, name: str, *, is_versioned: bool
    ) -> None:
        step, finished = 0, 0
        while True:
            step += 1
            env = environment(MOVE, is_versioned=is_versioned)
            ref = env.bucket.put("a", b"data")
            if not env.invoke([ref], dies_at=step).is_dead:
                break
            was_delivered = env.version_item(ref).get("state") == {"S": "DELIVERED"}
            env.rules = DeliveryRules(after_delivery=CHANGED[name])
            env.settle([ref])
            if was_delivered:
                finished += 1
                after = env.after(ref)
                assert (after["state"], after["action"]) == ("done", "move"), step
                assert places(env) == ["delivered/a"], step
            else:
                left = {"keep": ["a"], "tag": ["a"], "delete": [], "move elsewhere": ["elsewhere/a"]}
                assert places(env) == left[name], step
        assert finished > 4

    @pytest.mark.parametrize("name", CHANGED)
    def test_attempt_after_a_refusal_leaves_one_copy_when_it_is_killed_and_the_rule_changed(
        self, name: str
    ) -> None:
        """What was surely not done before may have been done by then."""
        copied = 0
        for step in itertools.count(1):
            env = environment(MOVE)
            ref = env.bucket.put("a", b"data")
            env.bucket.refusing["copy_object"] = "AccessDenied"
            env.invoke([ref])
            assert env.after(ref)["refused"] == "AccessDenied"
            env.bucket.refusing.clear()
            if not env.invoke([ref], dies_at=step).is_dead:
                break
            copied += places(env) == ["a", "delivered/a"]
            env.rules = DeliveryRules(after_delivery=CHANGED[name])
            env.settle([ref])
            assert len(places(env)) <= 1, step
            assert "other_copy" not in env.after(ref)
        assert copied > 0

    def test_move_that_takes_the_place_of_another_action_leaves_one_copy_when_the_rule_changes_again(
        self,
    ) -> None:
        copied = 0
        for step in itertools.count(1):
            env = environment(TAG)
            ref = env.bucket.put("a", b"data")
            env.bucket.refusing["put_object_tagging"] = "AccessDenied"
            env.invoke([ref])
            env.bucket.refusing.clear()
            env.rules = DeliveryRules(after_delivery=MOVE)
            if not env.invoke([ref], dies_at=step).is_dead:
                break
            copied += places(env) == ["a", "delivered/a"]
            env.rules = DeliveryRules()
            env.settle([ref])
            assert len(places(env)) == 1, step
        assert copied > 0

    @pytest.mark.parametrize(
        "error",
        [
            ReadTimeoutError(endpoint_url="https://s3"),
            client_error("InternalError", 500),
            client_error("RequestTimeout", 400),
        ],
        ids=["no answer", "500", "timeout"],
    )
    def test_copy_that_may_have_been_made_is_not_forgotten_when_the_rule_changes(
        self, error: Exception
    ) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("a", b"data")
        env.bucket.failing["copy_object"] = error
        env.invoke([ref])
        assert places(env) == ["a", "delivered/a"]
        env.bucket.failing.clear()
        env.rules = DeliveryRules()
        env.invoke([ref])
        assert env.after(ref)["state"] == "done"
        assert places(env) == ["delivered/a"]

    @pytest.mark.parametrize("name", ["keep", "tag", "delete"])
    def test_copy_that_may_be_there_is_named_where_the_changed_rules_no_longer_allow_the_move(
        self, name: str
    ) -> None:
        env, ref = killed_after_the_copy()
        env.rules = DeliveryRules(after_delivery=CHANGED[name])
        env.bucket.refusing["copy_object"] = "AccessDenied"
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], AlreadyDelivered)
        after = env.after(ref)
        assert after["other_copy"] == "s3://bucket/delivered/a"
        assert (after["state"], after["action"]) == (("kept", "move") if name == "keep" else ("done", name))
        assert env.bucket.tags("delivered/a") == {}
        assert places(env) == (["delivered/a"] if name == "delete" else ["a", "delivered/a"])

    @pytest.mark.parametrize(
        "rules",
        [
            DeliveryRules(name="{name}_{tag[missing]}", after_delivery=MOVE),
            DeliveryRules(after_delivery=AfterDelivery.move(prefix="in/")),
        ],
        ids=["name", "target"],
    )
    def test_move_is_finished_where_changed_rules_would_refuse_the_object(self, rules: DeliveryRules) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("in/a", b"data")
        env.bucket.refusing["delete_object"] = "SlowDown"
        env.invoke([ref])
        assert env.after(ref)["state"] == "copied"
        env.bucket.refusing.clear()
        env.rules = rules
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], AlreadyDelivered)
        assert env.after(ref)["state"] == "done"
        assert env.bucket.keys() == ["delivered/in/a"]

    def test_copied_object_stays_where_the_changed_rules_no_longer_allow_its_deletion(self) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("a", b"data")
        env.bucket.refusing["delete_object"] = "AccessDenied"
        env.invoke([ref])
        assert env.after(ref)["state"] == "copied"
        env.rules = DeliveryRules(after_delivery=MOVE_ELSEWHERE)
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], AfterDeliveryFailed)
        assert env.after(ref)["state"] == "copied"
        env.rules = DeliveryRules()
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], AlreadyDelivered)
        after = env.after(ref)
        assert (after["state"], after["key"]) == ("kept", "delivered/a")
        assert "a copy is at s3://bucket/delivered/a" in after["reason"]
        assert env.bucket.keys() == ["a", "delivered/a"]
        env.invoke([TestOperators().resend(ref)])
        assert env.given == ["inbox/a", "inbox/a"]

    def test_metadata_in_names_does_not_prevent_the_completion(self) -> None:
        step = 0
        while True:
            step += 1
            env = environment(DELETE, name="{metadata[to]}_{name}")
            ref = env.bucket.put("a", b"data", Metadata={"to": "x"})
            if not env.invoke([ref], dies_at=step).is_dead:
                break
            env.settle([ref])
            assert env.given == ["inbox/x_a"]
            assert env.after(ref)["state"] == "done"
            assert env.bucket.versions("a") == []

    def test_function_that_comes_late_does_not_call_a_moved_object_gone(self) -> None:
        planned = PlannedAction(action="move", bucket=BUCKET, key="delivered/a")
        step, late = 0, 0
        while True:
            step += 1
            env = environment(MOVE)
            ref = env.bucket.put("a", b"data")
            if not env.invoke([ref], dies_at=step).is_dead:
                break
            if env.bucket.versions("a"):
                continue
            late += env.after(ref)["state"] == "copied"
            table = env.ledger.memory
            AfterExecution(env.bucket.client, table).run(ref, planned, attempts=1, after=None)
            assert env.after(ref)["state"] in {"copied", "done"}
            env.settle([ref])
            assert_moved_once(env, ref)
        assert late > 0

    def test_numbers_companions_and_action_survive_together(self) -> None:
        together: dict[str, Any] = {
            "name": "PAY_{sequence:04d}.csv",
            "sequence": Sequence(),
            "companions": (Companion.marker("{stem}.xml", before=True), Companion.marker("{name}.done")),
            "only": Filter(min_bytes=1),
        }
        step = -2
        while True:
            step += 3
            env = environment(MOVE, **together)
            refs = [env.bucket.put(key, key.encode()) for key in ("a", "b")]
            if not env.invoke(refs, dies_at=step).is_dead:
                break
            env.settle(refs)
            assert sorted(env.given) == [
                f"inbox/PAY_000{number}{end}" for number in (1, 2) for end in (".csv", ".csv.done", ".xml")
            ]
            assert {env.after(ref)["state"] for ref in refs} == {"done"}
            assert env.bucket.keys() == ["delivered/a", "delivered/b"]
        assert step > 100


class TestFailures:
    REFUSED: ClassVar = {"tag": "put_object_tagging", "move": "copy_object", "delete": "delete_object"}

    @pytest.mark.parametrize("name", ALL)
    def test_refused_action_says_that_the_object_is_delivered_and_what_to_change(self, name: str) -> None:
        env = environment(ALL[name])
        ref = env.bucket.put("a", b"data", Tagging="kept=1")
        env.bucket.refusing[self.REFUSED[name]] = "AccessDenied"
        env.invoke([ref])
        error = env.outcomes[ref]
        assert isinstance(error, AfterDeliveryFailed)
        assert error.disposition is Disposition.RETRY
        assert isinstance(error.receipt, Receipt)
        assert "is delivered, and its receipt is recorded" in error.reason
        assert "AccessDenied" in error.reason
        assert "Allow the function's role s3:" in error.hint
        assert env.after(ref)["state"] == "pending"
        assert env.after(ref)["reason"] == error.reason

    @pytest.mark.parametrize("name", ALL)
    def test_redrive_completes_the_action_and_sends_nothing(self, name: str) -> None:
        env = environment(ALL[name])
        ref = env.bucket.put("a", b"data", Tagging="kept=1")
        env.bucket.refusing[self.REFUSED[name]] = "AccessDenied"
        env.invoke([ref])
        for _ in range(2):
            env.invoke([ref])
            assert isinstance(env.outcomes[ref], AfterDeliveryFailed)
        env.living_function().give_up(ref, AfterDeliveryFailed("no.", hint=""))  # dead-lettered
        env.bucket.refusing.clear()
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], AlreadyDelivered)
        assert_done(env, ref, b"data")
        assert "reason" not in env.after(ref)

    def test_missing_bucket_is_named(self) -> None:
        env = environment(AfterDelivery.move(bucket=ARCHIVE))
        ref = env.bucket.put("a", b"data")
        env.invoke([ref])
        error = env.outcomes[ref]
        assert isinstance(error, AfterDeliveryFailed)
        assert f"Create the bucket '{ARCHIVE}'" in error.hint
        assert env.bucket.keys() == ["a"]

    def test_target_that_was_changed_after_the_failure_is_used(self) -> None:
        env = environment(AfterDelivery.move(bucket=ARCHIVE))
        ref = env.bucket.put("a", b"data")
        env.invoke([ref])
        env.rules = DeliveryRules(after_delivery=MOVE)
        env.invoke([ref])
        assert env.bucket.keys() == ["delivered/a"]
        assert env.given == ["inbox/a"]

    def test_rule_that_was_removed_after_the_failure_ends_it(self) -> None:
        env = environment(AfterDelivery.move(bucket=ARCHIVE))
        ref = env.bucket.put("a", b"data")
        env.invoke([ref])
        env.rules = DeliveryRules()
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], AlreadyDelivered)
        assert env.after(ref)["state"] == "kept"
        assert "other_copy" not in env.after(ref)
        assert env.bucket.keys() == ["a"]

    def test_more_than_ten_tags_are_refused_for_good(self) -> None:
        env = environment(TAG)
        ref = env.bucket.put("a", b"data", Tagging="&".join(f"t{n}=1" for n in range(10)))
        env.invoke([ref])
        error = env.outcomes[ref]
        assert isinstance(error, AfterDeliveryFailed)
        assert error.disposition is Disposition.PERMANENT
        assert "it has 10 tags, and would have 11" in error.reason
        assert len(env.bucket.tags("a")) == 10

    def test_message_of_an_unfinished_action_is_not_dropped_while_the_circuit_is_open(self) -> None:
        env = environment(DELETE)
        ref = env.bucket.put("a", b"data")
        env.bucket.refusing["delete_object"] = "AccessDenied"
        env.invoke([ref])
        env.living_function().give_up(ref, CircuitOpen("open.", hint="", retry_after=1))  # raises nothing
        env.bucket.refusing.clear()
        env.invoke([ref])
        with pytest.raises(AlreadyDelivered):
            env.living_function().give_up(ref, CircuitOpen("open.", hint="", retry_after=1))
        assert env.after(ref)["state"] == "done"

    def test_object_that_somebody_else_deletes_is_no_failure(self) -> None:
        env = environment(MOVE)
        ref = env.bucket.put("a", b"data")
        env.bucket.refusing["copy_object"] = "SlowDown"
        env.invoke([ref])
        env.bucket.client.delete_object(Bucket=BUCKET, Key="a", VersionId=ref.version_id)
        env.bucket.refusing.clear()
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], AlreadyDelivered)
        assert env.after(ref)["state"] == "gone"


class TestOperators:
    def resend(self, ref: ObjectRef) -> ObjectRef:
        request = OperatorRequest(action=Action.RESEND, id="r1", who="us", at=2e9)
        return dataclasses.replace(ref, operator=request)

    @pytest.mark.parametrize("after", [MOVE, DELETE], ids=["move", "delete"])
    def test_resend_of_what_is_not_there_says_where_it_is(self, after: AfterDelivery) -> None:
        env = environment(after)
        ref = env.bucket.put("a b", b"data")
        env.invoke([ref])
        again = self.resend(ref)
        env.invoke([again])
        error = env.outcomes[again]
        assert isinstance(error, MovedAfterDelivery)
        assert error.disposition is Disposition.PERMANENT
        assert env.version_item(ref)["state"] == {"S": "DELIVERED"}
        if after is MOVE:
            moved = env.bucket.versions("delivered/a b")[0]
            assert f"s3://bucket/delivered/a b (version {moved})" in error.reason
            assert f"'bucket/delivered/a%20b?versionId={moved}'" in error.hint

    def test_resend_of_a_tagged_object_sends_it_and_tags_it_again(self) -> None:
        env = environment(TAG)
        ref = env.bucket.put("a", b"data")
        env.invoke([ref])
        env.invoke([self.resend(ref)])
        assert env.given == ["inbox/a", "inbox/a"]
        assert env.after(ref)["state"] == "done"


def test_small_objects_of_a_batch_are_moved_each() -> None:
    env = environment(MOVE)
    refs = [env.bucket.put(f"in/{number}", b"data") for number in range(5)]
    env.invoke(refs)
    assert env.bucket.keys() == [f"delivered/in/{number}" for number in range(5)]
    assert {env.after(ref)["state"] for ref in refs} == {"done"}
