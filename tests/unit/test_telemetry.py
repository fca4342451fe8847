"""The metrics of the function: the construct's alarms and dashboard depend on these names."""

from __future__ import annotations

import pytest

from s3_to_sftp.errors import (
    AfterDeliveryFailed,
    ConnectionLost,
    DeliveryError,
    Disposition,
    ObjectGone,
    PartnerUnreachable,
    RequestRefused,
)
from s3_to_sftp.outcomes import AlreadyGone, CheckpointSaved, Filtered, Superseded
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.function_environment import (
    HOUR,
    FunctionEnvironment,
    batch,
    emitted,
    forget_dimensions,
    installed,
    receipt,
)

# As handler.py itself does; pytest has filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> FunctionEnvironment:
    return installed(monkeypatch)


def test_metrics_have_the_function_name_as_dimension(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("acme", "bank"):
        line = emitted(capsys, batch("a"), function_name=name)
        (group,) = line["_aws"]["CloudWatchMetrics"]
        assert group["Namespace"] == "S3ToSftp"
        assert [sorted(names) for names in group["Dimensions"]] == [["function_name", "service"]]
        assert (line["function_name"], line["service"]) == (name, "s3-to-sftp")
        forget_dimensions()


def test_delivery_emits_a_closed_circuit(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    line = emitted(capsys, batch("a", "b"))
    assert (line["Delivered"], line["CircuitBreakerOpen"]) == ([1, 1], [0])


@pytest.mark.parametrize(
    "outcome",
    [
        RequestRefused("disk full.", hint="", code=4, disposition=Disposition.RETRY),
        CheckpointSaved("half.", hint=""),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_accepted_login_emits_a_closed_circuit(
    outcome: DeliveryError, env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = outcome
    assert emitted(capsys, batch("a"))["CircuitBreakerOpen"] == [0]


def test_open_circuit_is_counted_once_per_invocation(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.breaker.is_open = True
    line = emitted(capsys, batch("a", "b"))
    assert line["CircuitBreakerOpen"] == [1]
    assert "Failed" not in line


@pytest.mark.parametrize(
    "outcome",
    [PartnerUnreachable("no route.", hint=""), ConnectionLost("cut.", hint=""), ObjectGone("gone.", hint="")],
    ids=lambda outcome: type(outcome).__name__,
)
def test_failure_emits_no_circuit_breaker_metric(
    outcome: DeliveryError, env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = outcome
    line = emitted(capsys, batch("a"))
    assert line["Failed"] == [1]
    assert "CircuitBreakerOpen" not in line


def test_deferred_message_is_counted_with_its_age(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = ConnectionLost("cut.", hint="")
    line = emitted(capsys, batch("a", "b", age=2 * HOUR))
    assert (line["Deferred"], line["WaitingSeconds"]) == ([1], [2 * HOUR])


def test_message_that_waits_for_an_open_circuit_is_counted_with_its_age(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.breaker.is_open = True
    assert emitted(capsys, batch("a", age=HOUR))["WaitingSeconds"] == [HOUR]


def test_pause_is_counted_with_its_age_once_per_invocation_and_is_no_failure(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.pause.keys, env.pause.age = {"a", "b"}, 13 * HOUR
    line = emitted(capsys, batch("a", "b", age=HOUR))
    assert line["PausedSeconds"] == [13 * HOUR]
    assert "Failed" not in line


def test_login_of_another_stage_is_counted_once_per_invocation(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.credentials.fallback = "AWSPREVIOUS"
    line = emitted(capsys, batch("a", "b"))
    assert (line["LoginFallback"], line["Delivered"]) == ([1], [1, 1])


def test_paused_message_is_deferred_and_does_not_count_as_failing(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.pause.keys = {"a"}
    line = emitted(capsys, batch("a", "b", age=2 * HOUR))
    assert (line["Deferred"], line["Delivered"]) == ([1], [1])
    assert "WaitingSeconds" not in line


def test_age_of_a_returned_message_is_counted_from_its_event(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = ConnectionLost("cut.", hint="")
    assert emitted(capsys, batch("a", age=5 * HOUR, tried_for=HOUR))["WaitingSeconds"] == [5 * HOUR]


def test_message_refused_by_the_queue_is_counted_with_its_age(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"], env.queue.broken = ConnectionLost("cut.", hint=""), True
    assert emitted(capsys, batch("a", age=HOUR))["WaitingSeconds"] == [HOUR]


def test_dead_lettered_message_is_counted_without_an_age(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = ObjectGone("gone.", hint="")
    line = emitted(capsys, batch("a", "b"))
    assert line["DeadLettered"] == [1]
    assert env.queue.dead_lettered == ["m_a"]
    assert "WaitingSeconds" not in line


def test_message_is_dead_lettered_after_its_last_try(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = ConnectionLost("cut.", hint="")
    assert emitted(capsys, batch("a", age=30 * HOUR, tried_for=25 * HOUR))["DeadLettered"] == [1]


def test_superseded_version_is_counted_but_not_as_failed(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = Superseded("newer.", hint="")
    line = emitted(capsys, batch("a"))
    assert line["Superseded"] == [1]
    assert "Failed" not in line


def test_missing_object_is_counted_but_not_as_failed(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = AlreadyGone("gone.", hint="")
    line = emitted(capsys, batch("a"))
    assert line["Gone"] == [1]
    assert "Failed" not in line


def test_filtered_object_is_counted_but_not_as_failed(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = Filtered("too small.", hint="")
    line = emitted(capsys, batch("a"))
    assert line["Filtered"] == [1]
    assert {"Failed", "DeadLettered", "Deferred"}.isdisjoint(line)


def test_object_whose_action_fails_is_counted_as_delivered_and_as_failed(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = AfterDeliveryFailed("It is delivered, but not deleted.", hint="allow it.")
    failed.receipt = receipt(ObjectRef(bucket="b", key="a"))
    env.outcomes["a"] = failed
    line = emitted(capsys, batch("a"))
    assert (line["Delivered"], line["Failed"], line["Deferred"]) == ([1], [1], [1])


def test_age_of_a_message_from_the_future_is_zero(
    env: FunctionEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    env.outcomes["a"] = ConnectionLost("cut.", hint="")
    assert emitted(capsys, batch("a", age=-5))["WaitingSeconds"] == [0]
