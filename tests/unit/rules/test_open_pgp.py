"""The rule OpenPgp: what it refuses without showing it, and keys of the newer format."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pysequoia
import pytest

from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.open_pgp import MOST_RECIPIENTS, OpenPgp
from s3_to_sftp.rules.open_pgp_keys import UnusableKey, recipients_of, signing_key_of
from s3_to_sftp.rules.open_pgp_stream import OpenPgpStream

KEY = pysequoia.Tsk.generate("Partner <ops@partner.example>")
PUBLIC, PRIVATE = str(KEY.extract_certificate()), str(KEY)
SECRET_PART = PRIVATE.splitlines()[5]
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:signing-AbCdEf"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "got neither: OpenPgp.. alone changes nothing"),
        ({"encrypt_to": PUBLIC}, r"must be a list of armored public keys, got str: write \[key\]"),
        ({"encrypt_to": 7}, "must be a list of armored public keys, got int"),
        ({"encrypt_to": [7]}, "must be armored public keys, .* got int as the key number 1"),
        ({"encrypt_to": [PUBLIC, "0xDEADBEEF"]}, "begins with '0xDEADBEEF' as the key number 2"),
        ({"encrypt_to": [PUBLIC] * (MOST_RECIPIENTS + 1)}, "must be at most 16 keys, got 17"),
        ({"encrypt_to": [PUBLIC], "armor": 1}, "armor must be True or False, got 1"),
        ({"sign_with": "hunter2"}, "ARN of one .*, got a text of 7 characters"),
        ({"sign_with": "arn:aws:s3:::bucket"}, "got a text of 19 characters"),
        ({"sign_with": 7}, "got int"),
        ({"sign_with": PRIVATE}, "got the PRIVATE KEY itself.*revoke it"),
        ({"encrypt_to": [PUBLIC, PRIVATE]}, "must be PUBLIC keys .* got a PRIVATE KEY.*revoke it"),
        ({"encrypt_to": PRIVATE}, "must be PUBLIC keys .* got a PRIVATE KEY"),
        ({"encrypt_to": (PRIVATE, 7)}, "must be PUBLIC keys .* got a PRIVATE KEY"),
    ],
)
def test_wrong_value_is_refused_and_no_secret_shown(arguments: Any, complaint: str) -> None:
    with pytest.raises(InvalidRule, match=complaint) as raised:
        OpenPgp(**arguments)
    assert SECRET_PART not in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_transforms_are_rules_of_a_document() -> None:
    rules = DeliveryRules(
        transforms=[
            OpenPgp(encrypt_to=[PUBLIC], armor=True),
            OpenPgp(sign_with="key-1"),
            OpenPgp(sign_with=ARN),
        ]
    )
    document = RulesDocument(partner=rules, sources={})
    assert RulesDocument.from_text(document.as_text()) == document
    assert document.digest != RulesDocument(partner=DeliveryRules(), sources={}).digest
    assert hash(rules) == hash(DeliveryRules(transforms=tuple(rules.transforms)))


@pytest.mark.parametrize("wrong", [OpenPgp(encrypt_to=[PUBLIC]), ["pgp"], [OpenPgp]])
def test_what_is_no_list_of_transforms_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRule, match=r"transforms must be a list of transforms, as Gzip\(\) or OpenPgp"):
        DeliveryRules(transforms=wrong)


@pytest.mark.parametrize("profile", [pysequoia.Profile.RFC4880, pysequoia.Profile.RFC9580])
def test_end_of_a_key_is_found_in_both_formats(profile: Any) -> None:
    key = pysequoia.Tsk.generate("us", profile=profile, validity_seconds=3600)
    (recipient,) = recipients_of([str(key.extract_certificate())])
    signer = signing_key_of(str(key))
    assert recipient.fingerprint == signer.fingerprint == key.extract_certificate().fingerprint.upper()
    assert recipient.ends is not None
    assert signer.ends is not None
    assert abs(recipient.ends - signer.ends) < timedelta(seconds=2)
    later = recipient.ends + timedelta(seconds=2)
    with pytest.raises(UnusableKey, match="expired on"):
        recipients_of([recipient.text], now=later)
    with pytest.raises(UnusableKey, match="expired on"):
        signing_key_of(str(key), now=later)


def test_expired_key_is_refused_for_good_and_says_what_to_change() -> None:
    key = pysequoia.Tsk.generate("us", validity_seconds=3600).extract_certificate()
    with pytest.raises(RuleRefused) as raised:
        OpenPgpStream(OpenPgp(encrypt_to=[str(key)]), now=datetime.now(UTC) + timedelta(days=1))
    assert raised.value.rule == "encrypt_to"
    assert raised.value.value == key.fingerprint.upper()
    assert key.fingerprint.upper() in raised.value.reason
    assert f"expired on {key.expiration:%Y-%m-%d}" in raised.value.reason
    assert "encrypt_to=, and deploy" in raised.value.hint


def test_signing_key_is_given_exactly_where_the_rule_signs() -> None:
    for rule, key in (
        (OpenPgp(sign_with="key-1"), None),
        (OpenPgp(encrypt_to=[PUBLIC]), signing_key_of(PRIVATE)),
    ):
        with pytest.raises(ValueError, match="belongs to sign_with"):
            OpenPgpStream(rule, signing_key=key)


def test_representation_of_a_signing_key_shows_nothing_of_it() -> None:
    assert SECRET_PART in signing_key_of(PRIVATE).private_key
    assert SECRET_PART not in repr(signing_key_of(PRIVATE))


@pytest.mark.parametrize("wrap", [bytes, bytearray, lambda key: [key], lambda key: {"key": key}])
def test_private_key_in_another_type_is_never_shown(wrap: Any) -> None:
    key = b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nsecretsecretsecret\n"
    with pytest.raises(InvalidRule) as refused:
        OpenPgp(encrypt_to=[wrap(key)])
    assert "secretsecret" not in str(refused.value)
