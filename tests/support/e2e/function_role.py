"""The deployed function in a cloud that enforces IAM, and clients with its credentials."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.deployment import Deployment
from tests.support.e2e.bundles import Bundles
from tests.support.e2e.stack_environment import StackEnvironment, deployed_stack
from tests.support.restartable_server import RestartableServer

PREFIX = "outgoing/"
OURS = f"{PREFIX}1.csv"
PRIVATE = "private/1.csv"
OTHER = "other"
"""Name of the bucket, queue, table, secret, event bus, log group and topic that are not the function's."""

PROBE = """
import os

def handler(event, context):
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name: os.environ[name.upper()] for name in names}
"""


@dataclass(frozen=True, kw_only=True)
class Function:
    """The deployed function.

    Attributes:
        env: Where it is deployed.
        role: ARN of its role.
        credentials: What Lambda gives to functions of that role.
        key: Id of a KMS key of the account.
    """

    env: StackEnvironment
    role: str
    credentials: dict[str, str]
    key: str
    _clients: dict[str, Any] = field(default_factory=dict)  # a new one takes a quarter of a second

    @property
    def own(self) -> Deployment:
        """The resources of its stack."""
        return self.env.deployment

    @property
    def role_name(self) -> str:
        return self.role.rpartition("/")[2]

    def client(self, service: str) -> Any:
        """A client that has the permissions of the function."""
        if service not in self._clients:
            self._clients[service] = self.env.cloud.client(service, **self.credentials)
        return self._clients[service]

    def root(self, service: str) -> Any:
        """A client that has all permissions."""
        return self.env.cloud.client(service)


@contextmanager
def deployed_function(folder: Path, partner: RestartableServer, bundles: Bundles) -> Iterator[Function]:
    """The stock stack for a prefix, in an account with other resources."""
    with deployed_stack(folder, partner, bundles, prefix=PREFIX, enforce_iam=True) as env:
        own, functions = env.deployment, env.cloud.client("lambda")
        role: str = functions.get_function_configuration(FunctionName=own.function)["Role"]
        key = _fill_account(env)
        function = Function(env=env, role=role, credentials=_credentials(functions, role), key=key)
        _name_secret_by_arn(function)
        env.put(OURS, b"ours")
        env.put(PRIVATE, b"private")
        yield function


def _credentials(functions: Any, role: str) -> dict[str, str]:
    # By asking one of its functions: only Lambda may assume the role.
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("probe.py", PROBE)
    functions.create_function(
        FunctionName="probe",
        Runtime="python3.13",
        Handler="probe.handler",
        Role=role,
        Code={"ZipFile": code.getvalue()},
    )
    found: dict[str, str] = json.load(functions.invoke(FunctionName="probe")["Payload"])
    return found


def _name_secret_by_arn(function: Function) -> None:
    # `Ref` of a secret is its ARN in AWS and its name in MiniStack: a policy can allow nothing on a name.
    iam, role, name = function.root("iam"), function.role_name, function.own.secret_arn
    arn = function.root("secretsmanager").describe_secret(SecretId=name)["ARN"]
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = json.dumps(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
        corrected = document.replace(json.dumps(name), json.dumps(arn))
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=corrected)


def _fill_account(env: StackEnvironment) -> str:
    client = env.cloud.client
    env.put(OURS, b"other", bucket=env.bucket_of_its_own(OTHER))
    client("sqs").create_queue(QueueName=OTHER)
    client("secretsmanager").create_secret(Name=OTHER, SecretString="other")
    client("events").create_event_bus(Name=OTHER)
    client("logs").create_log_group(logGroupName=OTHER)
    client("sns").create_topic(Name=OTHER)
    client("dynamodb").create_table(
        TableName=OTHER,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    return str(client("kms").create_key()["KeyMetadata"]["KeyId"])
