"""Objects whose bytes are changed on their way: one pass, and receipts that say what was sent."""

from __future__ import annotations

import gzip
import hashlib
import os
from typing import Any

import pytest

from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.errors import ConnectionLost, ObjectCorrupt, RuleRefused
from s3_to_sftp.outcomes import DeadlineTooClose, SequenceHeld
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import FINAL_NAME, DeliveryRules
from s3_to_sftp.rules.gzip_transform import Gzip, GzipTime
from s3_to_sftp.rules.sequence import Sequence
from tests.support.delivery_environment import silent_after
from tests.support.rules_environment import EVENT_TIME, RulesEnvironment

SMALL = b"one,two\n" * 20
LARGE = os.urandom(3 * 1024 * 1024) + bytes(3 * 1024 * 1024)
RULES = DeliveryRules(
    name="{key}.gz",
    transforms=[Gzip()],
    companions=[Companion.checksum("md5"), Companion.document("{name}.ctl", "{bytes};{sha256}")],
)


def sent(environment: RulesEnvironment, name: str = "a.gz") -> bytes:
    return bytes(environment.env.files[f"inbox/{name}"])


def receipt_of(environment: RulesEnvironment, key: str = "a") -> Any:
    return environment.item(environment.ref(key))["receipt"]["M"]


@pytest.mark.parametrize("data", [b"", b"x", SMALL, LARGE], ids=["empty", "1 byte", "small", "large"])
def test_partner_gets_the_compressed_bytes_and_their_checksums(ledger_table: Any, data: bytes) -> None:
    environment = RulesEnvironment(ledger_table, RULES, {"a": data})
    environment.deliver(environment.ref())
    there = sent(environment)
    assert gzip.decompress(there) == data
    sha256 = hashlib.sha256(there).hexdigest()
    md5 = hashlib.md5(there, usedforsecurity=False).hexdigest()
    assert sent(environment, "a.gz.md5") == f"{md5}  a.gz\n".encode()
    assert sent(environment, "a.gz.ctl") == f"{len(there)};{sha256}".encode()
    receipt = receipt_of(environment)
    assert receipt["bytes"] == {"N": str(len(there))}
    assert receipt["source_bytes"] == {"N": str(len(data))}
    assert receipt["sent_sha256"] == {"S": sha256}
    assert receipt["transforms"] == {"L": [{"S": "compress with gzip, level 6"}]}
    assert environment.partial == []


def test_receipt_has_the_checksum_of_the_object_that_s3_has(ledger_table: Any) -> None:
    plain = RulesEnvironment(ledger_table, DeliveryRules(), {"a": LARGE})
    plain.deliver(plain.ref())
    packed = RulesEnvironment(ledger_table, DeliveryRules(transforms=[Gzip()]), {"b": LARGE})
    packed.deliver(packed.ref("b"))
    one, other = receipt_of(plain), receipt_of(packed, "b")
    assert one["checksum"] == other["checksum"]
    assert one["bytes"] != other["bytes"]


def test_time_of_the_object_is_in_the_header(ledger_table: Any) -> None:
    rules = DeliveryRules(name="{key}.gz", transforms=[Gzip(time=GzipTime.EVENT)])
    environment = RulesEnvironment(ledger_table, rules, {"a": SMALL})
    environment.deliver(environment.ref())
    assert int.from_bytes(sent(environment)[4:8], "little") == EVENT_TIME


def test_two_transforms_are_applied_in_order(ledger_table: Any) -> None:
    rules = DeliveryRules(name="{key}.gz", transforms=[Gzip(), Gzip(level=1, file_name="{name}.gz")])
    environment = RulesEnvironment(ledger_table, rules, {"a": LARGE})
    environment.deliver(environment.ref())
    assert b"a.gz\0" in sent(environment)[:20]
    assert gzip.decompress(gzip.decompress(sent(environment))) == LARGE


def test_file_under_its_final_name_is_transformed_too(ledger_table: Any) -> None:
    rules = DeliveryRules(name="{key}.gz", transforms=[Gzip()], temporary=FINAL_NAME)
    environment = RulesEnvironment(ledger_table, rules, {"a": LARGE})
    environment.deliver(environment.ref())
    assert gzip.decompress(sent(environment)) == LARGE


