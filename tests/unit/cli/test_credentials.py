"""Credentials that cannot be used: one sentence, exit code 5, and nothing of them in the output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    TokenRetrievalError,
)

from s3_to_sftp_cli.aws import Aws, explained
from s3_to_sftp_cli.errors import CliError, ExitCode
from tests.support.cli import REGION

_PROFILES = """
[profile sso]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = ops
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.example/start
[profile fails]
credential_process = /bin/false
[profile gone]
credential_process = /nonexistent/program
[profile chatty]
credential_process = /bin/echo hello
[profile web]
web_identity_token_file = /nonexistent/token
role_arn = arn:aws:iam::111122223333:role/ops
[profile loop]
source_profile = back
role_arn = arn:aws:iam::111122223333:role/ops
[profile back]
source_profile = loop
role_arn = arn:aws:iam::111122223333:role/ops
"""


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Neither in the environment nor in a cache, but profiles that promise some."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text(_PROFILES)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr("botocore.tokens.SSOTokenProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    Aws._session.cache_clear()
    Aws._client.cache_clear()
    yield cache
    Aws._session.cache_clear()
    Aws._client.cache_clear()


def refusal(profile: str) -> CliError:
    with pytest.raises(CliError) as refused:
        Aws(profile=profile, region=REGION).client("sqs")
    return refused.value


def test_session_of_single_sign_on_that_has_expired(no_credentials: Path) -> None:
    expired = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = {"startUrl": "x", "region": "eu-west-1", "accessToken": "sEcReT", "expiresAt": expired}
    name = hashlib.sha1(b"corp", usedforsecurity=False).hexdigest()
    (no_credentials / f"{name}.json").write_text(json.dumps(token))
    error = refusal("sso")
    assert (error.code, "expired" in error.message, "aws sso login" in error.hint) == (
        ExitCode.DENIED,
        True,
        True,
    )
    assert "sEcReT" not in str(error)


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize(
    ("profile", "named"),
    [
        ("fails", "custom-process"),
        ("gone", "/nonexistent/program: No such file"),
        ("chatty", "Expecting value"),
        ("web", "/nonexistent/token: No such file"),
        ("loop", "loop"),
    ],
)
def test_profile_that_brings_no_credentials(profile: str, named: str) -> None:
    error = refusal(profile)
    assert (error.code, named in error.message, error.message.endswith("..")) == (
        ExitCode.DENIED,
        True,
        False,
    )


@pytest.mark.parametrize(
    "error",
    [
        TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed"),
        CredentialRetrievalError(provider="custom-process", error_msg="no"),
    ],
)
def test_credentials_that_expire_under_way(error: BotoCoreError) -> None:
    assert explained(error).code is ExitCode.DENIED


def test_session_token_with_a_line_break_is_not_repeated() -> None:
    error = explained(HTTPClientError(error=ValueError("Invalid header value b'sEcReT\\ntoken'")))
    assert (error.code, "sEcReT" in str(error)) == (ExitCode.DENIED, False)
    assert "line break" in error.message


@pytest.mark.parametrize(
    ("code", "status", "text", "exit_code", "said", "hint"),
    [
        ("InvalidSignatureException", 403, "The request signature", ExitCode.DENIED, "credentials", "Log in"),
        ("InvalidSignatureException", 403, "Signature expired: x", ExitCode.DENIED, "time", "clock"),
        (
            "RequestTimeTooSkewed",
            403,
            "The difference between the request time and the current time is too large.",
            ExitCode.DENIED,
            "time",
            "clock",
        ),
        ("MissingAuthenticationTokenException", 403, "Missing", ExitCode.DENIED, "credentials", "Log in"),
        ("ThrottlingException", 400, "Rate exceeded", ExitCode.FAILED, "for now", "in a minute"),
        ("TooManyRequestsException", 429, "Rate Exceeded.", ExitCode.FAILED, "for now", "in a minute"),
        ("SlowDown", 503, "Please reduce", ExitCode.FAILED, "for now", "in a minute"),
        ("InternalServerError", 500, "Oh", ExitCode.FAILED, "for now", "in a minute"),
        ("502", 502, "Bad Gateway", ExitCode.FAILED, "for now", "in a minute"),
        ("ValidationException", 400, "Wrong", ExitCode.FAILED, "refused", "--region"),
    ],
)
def test_what_an_answer_of_aws_means(
    code: str, status: int, text: str, exit_code: ExitCode, said: str, hint: str
) -> None:
    answer = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = explained(ClientError(answer, "Query"))  # type: ignore[arg-type] # not all of the metadata
    assert (error.code, said in error.message, hint in error.hint) == (exit_code, True, True), str(error)


def test_who_asks_where_the_user_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    def no_answer(*_: object) -> None:
        raise BotoCoreError

    monkeypatch.setattr("getpass.getuser", no_name)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    monkeypatch.setattr(Aws, "client", no_answer)
    assert Aws().caller().startswith("4711@")
