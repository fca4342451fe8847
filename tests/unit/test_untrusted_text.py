"""Text of others is quoted without secrets and control characters, up to a maximum length."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp import untrusted_text
from s3_to_sftp.diagnosis.server_messages import KEPT_BYTES
from s3_to_sftp.errors import ConnectionLost, DeliveryError, RequestRefused
from s3_to_sftp.sftp.protocol import Answer
from s3_to_sftp.untrusted_text import MOST_REASON_BYTES, cut, decoded, never_show, quoted, without_secrets
from tests.support.ledger_environment import TABLE, LedgerEnvironment, create_table, ref
from tests.support.scripted_server import Asked, ScriptedServer, framed

PASSWORD = "Grüße-and-42 'quotes'"
ALLOWED = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


@pytest.fixture(autouse=True)
def only_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_text, "_secrets", {})


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le"])
def test_password_echoed_by_a_server_is_redacted(encoding: str) -> None:
    never_show(PASSWORD)
    raw = b"you sent " + PASSWORD.encode(encoding) + b", no \xfc"
    assert quoted(raw) == "you sent [secret], no ü"


def test_password_is_redacted_from_decoded_and_escaped_text() -> None:
    never_show(PASSWORD)
    for text in (PASSWORD, repr(PASSWORD), PASSWORD.encode().decode("latin-1")):
        assert "42" not in quoted(f"no {text}!")


@pytest.mark.parametrize(
    "looks",
    ["P&ss/wörd-7", "p&SS/wörd-7", "P&amp;ss/wörd-7", "P%26ss%2Fw%C3%B6rd-7", "UCZzcy93w7ZyZC03"],
    ids=["trimmed", "other case", "HTML", "URL", "base64"],
)
def test_password_with_a_line_break_is_redacted_in_every_encoding(looks: str) -> None:
    never_show("P&ss/wörd-7\n")
    assert looks not in quoted(f"no login with {looks} here")


@pytest.mark.parametrize("blank", ["\r\n", "\u00a0", "  ", "\t ", "\0", "\u200b \u200b", "+", "%20"])
@pytest.mark.parametrize("secret", ["correct horse battery", "correct  horse\nbattery"])
def test_password_with_blanks_is_redacted_whatever_blanks_are_echoed(blank: str, secret: str) -> None:
    never_show(secret)
    said = f"no {blank.join(secret.split())}!"
    assert quoted(said) == "no [secret]!"
    assert quoted(said.encode()) == "no [secret]!"


@pytest.mark.parametrize(
    "looks",
    ["a/b%20%22%C3%BC%22%2B7", "a%2Fb+%22%C3%BC%22%2B7", 'a/b \\"\\u00fc\\"+7', 'a\\/b \\"\\u00fc\\"+7'],
    ids=["URL with slashes", "form", "JSON", "JSON with slashes escaped"],
)
def test_password_is_redacted_as_it_looks_in_addresses_and_json(looks: str) -> None:
    never_show('a/b "ü"+7')
    assert quoted(f"no {looks} here") == "no [secret] here"


@pytest.mark.parametrize("cut_at", range(4, 20))
def test_part_of_a_password_at_the_end_of_a_text_that_was_cut_is_redacted(cut_at: int) -> None:
    never_show("correct horse battery")
    said = b" " * (KEPT_BYTES - 3 - cut_at) + b"no " + b"correct  horse battery"[:cut_at]
    assert len(said) == KEPT_BYTES
    assert quoted(said) == "no [secret]"
    assert quoted(said[1:]) != "no [secret]"  # nobody has cut it


def test_password_is_redacted_before_the_text_is_truncated() -> None:
    never_show(PASSWORD)
    for before in range(380, 401):
        assert "Gr" not in quoted("x" * before + PASSWORD)


def test_short_password_is_redacted_only_as_a_whole_word() -> None:
    never_show("an")
    assert quoted("no 'an' can enter") == "no '[secret]' can enter"


@pytest.mark.parametrize("kind", ["OPENSSH PRIVATE KEY", "PRIVATE KEY", "PGP PRIVATE KEY BLOCK"])
def test_private_key_is_redacted(kind: str) -> None:
    key = f"-----BEGIN {kind}-----\nb3BlbnNzaC1rZXk\n-----END {kind}-----"
    assert without_secrets(f"a {key} b") == "a [secret] b"
    assert quoted(key[:60]) == "[secret]"


def test_number_of_remembered_secrets_is_bounded() -> None:
    for number in range(100):
        never_show(f"password-{number}")
    never_show("", " ")
    assert quoted("password-99") == "[secret]"
    assert len(untrusted_text._secrets) <= 16


def test_control_characters_and_line_breaks_become_one_line() -> None:
    assert quoted("a\r\n\tb\0\0\0c\x9b1md\u202ee") == "a b\ufffdc\ufffd1md\ufffde"
    assert quoted("\0" * 120_000) == "\ufffd"
    assert quoted("\ud800x") == "\ufffdx"


def test_exception_without_a_message_is_quoted_by_its_name() -> None:
    assert quoted(EOFError()) == "EOFError"


def test_invalid_utf_8_is_decoded_as_latin_1() -> None:
    assert decoded("Kennwort ungültig".encode("latin-1")) == "Kennwort ungültig"
    assert decoded("Kennwort ungültig".encode()) == "Kennwort ungültig"


@given(raw=st.binary(max_size=600), most=st.integers(3, 50))
def test_quoted_bytes_fit_and_can_be_encoded(raw: bytes, most: int) -> None:
    shown = quoted(raw, most=most)
    assert len(shown) <= most
    assert shown.encode() == cut(shown, 1_000_000).encode()
    assert "\n" not in shown


@given(whole=st.text(st.characters(exclude_categories=[]), max_size=200), most=st.integers(-5, 300))
def test_cut_text_fits_and_is_a_prefix_of_the_whole(whole: str, most: int) -> None:
    short = cut(whole, most)
    assert len(short.encode()) <= max(most, 0)
    assert ALLOWED.fullmatch(short)
    clean = cut(whole, 10_000)
    assert short == clean or (short.endswith("."[:most]) and clean.startswith(short.rstrip(".")))


def test_exactly_the_characters_that_sqs_accepts_are_kept() -> None:
    taken = {*range(0x20, 0xD800), *range(0xE000, 0xFFFE), *range(0x10000, 0x10100), 0x9, 0xA, 0xD}
    assert {code for code in range(0x10100) if cut(chr(code), 4) == chr(code)} == taken


def test_reason_and_hint_of_an_error_are_bounded() -> None:
    error = ConnectionLost("x\0" * 500_000, hint="y" * 500_000)
    assert len(error.reason.encode()) <= MOST_REASON_BYTES
    assert len(error.hint.encode()) <= MOST_REASON_BYTES
    assert len(str(error)) <= 2 * MOST_REASON_BYTES + 1
    assert "\0" not in DeliveryError("a\0b", hint="").reason


def test_status_message_of_120000_nuls_is_recorded_as_a_bounded_reason(dynamodb: Any) -> None:
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
