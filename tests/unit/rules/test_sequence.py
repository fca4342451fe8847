"""The number of the sequence: where it stands, until when it is not known, and when it begins again."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import Case, DeliveryRules
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.sequence import Reset, Sequence
from tests.unit.rules.objects import planned

KEY = "in/a.csv"


def rules_of(name: str, **others: object) -> DeliveryRules:
    return DeliveryRules(name=name, **{"sequence": Sequence(), **others})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "day", "year"),
    [
        ((2024, 12, 31, 22, 59, 59), "2024-12-31", "2024"),
        ((2024, 12, 31, 23, 0, 0), "2025-01-01", "2025"),
        ((2024, 3, 30, 23, 0, 0), "2024-03-31", "2024"),
        ((2024, 3, 31, 21, 59, 59), "2024-03-31", "2024"),
        ((2024, 3, 31, 22, 0, 0), "2024-04-01", "2024"),
        ((2024, 10, 26, 22, 0, 0), "2024-10-27", "2024"),
        ((2024, 10, 27, 22, 59, 59), "2024-10-27", "2024"),
        ((2024, 10, 27, 23, 0, 0), "2024-10-28", "2024"),
    ],
)
def test_periods_are_days_and_years_of_the_time_zone(at: tuple[int, ...], day: str, year: str) -> None:
    zone = DeliveryRules(time_zone="Europe/Zurich").zone
    local = datetime.fromtimestamp(calendar.timegm(at), UTC).astimezone(zone)
    assert Sequence(reset=Reset.DAY).period(local) == day
    assert Sequence(reset=Reset.YEAR).period(local) == year
    assert Sequence().period(local) == ""


def test_period_and_date_in_the_name_are_of_the_same_time() -> None:
    rules = DeliveryRules(
        name="{delivery_time:%Y-%m-%d}_{sequence:04d}",
        sequence=Sequence(reset=Reset.DAY),
        time_zone="America/New_York",
    )
    seconds = calendar.timegm((2024, 7, 1, 3, 59, 59))
    path = planned(rules, KEY, PlanFacts(delivery_time=seconds, sequence=1)).file.path
    assert rules.sequence is not None
    period = rules.sequence.period(datetime.fromtimestamp(seconds, UTC).astimezone(rules.zone))
    assert path == f"/inbox/{period}_0001" == "/inbox/2024-06-30_0001"


def test_unknown_number_is_pending_in_names_and_companions_and_a_token_in_temporary_names() -> None:
    rules = rules_of(
        "B{sequence:06d}_{stem}.csv",
        temporary="{name}.partial",
        companions=[
            Companion.marker("{stem}.done"),
            Companion.document("{sequence:04d}.xml", "{name};{sequence:04d}"),
            Companion.document("{name}.txt", "{bytes}"),
        ],
    )
    pending = planned(rules, KEY, PlanFacts(size=3))
    assert pending.paths == (
        "/inbox/B{sequence}_a.csv",
        "/inbox/B{sequence}_a.done",
        "/inbox/{sequence}.xml",
        "/inbox/B{sequence}_a.csv.txt",
    )
    assert pending.file.temporary == "/inbox/B{token}_a.csv.partial"
    assert [each.content for each in pending.companions] == [b"", None, b"3"]
    known = planned(rules, KEY, PlanFacts(sequence=7, size=3))
    assert known.paths == (
        "/inbox/B000007_a.csv",
        "/inbox/B000007_a.done",
        "/inbox/0007.xml",
        "/inbox/B000007_a.csv.txt",
    )
    assert known.companions[1].content == b"B000007_a.csv;0007"


def test_number_is_pending_wherever_it_stands_in_either_case() -> None:
    rules = rules_of("{sequence}_x_{sequence:03d}_{stem}", case=Case.UPPER)
    assert planned(rules, KEY).file.path == "/inbox/{sequence}_X_{sequence}_A"
    assert planned(rules, KEY, PlanFacts(sequence=5)).file.path == "/inbox/5_X_005_A"


@pytest.mark.parametrize("stem", ["{sequence}", "{token}", "{{", "}", "{0}", "%s"])
def test_key_with_braces_gets_its_own_name(stem: str) -> None:
    rules = rules_of("{stem}_{sequence:03d}.csv", temporary="{name}.partial")
    assert planned(rules, f"{stem}.csv").sequence == "default"
    known = planned(rules, f"{stem}.csv", PlanFacts(sequence=5))
    assert known.file.path == f"/inbox/{stem}_005.csv"


def test_key_that_holds_the_placeholder_is_checked_as_it_is() -> None:
    rules = rules_of("{stem}_{sequence:03d}", allowed_names=r"[a-z0-9_]+")
    with pytest.raises(RuleRefused, match="does not match"):
        planned(rules, "{sequence}.csv")


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        (rules_of("{stem}_{sequence:06d}", allowed_names=r"[a-z]_\d{6}"), "allowed_names"),
        (rules_of("{stem}_{sequence:06d}", max_name_length=10), "max_name_length"),
        (rules_of("{tag[x]}/{stem}_{sequence:06d}"), "name"),
        (rules_of("{sequence}{name}", companions=[Companion.marker("{name}.done")]), "companions"),
        (
            rules_of("{sequence}{name}", companions=[Companion.document("a{sequence}", "{metadata[x]}")]),
            "companions",
        ),
        (rules_of("{sequence}.{name}", temporary="{name}.tmp"), "temporary"),
    ],
)
def test_object_is_refused_before_a_number_is_taken(rules: DeliveryRules, rule: str) -> None:
    keys = {"companions": "a" * 254, "temporary": "x.tmp"}
    with pytest.raises(RuleRefused) as caught:
        planned(rules, keys.get(rule, "abcdefgh"), PlanFacts(tags={"x": ".."}))
    assert caught.value.rule == rule


def test_length_is_that_of_the_number_and_not_of_its_placeholder() -> None:
    rules = rules_of("{stem}{sequence}", max_name_length=6)
    assert planned(rules, "abcde").file.path == "/inbox/abcde{sequence}"
    assert planned(rules_of("{stem}{sequence}"), "a" * 254).file.path.endswith("a{sequence}")


@pytest.mark.parametrize(
    "name",
    ["{sequence}/{name}", "{sequence}_{key}", "{sequence}{folder}{name}", "{sequence}{event_time:%Y/%m}"],
)
def test_number_in_a_directory_is_refused(name: str) -> None:
    with pytest.raises(InvalidRule, match=r"must have \{sequence\} in the file name"):
        rules_of(name)


def test_final_name_from_the_beginning_is_refused_with_a_number_in_it() -> None:
    with pytest.raises(InvalidRule, match="temporary must be another name than the final one"):
        rules_of("{sequence}.csv", temporary="{name}")
    inside = DeliveryRules(
        temporary="{name}",
        sequence=Sequence(),
        companions=[Companion.document("{name}.xml", "{sequence}")],
    )
    assert planned(inside, KEY).file.is_direct


@pytest.mark.parametrize(
    ("reset", "name", "is_right"),
    [
        (Reset.NEVER, "{sequence}", True),
        (Reset.DAY, "{sequence}", False),
        (Reset.DAY, "{event_time:%Y%m%d}_{sequence}", False),
        (Reset.DAY, "{delivery_time:%Y%m%d}_{sequence}", True),
        (Reset.DAY, "{delivery_time:%1y%m%d}_{sequence}", True),
        (Reset.DAY, "{delivery_time:%Y}{delivery_time:%j}_{sequence}", True),
        (Reset.DAY, "{delivery_time:%Y%m}_{sequence}", False),
        (Reset.DAY, "{delivery_time:%Y%V%u}_{sequence}", False),
        (Reset.YEAR, "{delivery_time:%y}_{sequence}", True),
        (Reset.YEAR, "{delivery_time:%m}_{sequence}", False),
        (Reset.YEAR, "{delivery_time:%G}_{sequence}", False),
    ],
)
def test_name_tells_apart_what_the_sequence_begins_again_for(
    reset: Reset, name: str, *, is_right: bool
) -> None:
    if is_right:
        assert rules_of(name, sequence=Sequence(reset=reset)).sequence
    else:
        with pytest.raises(InvalidRule, match="names would repeat"):
            rules_of(name, sequence=Sequence(reset=reset))


@pytest.mark.parametrize("if_exists", [IfExists.SKIP, IfExists.NEW_NAME])
def test_number_may_not_be_lost_to_an_existing_name(if_exists: IfExists) -> None:
    with pytest.raises(InvalidRule, match=f"got {if_exists.name}: a number would be lost"):
        rules_of("{sequence}", if_exists=if_exists)
