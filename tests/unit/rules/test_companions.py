"""Files beside the data: names, contents, order; checksums as the usual tools check them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.companion import ENCODINGS, Companion
from s3_to_sftp.rules.delivery_rules import Case, DeliveryRules
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.sequence import Sequence
from tests.unit.rules.objects import FACTS, KEYS, planned

DATA = b"1;2\n"
FACTS_OF_DATA = PlanFacts(
    size=len(DATA),
    digests={"sha256": hashlib.sha256(DATA).hexdigest(), "md5": hashlib.md5(DATA).hexdigest()},
    metadata={"batch": "B7"},
    tags={"partner": "bank"},
)


def put(plan: DeliveryPlan, directory: Path) -> None:
    """Write what the plan delivers."""
    names = [path.rpartition("/")[2] for path in plan.paths]
    contents = [DATA, *(companion.content for companion in plan.companions)]
    for name, content in zip(names, contents, strict=True):
        assert content is not None
        (directory / name).write_bytes(content)


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
@pytest.mark.parametrize(
    "name",
    ["a.csv", "a b.csv", " a", "*a", "a\\b", "\\a", "ü🚀.csv", "-rf", "a'\"$(x)`", "MD5 (a) = b", "#a"],
)
def test_checksum_is_accepted_by_the_usual_tool(algorithm: str, name: str, tmp_path: Path) -> None:
    tool = shutil.which(f"{algorithm}sum")
    if tool is None:
        pytest.skip(f"{algorithm}sum is not installed")
    rules = DeliveryRules(companions=[Companion.checksum(algorithm)])
    plan = planned(rules, name, FACTS_OF_DATA)
    put(plan, tmp_path)
    listed = f"./{name}.{algorithm}"
    command = [tool, "--check", "--strict", "--warn", listed]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    (tmp_path / name).write_bytes(b"other")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_checksum_line_is_that_of_the_tool() -> None:
    plan = planned(DeliveryRules(companions=[Companion.checksum("sha256")]), "in/a.csv", FACTS_OF_DATA)
    assert plan.paths == ("/inbox/in/a.csv", "/inbox/in/a.csv.sha256")
    assert plan.companions[0].content == f"{FACTS_OF_DATA.digests['sha256']}  a.csv\n".encode()
    assert plan.digests == ("sha256",)


def test_descriptor_has_names_bytes_checksums_and_count() -> None:
    content = "{name};{stem};{ext};{path};{bytes};{count};{sha256};{md5};"
    content += "{bucket};{key};{metadata[batch]};{tag[partner]}\r\n"
    rules = DeliveryRules(
        name="{folder}X_{stem}{ext}",
        case=Case.UPPER,
        companions=[Companion.document("{stem}.xml", content, before=True)],
    )
    plan = planned(rules, "in/a.csv", FACTS_OF_DATA)
    sha, md5 = FACTS_OF_DATA.digests["sha256"], FACTS_OF_DATA.digests["md5"]
    expected = f"X_A.CSV;X_A;.CSV;/inbox/in/X_A.CSV;4;1;{sha};{md5};bucket;in/a.csv;B7;bank\r\n"
    assert plan.companions[0].content == expected.encode()
    assert plan.companions[0].path == "/inbox/in/X_A.xml"
    assert plan.digests == ("md5", "sha256")
    assert rules.metadata_used == ("batch",)
    assert rules.tags_used == ("partner",)


def test_content_waits_only_for_what_it_uses() -> None:
    rules = DeliveryRules(
        companions=[
            Companion.marker("{name}.1"),
            Companion.document("{name}.2", "{bytes}"),
            Companion.document("{name}.3", "{md5}"),
            Companion.document("{name}.4", "{name}"),
        ]
    )
    assert [each.content for each in planned(rules, "a").companions] == [b"", None, None, b"a"]
    assert [each.content for each in planned(rules, "a", PlanFacts(size=0)).companions] == [
        b"",
        b"0",
        None,
        b"a",
    ]


def test_those_before_come_first_and_each_group_keeps_its_order() -> None:
    marks = [("1", True), ("2", False), ("3", True), ("4", False)]
    rules = DeliveryRules(
        companions=[Companion.marker(f"{{name}}.{end}", before=before) for end, before in marks]
    )
    plan = planned(rules, "a")
    assert [each.path[-1] for each in plan.companions] == ["1", "3", "2", "4"]
    assert [each.id for each in plan.companions] == [f"{{name}}.{end}" for end in "1324"]
    assert [each.path[-1] for each in plan.companions_before] == ["1", "3"]
    assert [each.path[-1] for each in plan.companions_after] == ["2", "4"]


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # many keys are refused
@given(KEYS, FACTS, st.sampled_from(ENCODINGS))
def test_content_is_in_its_encoding_or_the_object_is_refused(
    key: str, facts: PlanFacts, encoding: str
) -> None:
    rules = DeliveryRules(companions=[Companion.document("{stem}.ctl", "{key}|{tag[x]}", encoding=encoding)])
    try:
        plan = planned(rules, key, facts)
    except RuleRefused:
        reject()
    content = plan.companions[0].content
    assert content is not None
    assert content.decode(encoding) == f"{key}|{facts.tags['x']}"


def test_what_the_encoding_does_not_have_is_refused_where_it_is_seen() -> None:
    with pytest.raises(
        InvalidRule, match="encoding must be one that can write the content, got 'ascii': it has no 'ü'"
    ):
        Companion.document("{name}.txt", "über {name}", encoding="ascii")
    rules = DeliveryRules(companions=[Companion.document("{name}.txt", "{name}", encoding="latin-1")])
    with pytest.raises(RuleRefused, match="cannot be written in latin-1, which has no '🚀'") as caught:
        planned(rules, "🚀")
    assert caught.value.rule == "companions"


def test_values_are_written_as_they_are() -> None:
    rules = DeliveryRules(companions=[Companion.document("{stem}.xml", "<f>{name}</f>;{{name}}")])
    plan = planned(rules, "a&<b>;{name}.csv")
    assert plan.companions[0].content == b"<f>a&<b>;{name}.csv</f>;{name}"


def test_missing_metadata_is_named() -> None:
    rules = DeliveryRules(companions=[Companion.document("{name}.x", "{metadata[batch]}")])
    with pytest.raises(
        RuleRefused, match=r"needs \{metadata\[batch\]\}, which the object of '/inbox/a' does not"
    ):
        planned(rules, "a")


def test_content_is_bounded() -> None:
    rules = DeliveryRules(companions=[Companion.document("{stem}.x", "{metadata[x]}" * 1000)])
    assert planned(rules, "a", PlanFacts(metadata={"x": "a" * 262})).companions[0].content
    with pytest.raises(RuleRefused, match="has 263000 bytes, and at most 262144 are allowed"):
        planned(rules, "a", PlanFacts(metadata={"x": "a" * 263}))


@pytest.mark.parametrize("key", ["x.done", "x.DONE", "X.Done"])
def test_companion_never_takes_the_name_of_the_data(key: str) -> None:
    rules = DeliveryRules(companions=[Companion.marker("{stem}.done")])
    with pytest.raises(RuleRefused, match=r"two files of .* the name") as caught:
        planned(rules, key)
    assert caught.value.rule == "companions"


@pytest.mark.parametrize("ending", ["x", "x.x", "ext", "1", "csv"])
def test_companion_may_have_any_other_ending(ending: str) -> None:
    for name in ("{key}", "{stem}.dat", "{stem}_{sequence}{ext}"):
        sequence = Sequence() if "sequence" in name else None
        rules = DeliveryRules(
            name=name, sequence=sequence, companions=[Companion.marker(f"{{stem}}.{ending}")]
        )
        assert planned(rules, "a.b").companions[0].path.endswith(f".{ending}")


def test_two_companions_never_share_a_name() -> None:
    rules = DeliveryRules(companions=[Companion.marker("{stem}.csv.ok"), Companion.marker("{name}.ok")])
    assert planned(rules, "a.txt").paths == ("/inbox/a.txt", "/inbox/a.csv.ok", "/inbox/a.txt.ok")
    with pytest.raises(RuleRefused, match=r"two files of 'a\.csv' the name '/inbox/a\.csv\.ok'"):
        planned(rules, "a.csv")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"temporary": "{name}.partial"}, "a.partial"),
        ({"temporary": "{name}.partial"}, "a.csv.PARTIAL"),
        ({"temporary": "tmp_{name}"}, "tmp_a.csv"),
        (
            {"temporary": "{stem}.tmp", "name": "{stem}.csv", "companions": [Companion.marker("{name}.ok")]},
            "a.tmp",
        ),
    ],
)
def test_final_name_that_an_upload_could_use_is_refused(settings: dict[str, object], key: str) -> None:
    rules = DeliveryRules(**settings)  # type: ignore[arg-type]
    if "name" in settings:
        assert planned(rules, key).file.path == "/inbox/a.csv"
        return
    with pytest.raises(RuleRefused, match="an upload could replace it") as caught:
        planned(rules, key)
    assert caught.value.rule == "temporary"


def test_temporary_name_in_another_directory_or_with_a_token_leaves_final_names_free() -> None:
    assert (
        planned(DeliveryRules(temporary="/staging/{token}_{name}"), "a.csv").file.temporary
        == "/staging/{token}_a.csv"
    )
    assert (
        planned(DeliveryRules(temporary="staging/{token}_{name}"), "a.csv").file.temporary
        == "staging/{token}_a.csv"
    )
    token = planned(DeliveryRules(temporary="{name}.{token}"), "a.b.c")
    assert token.file.temporary == "/inbox/a.b.c.{token}"


def test_temporary_name_has_room_for_names_of_ours() -> None:
    rules = DeliveryRules(temporary="{name}.partial")
    assert planned(rules, "a" * 211).file.temporary
    with pytest.raises(RuleRefused, match="longer than 219 bytes") as caught:
        planned(rules, "a" * 212)
    assert caught.value.rule == "temporary"


def test_new_names_have_random_temporary_ones() -> None:
    rules = DeliveryRules(if_exists=IfExists.NEW_NAME, temporary="{name}.{token}")
    assert planned(rules, "a", PlanFacts(name="a-2")).file.temporary == "/inbox/a-2.{token}"


def test_companions_have_temporary_names_as_the_data_has() -> None:
    rules = DeliveryRules(temporary="{name}.partial", companions=[Companion.marker("{name}.done")])
    assert planned(rules, "a").companions[0].temporary == "/inbox/a.done.partial"
    direct = DeliveryRules(temporary="{name}", companions=[Companion.marker("{name}.done")])
    assert all(file.is_direct for file in (planned(direct, "a").file, *planned(direct, "a").companions))
