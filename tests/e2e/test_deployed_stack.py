"""The stock stack as `cdk deploy` makes it: real bundle, real events, real SFTP."""

from __future__ import annotations

import json
from pathlib import Path

import asyncssh
import pytest

from local.arrivals import files_below
from local.samples import MIB, Sample
from tests.support.e2e.stack_environment import StackEnvironment, notification, wait_until
from tests.support.lambda_events import sqs_event


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("orders.csv", b"id,amount\n1,2\n"),
        ("2026/11/orders/4711.csv", b"id,amount\n1,2\n"),
        ("a b+\u00fc(1)&%41.csv", b"odd"),
        ("empty.txt", b""),
        ("one-byte.bin", b"x"),
    ],
)
def test_object_arrives_under_its_key_byte_for_byte(env: StackEnvironment, key: str, body: bytes) -> None:
    env.put(key, body)
    assert env.wait_for_file(key) == body


def test_multipart_upload_arrives_byte_for_byte(env: StackEnvironment, tmp_path: Path) -> None:
    body = bytes(range(256)) * (11 * MIB // 256)
    path = tmp_path / "multipart"
    path.write_bytes(body)
    sample = Sample(key="multipart.bin", path=path, size=len(body), sha256="", in_parts=True)
    sample.put(env.cloud.client("s3"), env.deployment.bucket)
    assert env.wait_for_file("multipart.bin") == body


def test_overwritten_object_leaves_the_newer_bytes_and_no_temporary_file(env: StackEnvironment) -> None:
    env.put("twice.txt", b"old")
    assert env.wait_for_file("twice.txt") == b"old"
    env.put("twice.txt", b"newer")
    place = env.landing_place("twice.txt")
    wait_until(lambda: place.read_bytes() == b"newer", "newer bytes", env.explain)
    assert {path for path in files_below(env.partner.root) if "twice" in path.name} == {place}


def test_object_arrives_once_the_refused_login_is_corrected(env: StackEnvironment) -> None:
    env.partner.start(password="changed by the partner")
    env.put("login.txt", b"patient")
    # The same login was accepted a moment ago: that may also be a limit of sessions.
    assert env.wait_for_failure("login.txt")["error"] in {"LoginRefused", "TooManyConnections"}
    assert not env.landing_place("login.txt").exists()
    env.fill_secret("changed by the partner")
    assert env.wait_for_file("login.txt") == b"patient"


def test_refused_login_leaves_no_password_in_the_log(env: StackEnvironment) -> None:
    env.partner.start(password="changed once more")
    env.put("log.txt", b"x")
    assert "'partner'" in env.wait_for_failure("log.txt")["message"]
    assert env.partner.password not in env.log()


def test_changed_host_key_is_refused_and_logged_ready_to_paste(env: StackEnvironment) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    offered = " ".join(stranger.export_public_key().decode().split()[:2])
    env.partner.start(identity=stranger)
    env.put("stranger.txt", b"not for you")
    entry = env.wait_for_failure("stranger.txt")
    assert entry["error"] == "HostKeyRefused"
    assert offered in entry["message"]
    assert not env.landing_place("stranger.txt").exists()


def test_object_arrives_once_the_pinned_host_key_is_back(env: StackEnvironment) -> None:
    env.partner.start(identity=asyncssh.generate_private_key("ssh-ed25519"))
    env.put("back.txt", b"patient")
    env.wait_for_failure("back.txt")
    env.partner.start()
    env.close_breaker()
    env.announce_again("back.txt")
    assert env.wait_for_file("back.txt") == b"patient"


def test_object_put_while_the_partner_is_down_arrives_when_it_is_up(env: StackEnvironment) -> None:
    env.partner.stop()
    env.put("down.txt", b"patient")
    # An object of an earlier test that is retried may have opened the circuit breaker before.
    assert env.wait_for_failure("down.txt")["error"] in {"PartnerUnreachable", "CircuitOpen"}
    assert "cannot be reached" in env.log()
    env.partner.start()
    assert env.wait_for_file("down.txt") == b"patient"


def test_bad_message_in_a_batch_is_dead_lettered_and_the_others_are_delivered(
    env: StackEnvironment,
) -> None:
    bucket = env.bucket_of_its_own("batch")
    env.put("good.txt", b"good", bucket=bucket)
    good = json.dumps(notification(bucket, "good.txt"))
    answer = env.cloud.client("lambda").invoke(
        FunctionName=env.deployment.function,
        Payload=json.dumps(sqs_event(bad="not an S3 notification", good=good)),
    )
    assert json.load(answer["Payload"]) == {"batchItemFailures": []}
    assert env.wait_for_file("good.txt") == b"good"
    (dead_lettered,) = env.cloud.client("sqs").receive_message(
        QueueUrl=env.deployment.dead_letter_queue_url, MessageAttributeNames=["All"], WaitTimeSeconds=5
    )["Messages"]
    assert dead_lettered["Body"] == "not an S3 notification"
    assert "not JSON" in dead_lettered["MessageAttributes"]["reason"]["StringValue"]
    env.cloud.client("sqs").delete_message(
        QueueUrl=env.deployment.dead_letter_queue_url, ReceiptHandle=dead_lettered["ReceiptHandle"]
    )


def test_s3_test_event_is_deleted_from_the_queue(env: StackEnvironment) -> None:
    body = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": env.deployment.bucket}
    answer = env.cloud.client("lambda").invoke(
        FunctionName=env.deployment.function, Payload=json.dumps(sqs_event(test=json.dumps(body)))
    )
    assert json.load(answer["Payload"]) == {"batchItemFailures": []}
    assert env.messages(env.deployment.dead_letter_queue_url) == 0