def test_lost_connection_costs_another_pass(ledger_table: Any) -> None:
    environment = RulesEnvironment(ledger_table, RULES, {"a": LARGE})
    environment.env.scripts[0] = silent_after(20)
    with pytest.raises(ConnectionLost):
        environment.deliver(environment.ref(), name="one")
    assert environment.whole == {}
    environment.env.scripts.clear()
    environment.deliver(environment.ref(), name="two")
    assert gzip.decompress(sent(environment)) == LARGE
    assert environment.partial == []


def test_bytes_that_s3_did_not_store_get_no_final_name(ledger_table: Any) -> None:
    environment = RulesEnvironment(ledger_table, RULES, {"a": LARGE})
    environment.s3.checksums["a"] = {"ChecksumType": "FULL_OBJECT", "ChecksumCRC32": "AAAAAA=="}
    with pytest.raises(ObjectCorrupt):
        environment.deliver(environment.ref())
    assert environment.whole == {}


def test_object_that_no_invocation_can_do_is_refused_before_a_byte_is_sent(ledger_table: Any) -> None:
    environment = RulesEnvironment(ledger_table, RULES, {"a": LARGE})
    with pytest.raises(RuleRefused, match=r"can do about 5002500 bytes \(1 s") as refused:
        environment.deliver(environment.ref(), deadline=environment.deadline(left=0.667))
    assert refused.value.rule == "transforms"
    assert environment.written == 0


def test_number_is_taken_when_the_bytes_are_there_and_kept(ledger_table: Any) -> None:
    rules = DeliveryRules(name="{key}-{sequence}.gz", transforms=[Gzip()], sequence=Sequence())
    environment = RulesEnvironment(ledger_table, rules, {"a": SMALL, "b": SMALL})
    environment.env.scripts[0] = environment.cut_at_rename(done=False)
    with pytest.raises(ConnectionLost):
        environment.deliver(environment.ref("a"), name="one")
    environment.env.scripts.clear()
    with pytest.raises(SequenceHeld):
        environment.deliver(environment.ref("b"), name="two")
    written = environment.written
    environment.deliver(environment.ref("a"), name="three")
    assert environment.written == written  # what was staged is published
    environment.deliver(environment.ref("b"), name="four")
    assert environment.written == written
    assert sorted(environment.whole) == ["inbox/a-1.gz", "inbox/b-2.gz"]
    receipt = receipt_of(environment, "b")
    assert receipt["source_bytes"] == {"N": str(len(SMALL))}


def test_file_that_was_made_by_other_rules_is_made_again(ledger_table: Any) -> None:
    environment = RulesEnvironment(ledger_table, RULES, {"a": SMALL})
    environment.env.scripts[0] = environment.cut_at_rename(done=False)
    with pytest.raises(ConnectionLost):
        environment.deliver(environment.ref(), name="one")
    environment.env.scripts.clear()
    environment.rules = DeliveryRules(name="{key}.gz", transforms=[Gzip(file_name="{name}")])
    environment.deliver(environment.ref(), name="two")
    assert sent(environment)[10:12] == b"a\0"
    assert gzip.decompress(sent(environment)) == SMALL
    assert environment.partial == []


def test_invocation_with_too_little_time_left_puts_it_off(ledger_table: Any) -> None:
    environment = RulesEnvironment(ledger_table, RULES, {"a": LARGE})
    left = iter([100.0])
    deadline = Deadline(lambda: next(left, 25.3), clock=environment.ledger.clock)
    with pytest.raises(DeadlineTooClose, match="one pass"):
        environment.deliver(environment.ref(), deadline=deadline)
    assert environment.written == 0


def test_object_that_takes_a_whole_invocation_is_refused_with_the_size_that_it_can_do(
    ledger_table: Any,
) -> None:
    environment = RulesEnvironment(ledger_table, RULES, {"a": LARGE})
    with pytest.raises(RuleRefused, match=r"can do \d+ bytes, which is what \d+ s took"):
        environment.deliver(environment.ref(), deadline=environment.deadline(budget=1024 * 1024))
    assert environment.written >= 1024 * 1024
    assert environment.env.files == {}


def test_object_that_is_cut_off_by_an_end_that_was_near_is_put_off(ledger_table: Any) -> None:
    environment = RulesEnvironment(ledger_table, RULES, {"a": LARGE})
    clock = environment.ledger.clock
    left = iter([900.0])
    deadline = Deadline(lambda: next(left, 0 if environment.written > 1024 * 1024 else 200), clock=clock)
    with pytest.raises(DeadlineTooClose, match="one pass"):
        environment.deliver(environment.ref(), deadline=deadline)
    assert environment.env.files == {}
