"""Events and the context as Lambda hands them to the function."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus


def s3_record(bucket: str, key: str, *, size: int | None = 1, etag: str | None = None, **more: Any) -> Any:
    """One record of an S3 notification; `more` replaces fields of the record itself."""
    entry: dict[str, Any] = {"key": quote_plus(key, safe="/"), "sequencer": "0055AED6DCD90281E5"}
    if size is not None:
        entry["size"] = size
    if etag is not None:
        entry["eTag"] = etag
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": entry,
        },
        **more,
    }


def s3_notification(*records: Any) -> dict[str, Any]:
    """What S3 sends."""
    return {"Records": list(records)}


def eventbridge_event(bucket: str, key: str, *, detail: Any = None, **more: Any) -> dict[str, Any]:
    """What EventBridge passes on of a new object; `detail` and `more` replace fields."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": "eu-west-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": 1, "etag": "abc", "sequencer": "0055AED6DCD90281E5"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "192.0.2.1",
            "reason": "PutObject",
            **(detail or {}),
        },
        **more,
    }


def sqs_event(**bodies: str) -> dict[str, Any]:
    """A batch as the event source mapping delivers it: message id -> body."""
    return {
        "Records": [
            {
                "messageId": message_id,
                "receiptHandle": "handle",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1767225600000"},
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:queue",
                "awsRegion": "eu-west-1",
            }
            for message_id, body in bodies.items()
        ]
    }


def sqs_record(message: Mapping[str, Any]) -> dict[str, Any]:
    """What Lambda makes of a received message: other names, binary values in base64."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "binaryValue": base64.b64encode(value["BinaryValue"]).decode()
                if "BinaryValue" in value
                else None,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value["DataType"],
            }
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:queue",
        "awsRegion": "eu-west-1",
    }


@dataclass
class LambdaContext:
    """What the function reads of Lambda's context.

    Attributes:
        remaining: Milliseconds left, one for each time that the function asks; the last one stays.
    """

    function_name: str = "s3-to-sftp"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:s3-to-sftp"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"
    remaining: list[int] = field(default_factory=lambda: [900_000])

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining.pop(0) if len(self.remaining) > 1 else self.remaining[0]


def lambda_context(*remaining: int) -> Any:
    """A context with plenty of time, or with these milliseconds left."""
    return LambdaContext(remaining=list(remaining)) if remaining else LambdaContext()
