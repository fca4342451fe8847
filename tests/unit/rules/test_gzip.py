"""gzip on the way: a member that other programs read, the same bytes each time."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.gzip_transform import Gzip, GzipTime
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.transformed_object import TransformedObject

ITEM = TransformedObject(name="pay.csv", event_time=1_795_944_600)


def compressed(rule: Gzip, pieces: list[bytes], item: TransformedObject = ITEM) -> bytes:
    stream = rule.stream(item, str)
    sent = b"".join([*map(stream.feed, pieces), stream.finish()])
    stream.close()
    return sent


@given(st.lists(st.binary(max_size=2000), max_size=5), st.integers(1, 9))
def test_another_implementation_reads_it(pieces: list[bytes], level: int) -> None:
    rule = Gzip(level=level, file_name="{name}", time=GzipTime.EVENT)
    assert gzip.decompress(compressed(rule, pieces)) == b"".join(pieces)


def test_the_same_bytes_give_the_same_file() -> None:
    later = TransformedObject(name="other.csv", event_time=5)
    assert compressed(Gzip(), [b"data"]) == compressed(Gzip(), [b"da", b"", b"ta"], later)


def test_header_has_name_and_time_as_chosen() -> None:
    sent = compressed(Gzip(file_name="{stem}.txt", time=GzipTime.EVENT), [b"data"])
    with gzip.GzipFile(fileobj=io.BytesIO(sent)) as file:
        file.read()
        assert file.mtime == ITEM.event_time
    assert sent[10:18] == b"pay.txt\0"


def test_header_has_neither_by_default() -> None:
    assert struct.unpack("<BBBBIBB", compressed(Gzip(), [b"data"])[:10]) == (0x1F, 0x8B, 8, 0, 0, 0, 255)


def test_gunzip_restores_name_and_time(tmp_path: Path) -> None:
    rule = Gzip(file_name="{name}", time=GzipTime.EVENT)
    (tmp_path / "other.gz").write_bytes(compressed(rule, [b"data"]))
    subprocess.run(["gunzip", "-N", "other.gz"], check=True, cwd=tmp_path)
    (restored,) = tmp_path.iterdir()
    assert (restored.name, restored.read_bytes()) == ("pay.csv", b"data")
    assert int(restored.stat().st_mtime) == ITEM.event_time


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"level": 0}, "level must be 1-9, got 0"),
        ({"level": True}, "level must be a whole number from 1 to 9, got True"),
        ({"file_name": "{key}"}, "file_name has the unknown field {key}, got '{key}'"),
        ({"file_name": "\N{EURO SIGN}.csv"}, "allows the characters of Latin-1, and '\N{EURO SIGN}' is none"),
        ({"time": "event"}, "time must be GzipTime.NONE or GzipTime.EVENT, got 'event'"),
    ],
)
def test_wrong_value_is_refused_where_it_is_written(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        Gzip(**given)  # type: ignore[arg-type]
    assert message in str(refused.value)


@pytest.mark.parametrize("transforms", ["gzip", ["gzip"], Gzip(), [Gzip]])
def test_transforms_are_a_list_of_transforms(transforms: object) -> None:
    with pytest.raises(InvalidRule, match="transforms must be a list of transforms"):
        DeliveryRules(transforms=transforms)  # type: ignore[arg-type]


def test_name_that_the_header_cannot_hold_is_refused_with_the_name() -> None:
    item = TransformedObject(name="\N{EURO SIGN}.csv", event_time=0)
    with pytest.raises(RuleRefused, match="which a gzip header cannot hold") as refused:
        Gzip(file_name="{name}").stream(item, str)
    assert (refused.value.rule, refused.value.value) == ("transforms", "\N{EURO SIGN}.csv")


def test_document_holds_it() -> None:
    rules = DeliveryRules(transforms=[Gzip(level=9, file_name="{name}", time=GzipTime.EVENT)])
    document = RulesDocument(partner=rules, sources={})
    assert RulesDocument.from_text(document.as_text()) == document
