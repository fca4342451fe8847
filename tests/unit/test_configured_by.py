"""A hint names a setting in the way in which the function was configured."""

import re
from pathlib import Path

import pytest

import s3_to_sftp
from s3_to_sftp.configured_by import _ARGUMENTS, VARIABLE
from s3_to_sftp.errors import PartnerUnreachable

HINT = "Check SSH_HOST and SSH_PORT; ask the partner whether the server is up. SSH_FX_FAILURE is a status."


def hint() -> str:
    return PartnerUnreachable("No answer.", hint=HINT).hint


def test_hint_of_a_plain_lambda_names_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert hint() == HINT


def test_hint_of_the_construct_names_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "construct")
    assert hint() == (
        "Check SftpServer(host=...) and SftpServer(port=...); ask the partner whether the server is up. "
        "SSH_FX_FAILURE is a status."
    )


def test_hint_of_the_stock_app_names_keys_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "partner.toml")
    assert hint().startswith("Check ssh_host in partner.toml and ssh_port in partner.toml; ask")


def test_hint_of_the_template_names_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "template")
    assert hint().startswith("Check the parameter Host and the parameter Port; ask the partner")
    assert PartnerUnreachable("No.", hint="see SSH_CIPHERS").hint == "see SSH_CIPHERS"


def test_longer_variable_name_is_replaced_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "construct")
    error = PartnerUnreachable("No.", hint="add it to SSH_HOST_KEY, see SSH_CIPHERS")
    assert error.hint == "add it to SftpServer(host_keys=...), see SftpServer(ciphers=...)"


def test_every_variable_in_a_hint_has_an_argument() -> None:
    code = "\n".join(path.read_text() for path in Path(s3_to_sftp.__file__).parent.rglob("*.py"))
    # Sentences, not names alone: the latter are where a variable is read.
    texts = [text for text in re.findall(r'"([^"\n]*)"', code) if " " in text and "environment" not in text]
    named = {name for text in texts for name in re.findall(r"\bSSH_(?!FX_|DISCONNECT_)[A-Z_]*[A-Z]\b", text)}
    assert {"SSH_HOST", "SSH_DIR"} <= named
    assert named - _ARGUMENTS.keys() <= {
        "SSH_SECRET_ARN",
        "SSH_SOURCES",
        "SSH_RULES",
        "SSH_SIGNING_KEYS",
        "SSH_PASSWORD",
        "SSH_USERNAME",
    }
