"""A secret that is being rotated: which login is tried after a refusal, once, and which one is used then."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from s3_to_sftp.credentials import READ_AGAIN_AFTER_SECONDS, Credentials, OtherLogin, SecretCredentials
from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.login_fallback import YOUNG_SECONDS
from tests.support.memory_aws import mock_aws
from tests.support.memory_s3 import client_error

CANARY = "s3cret-canary"
OLD, NEW, THIRD = (Credentials(username="u", password=f"{CANARY}-{name}") for name in ("old", "new", "third"))
UNREACHABLE = EndpointConnectionError(endpoint_url="https://secretsmanager.example")


@pytest.fixture(scope="module")
def secrets_manager() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client(
            "secretsmanager", "eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )


def text_of(login: Credentials) -> str:
    return json.dumps({"username": login.username, "password": login.password})


@dataclass
class Secret:
    """A secret in moto, and a function that reads it.

    Attributes:
        reads: The stage of each read.
        fails: Stage -> what its reads raise.
        late: Seconds that have passed since the secret was made.
    """

    client: Any
    arn: str
    reads: list[str] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    late: float = 0

    def get_secret_value(self, **request: Any) -> Any:
        stage = request.get("VersionStage", "AWSCURRENT")
        self.reads.append(stage)
        if stage in self.fails:
            raise self.fails[stage]
        return self.client.get_secret_value(**request)

    def put(self, login: Credentials | str, *stages: str) -> str:
        value = login if isinstance(login, str) else text_of(login)
        put = self.client.put_secret_value(
            SecretId=self.arn, SecretString=value, VersionStages=list(stages or ("AWSCURRENT",))
        )
        return str(put["VersionId"])

    def promote(self, version: str) -> None:
        current = self.client.get_secret_value(SecretId=self.arn)["VersionId"]
        self.client.update_secret_version_stage(
            SecretId=self.arn,
            VersionStage="AWSCURRENT",
            MoveToVersionId=version,
            RemoveFromVersionId=current,
        )

    def now(self) -> float:
        made: float = self.client.get_secret_value(SecretId=self.arn)["CreatedDate"].timestamp()
        return made + self.late

    def function(self) -> SecretCredentials:
        created = self.now()
        source = SecretCredentials(
            secret_arn=self.arn, client=self, clock=lambda: max(created, created + self.late)
        )
        source.current()
        self.reads.clear()
        return source


@pytest.fixture
def secret(secrets_manager: Any, request: pytest.FixtureRequest) -> Secret:
    name = request.node.name
    arn = secrets_manager.create_secret(
        Name=name.replace("[", "/").replace("]", ""), SecretString=text_of(OLD)
    )
    return Secret(secrets_manager, arn["ARN"])


# --- which login is tried ---


def test_pending_login_is_tried_while_a_rotation_is_under_way(secret: Secret) -> None:
    secret.put(NEW, "AWSPENDING")
    assert secret.function().other_than(OLD) == OtherLogin(NEW, "AWSPENDING")
    assert "AWSPREVIOUS" not in secret.reads


def test_previous_login_is_tried_while_the_current_one_is_young(secret: Secret) -> None:
    secret.put(NEW)
    source = secret.function()
    assert source.other_than(NEW) == OtherLogin(OLD, "AWSPREVIOUS")


def test_old_previous_login_is_never_tried(secret: Secret) -> None:
    secret.put(NEW)
    source = secret.function()
    secret.late = YOUNG_SECONDS
    assert source.other_than(NEW) is None
    assert "AWSPREVIOUS" not in secret.reads


def test_previous_login_is_not_tried_where_the_age_is_unknown() -> None:
    class Ageless:
        def get_secret_value(self, **request: Any) -> dict[str, str]:
            stage = request["VersionStage"]
            if stage == "AWSPENDING":
                raise client_error("ResourceNotFoundException", 400)
            return {"SecretString": text_of(NEW if stage == "AWSCURRENT" else OLD), "VersionId": stage}

    assert SecretCredentials(secret_arn="arn", client=Ageless()).other_than(NEW) is None


def test_changed_current_login_comes_before_any_other_stage(secret: Secret) -> None:
    source = secret.function()
    secret.put(NEW)
    secret.put(THIRD, "AWSPENDING")
    assert source.other_than(OLD) == OtherLogin(NEW, "AWSCURRENT")


def test_secret_without_another_login_has_none_to_try(secret: Secret) -> None:
    assert secret.function().other_than(OLD) is None


def test_pending_stage_on_the_current_version_means_no_rotation(secret: Secret) -> None:
    secret.put(NEW, "AWSCURRENT", "AWSPENDING")
    assert secret.function().other_than(NEW) == OtherLogin(OLD, "AWSPREVIOUS")


def test_pending_version_with_the_same_login_is_not_tried(secret: Secret) -> None:
    secret.put(OLD, "AWSPENDING")
    assert secret.function().other_than(OLD) is None


def test_previous_version_with_the_same_login_is_not_tried(secret: Secret) -> None:
    secret.put(OLD)
    assert secret.function().other_than(OLD) is None


@pytest.mark.parametrize("value", ["no login", "{}"])
def test_unusable_pending_version_is_not_tried(
    value: str, secret: Secret, caplog: pytest.LogCaptureFixture
) -> None:
    secret.put(value, "AWSPENDING")
    assert secret.function().other_than(OLD) is None
    assert "the login of AWSPENDING is not tried: The secret" in caplog.text


@pytest.mark.parametrize(
    "error", [client_error("AccessDeniedException", 400), UNREACHABLE], ids=["no", "away"]
)
def test_unreadable_stage_is_no_login_to_try(error: Exception, secret: Secret) -> None:
    secret.put(NEW, "AWSPENDING")
    secret.fails["AWSPENDING"] = error
    assert secret.function().other_than(OLD) is None


def test_rotation_that_ends_between_two_reads_shows_the_new_login(secret: Secret) -> None:
    new = secret.put(NEW, "AWSPENDING")
    source = secret.function()
    read = secret.get_secret_value

    def read_and_promote(**request: Any) -> Any:
        answer = read(**request)
        if len(secret.reads) == 1:
            secret.promote(new)
        return answer

    secret.get_secret_value = read_and_promote  # type: ignore[method-assign]
    offered = source.other_than(OLD)
    assert offered is not None
    assert offered.login == NEW


def test_unreachable_secrets_manager_leaves_the_refusal_as_it_is(secret: Secret) -> None:
    source = secret.function()
    secret.fails = dict.fromkeys(("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"), UNREACHABLE)
    assert source.other_than(OLD) is None
    assert source.current() == OLD


# --- which login is used ---


def test_accepted_pending_login_is_used_until_the_current_one_changes(
    secret: Secret, caplog: pytest.LogCaptureFixture
) -> None:
    new = secret.put(NEW, "AWSPENDING")
    source = secret.function()
    source.other_than(OLD)
    assert (source.current(), source.fallback) == (OLD, "")
    source.accepted(NEW)
    assert (source.current(), source.fallback) == (NEW, "AWSPENDING")
    version = source.version
    source.refreshed()
    assert (source.current(), source.version) == (NEW, version), "the breaker asks whether it has changed"
    secret.promote(new)
    secret.late = READ_AGAIN_AFTER_SECONDS
    source.renew()
    assert (source.current(), source.fallback, source.version) == (NEW, "", new)
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "that of AWSPENDING" in warning.getMessage()
    assert CANARY not in caplog.text + repr(vars(warning))


def test_refused_fallback_gives_way_to_the_current_login(secret: Secret) -> None:
    secret.put(NEW)
    source = secret.function()
    source.other_than(NEW)
    source.accepted(OLD)
    assert source.other_than(OLD) == OtherLogin(NEW, "AWSCURRENT")
    source.accepted(NEW)
    assert (source.current(), source.fallback) == (NEW, "")


def test_second_refused_login_is_not_tried_again_until_the_secret_changes(
    secret: Secret, caplog: pytest.LogCaptureFixture
) -> None:
    secret.put(NEW)
    source = secret.function()
    source.other_than(NEW)
    source.refused(OLD)
    assert "that of AWSCURRENT: it will not be retried" in caplog.text.replace("like ", "")
    assert source.other_than(NEW) is None
    secret.put(THIRD)
    assert source.other_than(NEW) == OtherLogin(THIRD, "AWSCURRENT")
    assert source.other_than(THIRD) is None, "AWSPREVIOUS was refused just now"


def test_cached_login_that_was_refused_is_not_tried_again_as_the_previous_one(secret: Secret) -> None:
    source = secret.function()
    secret.put(NEW)
    assert source.other_than(OLD) == OtherLogin(NEW, "AWSCURRENT")
    source.refused(NEW)
    assert source.other_than(NEW) is None


def test_new_pending_login_is_tried_after_another_was_refused(secret: Secret) -> None:
    secret.put(NEW, "AWSPENDING")
    source = secret.function()
    source.other_than(OLD)
    source.refused(NEW)
    secret.put(THIRD, "AWSPENDING")
    assert source.other_than(OLD) == OtherLogin(THIRD, "AWSPENDING")


def test_accepted_login_shows_that_the_refusals_meant_something_else(secret: Secret) -> None:
    secret.put(NEW, "AWSPENDING")
    source = secret.function()
    source.other_than(OLD)
    source.refused(NEW)
    source.accepted(OLD)
    assert source.other_than(OLD) == OtherLogin(NEW, "AWSPENDING")


# --- a changed secret is noticed ---


def test_changed_secret_is_noticed_after_a_minute(secret: Secret) -> None:
    source = secret.function()
    secret.put(NEW)
    secret.late = READ_AGAIN_AFTER_SECONDS - 1
    source.renew()
    assert (source.current(), secret.reads) == (OLD, [])
    secret.late += 1
    source.renew()
    source.renew()
    assert (source.current(), secret.reads) == (NEW, ["AWSCURRENT"])


def test_nothing_is_renewed_before_the_first_read(secret: Secret) -> None:
    SecretCredentials(secret_arn=secret.arn, client=secret).renew()
    assert secret.reads == []


@pytest.mark.parametrize(
    "error",
    [UNREACHABLE, client_error("InternalServiceError", 500), client_error("ThrottlingException", 400)],
    ids=["away", "broken", "busy"],
)
def test_cached_login_is_used_while_secrets_manager_cannot_be_reached(
    error: Exception, secret: Secret, caplog: pytest.LogCaptureFixture
) -> None:
    source = secret.function()
    secret.fails["AWSCURRENT"] = error
    for minutes in (1, 2, 3):
        secret.late = 60 * minutes
        source.renew()
        assert source.current() == OLD
    assert len(caplog.records) == 1
    assert len(secret.reads) == 3


@pytest.mark.parametrize("what", ["denied", "gone", "malformed"])
def test_secret_that_has_become_unusable_is_an_error(what: str, secret: Secret) -> None:
    source = secret.function()
    if what == "malformed":
        secret.put(CANARY)
    else:
        code = {"denied": "AccessDeniedException", "gone": "ResourceNotFoundException"}[what]
        secret.fails["AWSCURRENT"] = client_error(code, 400)
    secret.late = READ_AGAIN_AFTER_SECONDS
    source.renew()
    with pytest.raises(CredentialsError):
        source.current()


# --- one stage, for the doctor ---


def test_login_of_a_stage_is_read_and_does_not_become_the_login_in_use(secret: Secret) -> None:
    secret.put(NEW, "AWSPENDING")
    source = secret.function()
    found = source.at_stage("AWSPENDING")
    assert found is not None
    assert (found.login, bool(found.version)) == (NEW, True)
    assert source.current() == OLD


def test_missing_or_denied_stage_is_none(secret: Secret) -> None:
    source = secret.function()
    assert source.at_stage("AWSPENDING") is None
    secret.fails["AWSPREVIOUS"] = client_error("AccessDeniedException", 400)
    assert source.at_stage("AWSPREVIOUS") is None


def test_unusable_or_unreachable_stage_is_an_error(secret: Secret) -> None:
    secret.put(CANARY, "AWSPENDING")
    source = secret.function()
    with pytest.raises(CredentialsError, match="is not JSON") as raised:
        source.at_stage("AWSPENDING")
    assert CANARY not in str(raised.value)
    secret.fails["AWSPENDING"] = UNREACHABLE
    with pytest.raises(CredentialsError, match="cannot be read"):
        source.at_stage("AWSPENDING")
