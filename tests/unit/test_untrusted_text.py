"""What others said is quoted without secrets and control characters, and never longer than stated."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp import untrusted_text
from s3_to_sftp.errors import ConnectionLost, DeliveryError, RequestRefused
from s3_to_sftp.sftp.protocol import Answer
from s3_to_sftp.untrusted_text import MOST_REASON_BYTES, cut, decoded, never_show, quoted, without_secrets
from tests.support.ledger_environment import TABLE, LedgerEnvironment, create_table, ref
from tests.support.scripted_server import Asked, ScriptedServer, framed

PASSWORD = "Grüße-and-42 'quotes'"


@pytest.fixture(autouse=True)
def only_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_text, "_secrets", {})


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le"])
def test_password_that_a_server_repeats_is_not_quoted(encoding: str) -> None:
    never_show(PASSWORD)
    raw = b"you sent " + PASSWORD.encode(encoding) + b", no \xfc"
    assert quoted(raw) == "you sent [secret], no ü"


def test_password_is_not_quoted_from_text_that_others_have_decoded_or_escaped() -> None:
    never_show(PASSWORD)
    for text in (PASSWORD, repr(PASSWORD), PASSWORD.encode().decode("latin-1")):
        assert "42" not in quoted(f"no {text}!")


@pytest.mark.parametrize(
    "looks",
    ["P&ss/wörd-7", "p&SS/wörd-7", "P&amp;ss/wörd-7", "P%26ss%2Fw%C3%B6rd-7", "UCZzcy93w7ZyZC03"],
    ids=["trimmed", "other case", "HTML", "URL", "base64"],
)
def test_password_with_a_line_break_is_not_quoted_however_it_is_repeated(looks: str) -> None:
    never_show("P&ss/wörd-7\n")
    assert looks not in quoted(f"no login with {looks} here")


def test_password_is_taken_out_before_the_text_is_cut() -> None:
    never_show(PASSWORD)
    for before in range(380, 401):
        assert "Gr" not in quoted("x" * before + PASSWORD)


def test_short_password_is_taken_out_as_a_word_and_leaves_other_words_alone() -> None:
    never_show("an")
    assert quoted("no 'an' can enter") == "no '[secret]' can enter"


def test_private_key_is_never_quoted_whoever_said_it() -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----"
    assert without_secrets(f"a {key} b") == "a [secret] b"
    assert quoted(key[:60]) == "[secret]"


def test_secrets_of_many_rotations_do_not_pile_up() -> None:
    for number in range(100):
        never_show(f"password-{number}")
    never_show("", " ")
    assert quoted("password-99") == "[secret]"
    assert len(untrusted_text._secrets) <= 16


def test_controls_and_line_breaks_become_one_line() -> None:
    assert quoted("a\r\n\tb\0\0\0c\x9b1md\u202ee") == "a b\ufffdc\ufffd1md\ufffde"
    assert quoted("\0" * 120_000) == "\ufffd"
    assert quoted("\ud800x") == "\ufffdx"


def test_exception_without_words_is_quoted_by_its_name() -> None:
    assert quoted(EOFError()) == "EOFError"


def test_latin_1_is_read_where_it_is_no_utf_8() -> None:
    assert decoded("Kennwort ungültig".encode("latin-1")) == "Kennwort ungültig"
    assert decoded("Kennwort ungültig".encode()) == "Kennwort ungültig"


@given(raw=st.binary(max_size=600), most=st.integers(3, 50))
def test_quoted_bytes_fit_and_can_be_written_anywhere(raw: bytes, most: int) -> None:
    shown = quoted(raw, most=most)
    assert len(shown) <= most
    assert shown.encode() == cut(shown, 1_000_000).encode()
    assert "\n" not in shown


@given(text=st.text(), most=st.integers(-1, 40))
def test_cut_text_has_at_most_so_many_bytes(text: str, most: int) -> None:
    assert len(cut(text, most).encode()) <= max(most, 0)


def test_every_error_has_a_reason_that_the_ledger_can_take() -> None:
    error = ConnectionLost("x\0" * 500_000, hint="y" * 500_000)
    assert len(error.reason.encode()) <= MOST_REASON_BYTES
    assert len(error.hint.encode()) <= MOST_REASON_BYTES
    assert len(str(error)) <= 2 * MOST_REASON_BYTES + 1
    assert "\0" not in DeliveryError("a\0b", hint="").reason


def test_status_text_of_120000_nuls_is_recorded_as_the_reason_of_a_failure(dynamodb: Any) -> None:
    def says_nuls(asked: Asked) -> bytes:
        words = struct.pack(">I", 120_000) + bytes(120_000)
        return framed(Answer.STATUS, struct.pack(">II", asked.request_id, 4) + words)

    async def removing() -> None:
        await session.remove("a")

    session = ScriptedServer(says_nuls).session()
    with pytest.raises(RequestRefused) as raised:
        session.run_one(removing())
    create_table(dynamodb)
    env, version = LedgerEnvironment(dynamodb), ref()
    ledger = env.function()
    ledger.release(env.lease(version, ledger), reason=raised.value.reason)
    ledger.record_outcome(version, state="FAILED", reason=raised.value.reason, hint=raised.value.hint)
    assert env.state(version) == "FAILED"
    # An item of DynamoDB has 400 KB; the emulator does not mind.
    assert len(repr(env.item(version))) < 16 * 1024
    dynamodb.delete_table(TableName=TABLE)
