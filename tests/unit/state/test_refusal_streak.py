"""Equal refusals of consecutive different objects are attributed to the partner."""

from __future__ import annotations

import pytest

from s3_to_sftp.diagnosis import requests
from s3_to_sftp.errors import ConnectionLost, Disposition, ObjectGone, PartnerRefusesWrites, RequestRefused
from s3_to_sftp.outcomes import CheckpointSaved
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.refusal_streak import RefusalStreak


def ref(key: str) -> ObjectRef:
    return ObjectRef(bucket="bucket", key=key)


def refused(
    request: str = "create", code: int = 3, disposition: Disposition = Disposition.RETRY
) -> RequestRefused:
    return RequestRefused("No.", hint="Ask.", code=code, disposition=disposition, request=request)


def streak_after(*outcomes: tuple[str, object]) -> RefusalStreak:
    streak = RefusalStreak()
    for key, outcome in outcomes:
        streak.record(ref(key), outcome)
    return streak


def test_three_equal_refusals_are_attributed_to_the_partner() -> None:
    assert not streak_after(("a", refused()), ("b", refused())).are_the_partners
    streak = streak_after(("a", refused()), ("b", refused()), ("c", refused()))
    assert streak.are_the_partners
    error = streak.error()
    assert isinstance(error, PartnerRefusesWrites)
    assert (error.alike, len(error.objects), error.hint) == ("create 3", 3, "Ask.")
    assert error.disposition is Disposition.PARTNER


def test_repeated_refusals_of_two_objects_are_not_attributed_to_the_partner() -> None:
    streak = streak_after(*[("a", refused())] * 10, *[("b", refused())] * 10)
    assert not streak.are_the_partners


@pytest.mark.parametrize("other", [refused("rename"), refused(code=4)], ids=["request", "status"])
def test_different_refusal_starts_a_new_streak(other: RequestRefused) -> None:
    streak = streak_after(("a", refused()), ("b", refused()), ("c", other))
    assert not streak.are_the_partners
    error = streak.error()
    assert error is not None
    assert len(error.objects) == 1


@pytest.mark.parametrize("accepted", [None, "a receipt", CheckpointSaved("Later.", hint="")])
def test_accepted_object_ends_the_streak(accepted: object) -> None:
    streak = streak_after(("a", refused()), ("b", refused()), ("c", accepted), ("d", refused()))
    assert not streak.are_the_partners
    assert streak_after(("a", refused()), ("b", accepted)).error() is None


@pytest.mark.parametrize("silent", [ObjectGone("Gone.", hint=""), ConnectionLost("Cut.", hint="")])
def test_unrelated_error_does_not_end_the_streak(silent: Exception) -> None:
    assert streak_after(("a", refused()), ("b", refused()), ("x", silent), ("c", refused())).are_the_partners


def test_refusal_of_an_object_started_before_an_accepted_one_does_not_count() -> None:
    streak = RefusalStreak()
    streak.record(ref("x"), None)
    for key in "abc":
        streak.record(ref(key), refused(), accepted_before=0)
    assert streak.error() is None
    for key in "abc":
        streak.record(ref(key), refused(), accepted_before=1)
    assert streak.are_the_partners


def test_permanent_refusal_of_a_name_does_not_count() -> None:
    bad = refused(code=20, disposition=Disposition.PERMANENT)
    assert not streak_after(("a", bad), ("b", bad), ("c", bad)).are_the_partners


def test_forget_clears_the_streak() -> None:
    streak = streak_after(("a", refused()), ("b", refused()), ("c", refused()))
    streak.forget()
    assert streak.error() is None
    assert not streak.are_the_partners


def test_error_begins_with_the_last_refusal_and_has_its_cause() -> None:
    streak = RefusalStreak()
    last = requests.refused(server="partner", request="rename", doing="rename it", code=3, words="")
    streak.record(ref("a"), last)
    error = streak.error()
    assert error is not None
    assert error.reason.startswith(last.reason)
    assert (error.cause, error.to_partner) == ("rename-refused", last.to_partner)
