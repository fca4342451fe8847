"""Objects that are encrypted and signed on their way: what the partner can open, what receipts say."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pysequoia
import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import ConfigurationError, ConnectionLost, RequestRefused
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.open_pgp import OpenPgp
from s3_to_sftp.rules.open_pgp_keys import signing_key_of
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.sftp.protocol import Request, Status
from tests.support.delivery_environment import is_rename
from tests.support.rules_environment import RulesEnvironment
from tests.support.scripted_server import Asked, status

BANK, OURS = pysequoia.Tsk.generate("bank"), pysequoia.Tsk.generate("we")
BANKS_KEY = str(BANK.extract_certificate())
DATA = os.urandom(700_000)
DOCS = Path(__file__).parents[3] / "docs" / "reference"
RULES = DeliveryRules(
    name="{key}_{sequence:04d}.pgp",
    sequence=Sequence(),
    companions=[Companion.checksum("sha256")],
    transforms=[Gzip(), OpenPgp(encrypt_to=[BANKS_KEY], sign_with="key-1")],
)


def environment(ledger_table: Any, rules: DeliveryRules = RULES) -> RulesEnvironment:
    env = RulesEnvironment(ledger_table, rules, {"a": DATA, "b": b""})
    env.signing_key = lambda name: {"key-1": signing_key_of(str(OURS))}[name]
    return env


def opened(sent: bytes) -> bytes:
    """What the bank reads; it accepts our signature only."""
    read = pysequoia.decrypt(sent, BANK.decryptor(), lambda _ids: [OURS.extract_certificate()])
    assert [each.certificate.upper() for each in read.valid_sigs] == [
        OURS.extract_certificate().fingerprint.upper()
    ]
    return bytes(read.bytes)


def sent(env: RulesEnvironment, name: str) -> bytes:
    return bytes(env.env.files[f"inbox/{name}"])


def test_partner_opens_it_and_knows_that_it_is_ours(ledger_table: Any) -> None:
    env = environment(ledger_table)
    receipt = env.deliver(env.ref("a"))
    there = sent(env, "a_0001.pgp")
    assert gzip.decompress(opened(there)) == DATA
    digest = hashlib.sha256(there).hexdigest()
    assert sent(env, "a_0001.pgp.sha256") == f"{digest}  a_0001.pgp\n".encode()
    assert receipt.size == len(there)
    assert receipt.details["sent_sha256"] == digest
    assert receipt.details["signed_by"] == OURS.extract_certificate().fingerprint.upper()
    assert receipt.details["transforms"] == [
        "compress with gzip, level 6",
        f"encrypt to the OpenPGP key {BANK.extract_certificate().fingerprint.upper()}, "
        "sign with our OpenPGP key",
    ]


def test_receipt_has_the_promised_and_documented_fields(ledger_table: Any) -> None:
    """Everything that rules can add is in this one."""
    env = environment(ledger_table)
    receipt = env.deliver(env.ref("a"))
    fields = {*receipt.as_item(request_id="r"), "sha256"}
    lines = (DOCS / "public-api.txt").read_text().splitlines()
    assert fields == {line.removeprefix("receipt ") for line in lines if line.startswith("receipt ")}
    page = (DOCS / "ledger.md").read_text().partition("\nA receipt holds ")[2].partition("\n## ")[0]
    assert fields - set(re.findall("`(\\w+)`", page)) == set()
    schema = json.loads((DOCS / "cli-json/receipts.schema.json").read_text())["properties"]
    for each in (schema["receipt"]["oneOf"][1], schema["earlier_receipts"]["items"]):
        assert fields - each["properties"].keys() == set()


def test_empty_object_is_a_message_too(ledger_table: Any) -> None:
    env = environment(ledger_table, dataclasses.replace(RULES, transforms=RULES.transforms[1:]))
    env.deliver(env.ref("b"))
    assert opened(sent(env, "b_0001.pgp")) == b""


def test_file_that_waits_for_its_name_is_not_encrypted_again(ledger_table: Any) -> None:
    env = environment(ledger_table)
    env.env.scripts[0] = env.cut_at_rename(done=False)
    with pytest.raises(ConnectionLost):
        env.deliver(env.ref("a"), name="one")
    env.env.scripts.clear()
    written = env.written
    receipt = env.deliver(env.ref("a"), name="two")
    assert receipt.details["sent_sha256"] == hashlib.sha256(sent(env, "a_0001.pgp")).hexdigest()
    assert receipt.details["signed_by"] == OURS.extract_certificate().fingerprint.upper()
    assert env.written - written == len(sent(env, "a_0001.pgp.sha256"))


def test_file_for_another_key_is_made_again(ledger_table: Any) -> None:
    env = environment(ledger_table)
    env.env.scripts[0] = env.cut_at_rename(done=False)
    with pytest.raises(ConnectionLost):
        env.deliver(env.ref("a"), name="one")
    env.env.scripts.clear()
    other = pysequoia.Tsk.generate("bank, next year")
    new = OpenPgp(encrypt_to=[str(other.extract_certificate())])
    env.rules = dataclasses.replace(RULES, transforms=[new])
    env.deliver(env.ref("a"), name="two")
    read = pysequoia.decrypt(sent(env, "a_0001.pgp"), other.decryptor())
    assert bytes(read.bytes) == DATA
    assert env.partial == []


@pytest.mark.parametrize("if_exists", [IfExists.REPLACE, IfExists.REFUSE])
def test_descriptor_before_the_data_fits_a_file_that_is_encrypted_again(
    ledger_table: Any, if_exists: IfExists
) -> None:
    """Each message has a key of its own: the same object gives other bytes, and another checksum."""
    descriptor = Companion.document("{name}.ctl", "{sha256}", before=True)
    env = environment(ledger_table, dataclasses.replace(RULES, companions=[descriptor], if_exists=if_exists))

    def refuses_data(asked: Asked) -> bytes | None:
        is_data = (is_rename(asked) or asked.kind == Request.RENAME) and asked.texts[-1].endswith(".pgp")
        return status(asked, Status.PERMISSION_DENIED) if is_data else None

    env.env.scripts[0] = refuses_data
    with pytest.raises(RequestRefused):
        env.deliver(env.ref("a"), name="one")
    env.env.scripts.clear()
    first = sent(env, "a_0001.pgp.ctl")
    for name in env.partial:
        del env.env.files[name]  # a partner who tidies up
    env.deliver(env.ref("a"), name="two")
    second = sent(env, "a_0001.pgp.ctl")
    assert second == hashlib.sha256(sent(env, "a_0001.pgp")).hexdigest().encode() != first


def test_function_without_keys_says_what_is_missing(ledger_table: Any) -> None:
    env = environment(ledger_table)
    env.signing_key = None
    with pytest.raises(ConfigurationError, match="SSH_SIGNING_KEYS is not set"):
        env.deliver(env.ref("a"))
    assert env.env.files == {}
