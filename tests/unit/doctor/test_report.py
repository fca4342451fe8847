"""The report: which checks are tried, what a failure says, and that no secret is in it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from s3_to_sftp import untrusted_text
from s3_to_sftp.diagnosis.handshake import FTP
from s3_to_sftp.doctor.checklist import Checklist, Finding, NotTriedError
from s3_to_sftp.doctor.report import Check, Outcome, Report
from s3_to_sftp.doctor.request import CURRENT, DoctorRequest, is_doctor_request
from s3_to_sftp.errors import DeliveryError, PartnerUnreachable
from s3_to_sftp.untrusted_text import never_show, quoted, without_secrets


def never() -> bool:
    return False


def failing(error: Exception) -> Callable[[], str]:
    def step() -> str:
        raise error

    return step


def outcomes(checklist: Checklist) -> list[tuple[str, str]]:
    return [(check.name, check.outcome.value) for check in checklist.checks]


def test_checks_behind_a_failure_are_not_tried() -> None:
    checklist = Checklist(is_over=never)
    error = FTP.error(PartnerUnreachable, "It said '220 hello'.", server="sftp.acme.example:21")
    checklist.run_in_order([("a", lambda: "fine"), ("b", failing(error)), ("c", lambda: "fine")])
    assert outcomes(checklist) == [("a", "ok"), ("b", "failed"), ("c", "not tried")]
    failed, behind = checklist.checks[1], checklist.checks[2]
    assert failed.text == ("sftp.acme.example:21 is an FTP server, not an SFTP server. It said '220 hello'.")
    assert (failed.cause, failed.error) == ("ftp-server", "PartnerUnreachable")
    assert "sftp.acme.example:21 answers with FTP" in failed.to_partner
    assert behind.text == "(b)"


def test_check_that_is_not_tried_keeps_those_behind_it_from_being_tried() -> None:
    checklist = Checklist(is_over=never)
    refused_before = failing(NotTriedError("refused before", advice="Change it."))
    checklist.run_in_order([("login", refused_before), ("sftp", lambda: "fine")])
    assert outcomes(checklist) == [("login", "not tried"), ("sftp", "not tried")]
    assert (checklist.checks[0].text, checklist.checks[0].advice) == ("refused before", "Change it.")


def test_checks_that_stand_for_themselves_are_all_tried() -> None:
    checklist = Checklist(is_over=never)
    checklist.run("queue", failing(DeliveryError("Denied.", hint="Allow it.")))
    checklist.run("bucket", lambda: "fine")
    assert outcomes(checklist) == [("queue", "failed"), ("bucket", "ok")]


def test_check_that_breaks_is_a_failure_and_the_others_go_on() -> None:
    checklist = Checklist(is_over=never)
    checklist.run("queue", failing(ZeroDivisionError("division by zero")))
    checklist.run("bucket", lambda: "fine")
    assert outcomes(checklist) == [("queue", "failed"), ("bucket", "ok")]
    assert "ZeroDivisionError: division by zero" in checklist.checks[0].text


def test_no_check_begins_when_the_time_is_over() -> None:
    left = iter([False, True, True])
    checklist = Checklist(is_over=lambda: next(left))
    checklist.run_in_order([("a", lambda: "fine"), ("b", lambda: "fine"), ("c", lambda: "fine")])
    assert outcomes(checklist) == [("a", "ok"), ("b", "not tried"), ("c", "not tried")]
    assert checklist.checks[1].text == "the time is over"


def test_warning_passes() -> None:
    checklist = Checklist(is_over=never)
    found = Finding(text="SHA256:x is not pinned", warning="an operator trusts it", advice="Deploy it.")
    checklist.run_in_order([("host key", lambda: found), ("login", lambda: "fine")])
    assert outcomes(checklist) == [("host key", "warning"), ("login", "ok")]
    assert checklist.checks[0].text == "SHA256:x is not pinned; an operator trusts it"


def test_each_check_is_told_as_it_ends() -> None:
    told: list[str] = []
    checklist = Checklist(is_over=never, report=lambda check: told.append(check.name))
    checklist.run("a", lambda: "fine")
    assert told == ["a"]


@pytest.mark.parametrize(
    ("outcome", "healthy"),
    [(Outcome.OK, True), (Outcome.WARNING, True), (Outcome.FAILED, False), (Outcome.NOT_TRIED, False)],
)
def test_only_what_was_tried_and_works_is_healthy(outcome: Outcome, healthy: bool) -> None:  # noqa: FBT001
    checklist = Checklist(is_over=never)
    steps = {
        Outcome.OK: lambda: "fine",
        Outcome.WARNING: lambda: Finding(text="fine", warning="but slow"),
        Outcome.FAILED: failing(DeliveryError("No.", hint="")),
        Outcome.NOT_TRIED: failing(NotTriedError("No.")),
    }
    checklist.run("a", steps[outcome])
    assert Report(server="s:22", ran_in="local", checks=checklist.checks).is_healthy is healthy


def test_report_holds_no_secret_wherever_the_server_repeats_it() -> None:
    never_show("canary-5e1f-secret")
    checklist = Checklist(is_over=never)
    checklist.run("login", failing(DeliveryError("It said 'canary-5e1f-secret'.", hint="canary-5e1f-secret")))
    report = Report(
        server="s:22",
        ran_in="function",
        checks=checklist.checks,
        profile={"banner": "hello canary-5e1f-secret", "canary-5e1f-secret": ["canary-5e1f-secret"]},
    )
    assert "canary" not in json.dumps(report.as_json())


@pytest.mark.parametrize("password", ["right", "Login", "22", "the", "passphrase"])
def test_password_that_is_a_word_is_masked_in_what_the_server_says_and_not_in_our_sentences(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted_text, "_secrets", {})
    never_show(password)
    advice = "If the login is right at port 22, check the passphrase. Login is retried."
    said = f"It says '{quoted(f'no {password} here')}'."
    checklist = Checklist(is_over=never)
    checklist.run("login", failing(DeliveryError(said, hint=advice)))
    profile = {"banner": f"hello {password}", "home": password, "login": ["publickey"]}
    document = Report(server="s:22", ran_in="function", checks=checklist.checks, profile=profile).as_json()
    (check,) = document["checks"]
    assert (document["server"], check["name"], check["advice"]) == ("s:22", "login", advice)
    assert "'no [secret] here'" in check["text"]
    assert document["profile"] == {"banner": "hello [secret]", "home": "[secret]", "login": ["publickey"]}


@pytest.mark.parametrize("password", ["aXbYcZdWeVf", "right-42", "123456", "x" * 17])
def test_password_that_is_no_word_is_masked_in_our_sentences_too(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted_text, "_secrets", {})
    never_show(password)
    assert without_secrets(f"It is {password}.", ours=True) == "It is [secret]."


def test_request_is_the_same_behind_its_event() -> None:
    for request in (DoctorRequest(write=True, secret_version="AWSPENDING"), DoctorRequest(canary=True)):
        assert DoctorRequest.from_event(request.as_event()) == request
    assert is_doctor_request(request.as_event())
    assert not is_doctor_request({"Records": []})
    assert DoctorRequest.from_event({}).secret_version == CURRENT


def test_request_for_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="AWSCURRENT, AWSPENDING, AWSPREVIOUS"):
        DoctorRequest.from_event({"secret_version": "AWSNEXT"})


def test_check_holds_no_secret_before_it_becomes_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_text, "_secrets", {})
    never_show("Hunter2-canary")
    shown: list[Check] = []
    checklist = Checklist(is_over=never, report=shown.append)
    error = PartnerUnreachable("No Hunter2-canary.", hint="Not Hunter2-canary.")
    error.to_partner = "Dear Hunter2-canary"
    checklist.run("login", failing(error))
    checklist.run("sftp", lambda: "hunter2-CANARY")
    assert [(each.text, each.advice, each.to_partner) for each in shown] == [
        ("No [secret].", "Not [secret].", "Dear [secret]"),
        ("[secret]", "", ""),
    ]
