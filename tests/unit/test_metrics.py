"""What the function counts, and for whom: the construct's alarms and dashboard are built on these names."""

from __future__ import annotations

import pytest

from s3_to_sftp.errors import (
    AlreadyGone,
    ConnectionLost,
    DeliveryError,
    Disposition,
    ObjectGone,
    PartnerUnreachable,
    RequestRefused,
    Superseded,
    ToBeContinued,
)
from tests.function_site import HOUR, Site, batch, emitted, forget_dimensions, installed

# As handler.py itself does; pytest has filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return installed(monkeypatch)


def test_metrics_of_two_functions_are_not_mixed_up(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("acme", "bank"):
        line = emitted(capsys, batch("a"), function_name=name)
        (group,) = line["_aws"]["CloudWatchMetrics"]
        assert group["Namespace"] == "S3ToSftp"
        assert [sorted(names) for names in group["Dimensions"]] == [["function_name", "service"]]
        assert (line["function_name"], line["service"]) == (name, "s3-to-sftp")
        forget_dimensions()


def test_delivery_says_that_the_partner_takes_files(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    line = emitted(capsys, batch("a", "b"))
    assert (line["Delivered"], line["BreakerOpen"]) == ([1, 1], [0])


@pytest.mark.parametrize(
    "outcome",
    [
        RequestRefused("disk full.", hint="", code=4, disposition=Disposition.RETRY),
        ToBeContinued("half.", hint=""),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_partner_who_has_let_us_in_takes_files(
    outcome: DeliveryError, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.outcomes["a"] = outcome
    assert emitted(capsys, batch("a"))["BreakerOpen"] == [0]


def test_open_breaker_is_counted_once_per_invocation(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.breaker.is_open = True
    line = emitted(capsys, batch("a", "b"))
    assert line["BreakerOpen"] == [1]
    assert "Failed" not in line


@pytest.mark.parametrize(
    "outcome",
    [PartnerUnreachable("no route.", hint=""), ConnectionLost("cut.", hint=""), ObjectGone("gone.", hint="")],
    ids=lambda outcome: type(outcome).__name__,
)
def test_failure_says_nothing_about_the_breaker(
    outcome: DeliveryError, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.outcomes["a"] = outcome
    line = emitted(capsys, batch("a"))
    assert line["Failed"] == [1]
    assert "BreakerOpen" not in line


def test_postponed_message_is_counted_with_its_age(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.outcomes["a"] = ConnectionLost("cut.", hint="")
    line = emitted(capsys, batch("a", "b", age=2 * HOUR))
    assert (line["Postponed"], line["WaitingSeconds"]) == ([1], [2 * HOUR])


def test_message_that_waits_for_an_open_breaker_is_postponed_too(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.breaker.is_open = True
    assert emitted(capsys, batch("a", age=HOUR))["WaitingSeconds"] == [HOUR]


def test_age_is_counted_from_the_event_however_often_the_message_was_sent_anew(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.outcomes["a"] = ConnectionLost("cut.", hint="")
    assert emitted(capsys, batch("a", age=5 * HOUR, tried_for=HOUR))["WaitingSeconds"] == [5 * HOUR]


def test_message_that_the_queue_will_not_take_stays_and_is_counted(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.outcomes["a"], site.queue.broken = ConnectionLost("cut.", hint=""), True
    assert emitted(capsys, batch("a", age=HOUR))["WaitingSeconds"] == [HOUR]


def test_parked_message_is_counted_and_waits_no_more(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.outcomes["a"] = ObjectGone("gone.", hint="")
    line = emitted(capsys, batch("a", "b"))
    assert line["Parked"] == [1]
    assert site.queue.parked == ["m_a"]
    assert "WaitingSeconds" not in line


def test_message_that_is_given_up_is_parked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.outcomes["a"] = ConnectionLost("cut.", hint="")
    assert emitted(capsys, batch("a", age=30 * HOUR, tried_for=25 * HOUR))["Parked"] == [1]


def test_superseded_version_is_counted_and_is_no_failure(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.outcomes["a"] = Superseded("newer.", hint="")
    line = emitted(capsys, batch("a"))
    assert line["Superseded"] == [1]
    assert "Failed" not in line


def test_object_that_is_gone_is_counted_and_is_no_failure(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.outcomes["a"] = AlreadyGone("gone.", hint="")
    line = emitted(capsys, batch("a"))
    assert line["Gone"] == [1]
    assert "Failed" not in line


def test_age_of_a_message_from_the_future_is_zero(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.outcomes["a"] = ConnectionLost("cut.", hint="")
    assert emitted(capsys, batch("a", age=-5))["WaitingSeconds"] == [0]
