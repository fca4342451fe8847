"""The stock stack as `cdk deploy` makes it: real bundle, real events, real SFTP."""

from __future__ import annotations

import json
from pathlib import Path

import asyncssh
import pytest

from local.arrivals import files_below
from local.samples import MIB, Sample
from tests.e2e.site import Site, notification, wait_until
from tests.lambda_events import sqs_event


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
def test_an_object_arrives_under_its_key_byte_for_byte(site: Site, key: str, body: bytes) -> None:
    site.put(key, body)
    assert site.wait_for_file(key) == body


def test_a_multipart_upload_arrives_byte_for_byte(site: Site, tmp_path: Path) -> None:
    body = bytes(range(256)) * (11 * MIB // 256)
    path = tmp_path / "multipart"
    path.write_bytes(body)
    sample = Sample(key="multipart.bin", path=path, size=len(body), sha256="", in_parts=True)
    sample.put(site.cloud.client("s3"), site.deployment.bucket)
    assert site.wait_for_file("multipart.bin") == body


def test_an_object_put_twice_leaves_the_newer_bytes_and_no_temporary_name(site: Site) -> None:
    site.put("twice.txt", b"old")
    assert site.wait_for_file("twice.txt") == b"old"
    site.put("twice.txt", b"newer")
    place = site.landing_place("twice.txt")
    wait_until(lambda: place.read_bytes() == b"newer", "newer bytes", site.explain)
    assert {path for path in files_below(site.partner.root) if "twice" in path.name} == {place}


def test_an_object_refused_for_its_login_arrives_once_the_secret_is_right(site: Site) -> None:
    site.partner.start(password="changed by the partner")
    site.put("login.txt", b"patient")
    # The same login was accepted a moment ago: that may also be a limit of sessions.
    assert site.wait_for_failure("login.txt")["error"] in {"LoginRefused", "TooManyConnections"}
    assert not site.landing_place("login.txt").exists()
    site.fill_secret("changed by the partner")
    assert site.wait_for_file("login.txt") == b"patient"


def test_a_refused_login_leaves_no_password_in_the_log(site: Site) -> None:
    site.partner.start(password="changed once more")
    site.put("log.txt", b"x")
    assert "'partner'" in site.wait_for_failure("log.txt")["message"]
    assert site.partner.password not in site.log()


def test_a_changed_host_key_is_refused_and_logged_ready_to_paste(site: Site) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    offered = " ".join(stranger.export_public_key().decode().split()[:2])
    site.partner.start(identity=stranger)
    site.put("stranger.txt", b"not for you")
    entry = site.wait_for_failure("stranger.txt")
    assert entry["error"] == "HostKeyRefused"
    assert offered in entry["message"]
    assert not site.landing_place("stranger.txt").exists()


def test_an_object_refused_for_the_host_key_arrives_when_the_partner_is_back(site: Site) -> None:
    site.partner.start(identity=asyncssh.generate_private_key("ssh-ed25519"))
    site.put("back.txt", b"patient")
    site.wait_for_failure("back.txt")
    site.partner.start()
    site.close_breaker()
    site.announce_again("back.txt")
    assert site.wait_for_file("back.txt") == b"patient"


def test_an_object_put_while_the_partner_is_down_arrives_when_it_is_up(site: Site) -> None:
    site.partner.stop()
    site.put("down.txt", b"patient")
    assert site.wait_for_failure("down.txt")["error"] == "PartnerUnreachable"
    site.partner.start()
    assert site.wait_for_file("down.txt") == b"patient"


def test_a_bad_message_in_a_batch_is_parked_with_the_reason_and_does_not_cost_the_others(site: Site) -> None:
    bucket = site.bucket_of_its_own("batch")
    site.put("good.txt", b"good", bucket=bucket)
    good = json.dumps(notification(bucket, "good.txt"))
    answer = site.cloud.client("lambda").invoke(
        FunctionName=site.deployment.function,
        Payload=json.dumps(sqs_event(bad="not an S3 notification", good=good)),
    )
    assert json.load(answer["Payload"]) == {"batchItemFailures": []}
    assert site.wait_for_file("good.txt") == b"good"
    (parked,) = site.cloud.client("sqs").receive_message(
        QueueUrl=site.deployment.dead_letter_queue_url, MessageAttributeNames=["All"], WaitTimeSeconds=5
    )["Messages"]
    assert parked["Body"] == "not an S3 notification"
    assert "not JSON" in parked["MessageAttributes"]["reason"]["StringValue"]
    site.cloud.client("sqs").delete_message(
        QueueUrl=site.deployment.dead_letter_queue_url, ReceiptHandle=parked["ReceiptHandle"]
    )


def test_the_test_event_of_s3_is_taken_from_the_queue(site: Site) -> None:
    body = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": site.deployment.bucket}
    answer = site.cloud.client("lambda").invoke(
        FunctionName=site.deployment.function, Payload=json.dumps(sqs_event(test=json.dumps(body)))
    )
    assert json.load(answer["Payload"]) == {"batchItemFailures": []}
    assert site.messages(site.deployment.dead_letter_queue_url) == 0
