"""Deployed stacks of an app that is not the stock one."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from local.deployment import function_log
from tests.support.e2e.stack_environment import StackEnvironment, last_lines, wait_until


class Stacks:
    """The resources of the stacks, and what arrives at the partner through them."""

    def __init__(self, env: StackEnvironment, *stacks: str) -> None:
        self._env = env
        self._client = env.cloud.client("cloudformation")
        self._resources: list[dict[str, Any]] = []
        for stack in stacks:
            answer = self._client.describe_stack_resources(StackName=stack)
            self._resources += answer["StackResources"]

    def names(self, kind: str, like: str = "") -> list[str]:
        """Physical ids of the resources of this type whose logical id holds this."""
        return [
            each["PhysicalResourceId"]
            for each in self._resources
            if each["ResourceType"] == kind and like in each["LogicalResourceId"]
        ]

    def fill_secrets(self) -> None:
        login = {"username": self._env.server.username, "password": self._env.partner.password}
        client = self._env.cloud.client("secretsmanager")
        for name in self.names("AWS::SecretsManager::Secret"):
            client.put_secret_value(SecretId=name, SecretString=json.dumps(login))

    def fill_secret(self, like: str, text: str) -> None:
        (name,) = self.names("AWS::SecretsManager::Secret", like)
        self._env.cloud.client("secretsmanager").put_secret_value(SecretId=name, SecretString=text)

    def tags(self, bucket: str, key: str) -> dict[str, str]:
        (name,) = self.names("AWS::S3::Bucket", bucket)
        answer = self._env.cloud.client("s3").get_object_tagging(Bucket=name, Key=key)
        return {each["Key"]: each["Value"] for each in answer["TagSet"]}

    def put(self, bucket: str, key: str, body: bytes) -> None:
        (name,) = self.names("AWS::S3::Bucket", bucket)
        self._env.put(key, body, bucket=name)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """The current objects of a bucket, by their keys, but those that are being moved away."""
        (name,) = self.names("AWS::S3::Bucket", bucket)
        client = self._env.cloud.client("s3")
        found = {}
        for each in client.list_objects_v2(Bucket=name).get("Contents", []):
            with suppress(client.exceptions.NoSuchKey):
                found[each["Key"]] = client.get_object(Bucket=name, Key=each["Key"])["Body"].read()
        return found

    def arrived(self, path: str) -> bytes:
        place = self._env.partner.root / path
        wait_until(place.exists, f"{path} at the partner", self.explain)
        return place.read_bytes()

    def directory(self, path: str) -> Path:
        """A directory at the partner."""
        return self._env.partner.root / path

    def explain(self) -> str:
        logs = [
            last_lines("\n".join(function_log(self._env.cloud, name)))
            for name in self.names("AWS::Lambda::Function", "Function")
        ]
        root = self._env.partner.root
        files = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
        return "\n".join(["at the partner:", *files, *logs, self._env.explain()])
