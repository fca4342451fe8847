"""What the DynamoDB in memory answers is what moto's own code answers."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.cheap_moto import ORIGINAL
from tests.support.ledger_environment import TABLE, create_table
from tests.support.memory_aws import mock_aws

ITEM = {
    "pk": {"S": "key"},
    "sk": {"S": "version"},
    "revision": {"N": "1"},
    "places": {"M": {"one": {"S": "a"}, "two": {"S": "b"}}},
    "entries": {"L": [{"S": "a"}, {"S": "b"}, {"S": "c"}]},
    "set": {"SS": ["a", "b"]},
}
KEY = {"pk": {"S": "key"}, "sk": {"S": "version"}}
NEW = {"pk": {"S": "key"}, "sk": {"S": "other"}}


def update(expression: str, key: dict[str, Any] = KEY, **request: Any) -> dict[str, Any]:
    return {"Key": key, "UpdateExpression": expression, **request}


def value(**values: Any) -> dict[str, Any]:
    return {"ExpressionAttributeValues": {f":{name}": each for name, each in values.items()}}


def name(**names: str) -> dict[str, Any]:
    return {"ExpressionAttributeNames": {f"#{short}": each for short, each in names.items()}}


UPDATES = {
    "set": update("SET revision = revision + :one", **value(one={"N": "1"})),
    "sums": update(
        "SET revision = revision + :one, #b = :one - :one", **value(one={"N": "1"}), **name(b="b")
    ),
    "every clause": update(
        "SET #places.#one = :a REMOVE entries[0], entries[2], absent ADD revision :n DELETE #set :s",
        **value(a={"S": "z"}, n={"N": "4"}, s={"SS": ["a"]}),
        **name(places="places", one="one", set="set"),
    ),
    "functions": update(
        "SET stage = if_not_exists(stage, :a), entries = list_append(entries, :l)",
        **value(a={"S": "z"}, l={"L": [{"S": "d"}]}),
    ),
    "new item": update("SET revision = :one", NEW, **value(one={"N": "1"})),
    "condition": update(
        "SET revision = :one",
        ConditionExpression="revision = :two",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
        **value(one={"N": "1"}, two={"N": "2"}),
    ),
    "two clauses of one kind": update("SET a = :one SET b = :one", **value(one={"N": "1"})),
    "three clauses": update("REMOVE a SET b = :one REMOVE c", **value(one={"N": "1"})),
    "one path twice": update("SET a = :one, b = :one, a = :one", **value(one={"N": "1"})),
    "one name twice": update("SET #a = :one, #b = :one", **value(one={"N": "1"}), **name(a="a", b="a")),
    "one path within another": update("SET places.one = :a, places = :a", **value(a={"S": "z"})),
    # moto names the innermost of several mistakes.
    "two clauses of two kinds": update("ADD a :v ADD b :v SET c = :v SET d = :v", **value(v={"N": "1"})),
    "two paths twice": update("SET a = :one, a = :one, b = :one, b = :one", **value(one={"N": "1"})),
    "a path within another, and one twice": update(
        "SET places.one = :a, places = :a, b = :a, b = :a", **value(a={"S": "z"})
    ),
    "path of nothing": update("SET absent.one = :a", **value(a={"S": "z"})),
    "key": update("SET sk = :a", **value(a={"S": "z"})),
    "unknown value": update("SET a = :a, b = :b", **value(a={"S": "z"})),
    "unknown name": update("SET places.#a = :a", **value(a={"S": "z"})),
    "unused value": update("SET a = :a", **value(a={"S": "z"}, b={"S": "z"})),
    "reserved word": update("SET status = :a", **value(a={"S": "z"})),
    "wrong type": update("SET revision = revision + :a", **value(a={"S": "z"})),
    "empty key of the index": update("SET status_at = :a", **value(a={"S": ""})),
    "wrong type of the index": update("SET status_at = :a", **value(a={"N": "1"})),
    "no expression": update("revision"),
}


def answers(request: dict[str, Any]) -> list[Any]:
    """What two updates of the same kind are answered, and what is in the table then."""
    with mock_aws():
        client = boto3.client("dynamodb", "eu-west-1")
        create_table(client)
        client.put_item(TableName=TABLE, Item=ITEM)
        outcomes = [_answer(client, request) for _ in range(2)]
        return [*outcomes, client.scan(TableName=TABLE)["Items"]]


def _answer(client: Any, request: dict[str, Any]) -> Any:
    try:
        answer = client.update_item(TableName=TABLE, ReturnValues="ALL_NEW", **request)
    except ClientError as error:
        return {part: error.response.get(part) for part in ("Error", "message", "Item")}
    return answer["Attributes"]


@pytest.mark.parametrize("request_", UPDATES.values(), ids=UPDATES)
def test_update_is_answered_as_by_moto_itself(
    request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap = answers(request_)
    for place, attribute, original in ORIGINAL:
        monkeypatch.setattr(place, attribute, original)
    assert cheap == answers(request_)
