"""Different objects that are refused alike, one after the other, show the state of the partner."""

from __future__ import annotations

import pytest

from s3_to_sftp.errors import (
    CheckpointSaved,
    ConnectionLost,
    Disposition,
    ObjectGone,
    PartnerRefusesWrites,
    RequestRefused,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.refusal_streak import RefusalStreak


def ref(key: str) -> ObjectRef:
    return ObjectRef(bucket="bucket", key=key)


def refused(
    request: str = "create", code: int = 3, disposition: Disposition = Disposition.RETRY
) -> RequestRefused:
    return RequestRefused("No.", hint="Ask.", code=code, disposition=disposition, request=request)


def after(*outcomes: tuple[str, object]) -> RefusalStreak:
    row = RefusalStreak()
    for key, outcome in outcomes:
        row.record(ref(key), outcome)
    return row


def test_three_objects_refused_alike_are_the_partners_state() -> None:
    assert not after(("a", refused()), ("b", refused())).are_the_partners
    row = after(("a", refused()), ("b", refused()), ("c", refused()))
    assert row.are_the_partners
    error = row.error()
    assert isinstance(error, PartnerRefusesWrites)
    assert (error.alike, len(error.objects), error.hint) == ("create 3", 3, "Ask.")
    assert error.disposition is Disposition.PARTNER


def test_one_object_that_is_refused_again_and_again_is_its_own_matter() -> None:
    row = after(*[("a", refused())] * 10, *[("b", refused())] * 10)
    assert not row.are_the_partners


@pytest.mark.parametrize("other", [refused("rename"), refused(code=4)], ids=["request", "status"])
def test_refusals_that_differ_begin_a_new_row(other: RequestRefused) -> None:
    row = after(("a", refused()), ("b", refused()), ("c", other))
    assert not row.are_the_partners
    error = row.error()
    assert error is not None
    assert len(error.objects) == 1


@pytest.mark.parametrize("accepted", [None, "a receipt", CheckpointSaved("Later.", hint="")])
def test_object_that_is_accepted_ends_the_row(accepted: object) -> None:
    row = after(("a", refused()), ("b", refused()), ("c", accepted), ("d", refused()))
    assert not row.are_the_partners
    assert after(("a", refused()), ("b", accepted)).error() is None


@pytest.mark.parametrize("silent", [ObjectGone("Gone.", hint=""), ConnectionLost("Cut.", hint="")])
def test_what_says_nothing_about_refusals_does_not_end_the_row(silent: Exception) -> None:
    assert after(("a", refused()), ("b", refused()), ("x", silent), ("c", refused())).are_the_partners


def test_refusal_of_an_object_that_was_begun_before_another_was_accepted_does_not_count() -> None:
    row = RefusalStreak()
    row.record(ref("x"), None)
    for key in "abc":
        row.record(ref(key), refused(), accepted_before=0)
    assert row.error() is None
    for key in "abc":
        row.record(ref(key), refused(), accepted_before=1)
    assert row.are_the_partners


def test_name_that_is_refused_for_good_is_the_matter_of_its_object() -> None:
    bad = refused(code=20, disposition=Disposition.PERMANENT)
    assert not after(("a", bad), ("b", bad), ("c", bad)).are_the_partners


def test_nothing_is_remembered_of_what_was_told() -> None:
    row = after(("a", refused()), ("b", refused()), ("c", refused()))
    row.forget()
    assert row.error() is None
    assert not row.are_the_partners
