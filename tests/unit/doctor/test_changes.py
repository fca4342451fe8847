"""What counts as a change of the partner's server, and what as noise."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from s3_to_sftp import untrusted_text
from s3_to_sftp.doctor.changes import Changes, compare
from s3_to_sftp.doctor.report import Check, Outcome, Report
from s3_to_sftp.state.partner_profile import PartnerProfile, profile_attributes, read_profile

SERVER = "sftp.partner.example:22"
DAY = 86_400.0
NOW = 1_795_392_000.0  # 2026-11-23 00:00 UTC
PINNED, OTHER, THIRD = "SHA256:pinned", "SHA256:other", "SHA256:third"

PROFILE: dict[str, Any] = {
    "addresses": ["203.0.113.10"],
    "version": "SSH-2.0-OpenSSH_9.6",
    "key_exchange": "curve25519-sha256",
    "cipher": "aes128-gcm@openssh.com",
    "mac": "hmac-sha2-256",
    "offered": {"key exchange": ["curve25519-sha256", "ecdh-sha2-nistp256"]},
    "host_key": {"type": "ssh-ed25519", "fingerprint": PINNED},
    "host_keys": {"ssh-ed25519": PINNED},
    "signatures": ["rsa-sha2-256", "ssh-ed25519"],
    "banner": "Welcome on Monday",
    "methods": ["publickey", "password"],
    "sftp": {"version": 3, "extensions": {"posix-rename@openssh.com": "1", "limits@openssh.com": "1"}},
    "home": "/home/acme",
}
WITHOUT_RENAME = {"version": 3, "extensions": {"limits@openssh.com": "1"}}
WITHOUT_LIMITS = {"version": 3, "extensions": {"posix-rename@openssh.com": "1"}}
STEPS = ("secret", "ledger", "name", "connect", "handshake", "host key", "login", "sftp", "directory")


def ok(name: str) -> Check:
    return Check(name=name, outcome=Outcome.OK, text="fine")


def failed(name: str, text: str = "refused.", *, cause: str = "login-refused") -> Check:
    return Check(name=name, outcome=Outcome.FAILED, text=text, cause=cause, error="LoginRefused")


def checks(*others: Check) -> list[Check]:
    """Return checks that are passed, but for these; those behind a failure are not tried."""
    by_name = {check.name: check for check in others}
    return [by_name.get(name, ok(name)) for name in STEPS]


class Canary:
    """Compares one report after the other, as the function does: through the item of the table."""

    def __init__(self, *, pinned: tuple[str, ...] | None = (PINNED,)) -> None:
        self.remembered: PartnerProfile | None = None
        self.now = NOW
        self._pinned = pinned

    def sees(self, *found: Check, days: float = 1, **profile: Any) -> Changes:
        """Examine the next day; None leaves a field out of the profile."""
        self.now += days * DAY
        shown = {name: value for name, value in {**PROFILE, **profile}.items() if value is not None}
        report = Report(server=SERVER, ran_in="function", checks=checks(*found), profile=shown).as_json()
        changes, after = compare(report, self.remembered, pinned=self._pinned, now=self.now)
        item = profile_attributes(after, shown=report["profile"])
        assert len(json.dumps(item).encode()) < 60_000
        self.remembered = read_profile(item)
        assert self.remembered == after
        return changes


@pytest.fixture
def canary() -> Canary:
    """One that has seen the partner once."""
    canary = Canary()
    assert canary.sees() == Changes()
    return canary


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        (
            {"version": "SSH-2.0-OpenSSH_9.9"},
            "The version of the server changed from 'SSH-2.0-OpenSSH_9.6' to 'SSH-2.0-OpenSSH_9.9'.",
        ),
        (
            {"key_exchange": "mlkem768x25519-sha256"},
            "The key exchange changed from curve25519-sha256 to mlkem768x25519-sha256.",
        ),
        ({"cipher": "aes256-ctr"}, "The cipher changed from aes128-gcm@openssh.com to aes256-ctr."),
        (
            {"host_key": {"type": "ssh-rsa", "fingerprint": OTHER}},
            f"The server shows another host key that is accepted, {OTHER} (ssh-rsa), and not {PINNED} "
            "(ssh-ed25519).",
        ),
        (
            {"methods": ["publickey"]},
            "The methods of login changed from 'password, publickey' to 'publickey'.",
        ),
        ({"home": "/"}, "The login starts in another directory, '/', and not in '/home/acme'."),
        (
            {"sftp": WITHOUT_RENAME},
            "The server no longer replaces files in one step (posix-rename@openssh.com is gone).",
        ),
        (
            {"sftp": WITHOUT_LIMITS},
            "The server no longer tells its limits (limits@openssh.com is gone): files are sent in smaller "
            "pieces.",
        ),
        (
            {"addresses": ["198.51.100.7"]},
            f"The addresses of {SERVER} changed from 203.0.113.10 to 198.51.100.7.",
        ),
        (
            {"host_keys": {"ssh-ed25519": PINNED, "ssh-rsa": OTHER}},
            f"The host key {OTHER} (ssh-rsa) is offered beside the pinned one. Before the partner replaces "
            "that, verify this one out of band and pin it, too.",
        ),
    ],
)
def test_change_is_one_sentence_and_is_told_once(
    canary: Canary, profile: dict[str, Any], sentence: str
) -> None:
    assert canary.sees(**profile) == Changes(changes=(sentence,))
    assert canary.sees(**profile) == Changes()


@pytest.mark.parametrize(
    "profile",
    [
        {"banner": "Welcome on Tuesday"},
        {"methods": ["password", "publickey"]},
        {"signatures": ["ssh-ed25519", "rsa-sha2-256"]},
        {"offered": {"key exchange": ["ecdh-sha2-nistp256", "curve25519-sha256"]}},
        {"addresses": ["203.0.113.11", "203.0.113.10"]},
        {"sftp": {"version": 3, "extensions": {**PROFILE["sftp"]["extensions"], "new@example": "1"}}},
        dict.fromkeys(PROFILE),
    ],
    ids=["banner", "order", "signatures", "offers", "one address more", "extension", "nothing seen"],
)
def test_noise_is_no_change(canary: Canary, profile: dict[str, Any]) -> None:
    assert canary.sees(**profile) == Changes()
    assert canary.sees() == Changes()


def test_what_could_not_be_seen_for_a_while_is_compared_with_what_was_seen_last(canary: Canary) -> None:
    for _ in range(40):
        canary.sees(**dict.fromkeys(PROFILE))
    (change,) = canary.sees(version="SSH-2.0-new").changes
    assert change == "The version of the server changed from 'SSH-2.0-OpenSSH_9.6' to 'SSH-2.0-new'."


def test_nodes_that_differ_are_told_once(canary: Canary) -> None:
    node = {
        "version": "SSH-2.0-other",
        "addresses": ["203.0.113.99"],
        "host_keys": {"ssh-ed25519": THIRD, "ssh-rsa": OTHER},
    }
    assert len(canary.sees(**node).changes) == 5
    for _ in range(20):
        assert canary.sees() == Changes()
        assert canary.sees(**node) == Changes()


def test_change_is_told_again_when_the_value_was_away_for_a_month(canary: Canary) -> None:
    assert len(canary.sees(sftp=WITHOUT_RENAME).changes) == 1
    assert len(canary.sees().changes) == 0
    for _ in range(31):
        assert canary.sees() == Changes()
    assert len(canary.sees(sftp=WITHOUT_RENAME).changes) == 1


def test_value_that_always_changes_is_told_a_few_times_only(canary: Canary) -> None:
    told = [text for number in range(40) for text in canary.sees(version=f"SSH-2.0-{number}").changes]
    assert len(told) == 5
    assert told[-1].endswith(
        "It changes often: further values are not told until it has kept one for a month."
    )
    for _ in range(31):
        assert canary.sees() == Changes()
    assert len(canary.sees(version="SSH-2.0-new").changes) == 1


def test_name_with_ever_new_addresses_is_told_a_few_times_only(canary: Canary) -> None:
    told = [canary.sees(addresses=[f"198.51.{day}.{last}" for last in range(8)]) for day in range(60)]
    assert 1 <= sum(len(each.changes) for each in told) <= 5


def test_pinned_key_that_is_no_longer_offered_is_told_once(canary: Canary) -> None:
    changes = canary.sees(host_keys={"ssh-rsa": OTHER}).changes
    assert f"The pinned host key {PINNED} is no longer offered." in changes
    assert canary.sees(host_keys={"ssh-rsa": OTHER}) == Changes()


def test_keys_beside_the_pinned_one_are_no_change_at_first() -> None:
    canary = Canary()
    both = {"ssh-ed25519": PINNED, "ssh-rsa": OTHER}
    assert canary.sees(host_keys=None) == Changes()
    assert canary.sees(host_keys=both) == Changes()
    assert canary.sees(host_keys=both) == Changes()


def test_second_pinned_key_that_is_now_offered_is_no_change() -> None:
    canary = Canary(pinned=(PINNED, OTHER))
    canary.sees()
    assert canary.sees(host_keys={"ssh-ed25519": PINNED, "ssh-rsa": OTHER}) == Changes()


def test_offered_keys_do_not_matter_where_an_authority_is_pinned() -> None:
    canary = Canary(pinned=None)
    canary.sees()
    assert canary.sees(host_keys={"ssh-rsa": OTHER}) == Changes()


def test_host_key_that_is_refused_is_a_failure_and_no_other_pinned_key(canary: Canary) -> None:
    shown = {"type": "ssh-ed25519", "fingerprint": OTHER}
    changes = canary.sees(failed("host key", "It is another one."), host_key=shown)
    assert changes.changes == ()
    assert len(changes.failures) == 1


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("certificate_until", "The certificate of our key"),
        ("host_certificate_until", "The certificate of the host key"),
    ],
)
def test_end_of_a_certificate_is_told_at_each_stage(canary: Canary, field: str, what: str) -> None:
    ends = canary.now + 40 * DAY + 3600
    told = {}
    for day in range(1, 41):
        for text in canary.sees(**{field: ends}).changes:
            told[40 - day] = text
    assert sorted(told) == [1, 3, 10, 30]
    assert told[10] == f"{what} ends in 10 days, at 2027-01-03 01:00 UTC."
    assert canary.sees(**{field: ends + 365 * DAY}) == Changes()


def test_end_of_a_certificate_is_told_even_at_first() -> None:
    changes = Canary().sees(certificate_until=NOW + 6 * DAY).changes
    assert changes == ("The certificate of our key ends in 5 days, at 2026-11-29 00:00 UTC.",)


def test_certificate_without_an_end_is_no_change(canary: Canary) -> None:
    assert canary.sees(certificate_until=float(2**64 - 1)) == Changes()


# --- checks ---


def test_check_that_fails_is_told_with_the_time_when_it_worked(canary: Canary) -> None:
    assert canary.sees(failed("login", "It refuses the login.")).failures == (
        "login failed at 2026-11-25 00:00 UTC (it worked at 2026-11-24 00:00 UTC): It refuses the login.",
    )
    assert canary.sees(failed("login", "It refuses the login, in other words.")) == Changes()


def test_failure_of_the_first_examination_is_no_change() -> None:
    canary = Canary()
    assert canary.sees(failed("login")) == Changes()
    assert canary.sees(failed("login")) == Changes()


def test_each_time_that_a_check_fails_is_told(canary: Canary) -> None:
    for _ in range(3):
        assert len(canary.sees(failed("login")).failures) == 1
        assert canary.sees() == Changes()


def test_another_cause_is_told(canary: Canary) -> None:
    canary.sees(failed("login", cause="login-refused"))
    assert len(canary.sees(failed("login", cause="password-expired")).failures) == 1


def test_login_that_is_not_tried_after_its_refusal_is_as_it_was(canary: Canary) -> None:
    not_tried = Check(
        name="login", outcome=Outcome.NOT_TRIED, text="was refused before", advice="Correct it."
    )
    assert len(canary.sees(failed("login")).failures) == 1
    assert canary.sees(not_tried) == Changes()
    assert canary.sees(failed("login")) == Changes()
    canary.sees()
    assert len(canary.sees(not_tried).failures) == 1  # a delivery was refused
    assert canary.sees(not_tried) == Changes()


def test_check_behind_a_failure_is_as_it_was(canary: Canary) -> None:
    behind = Check(name="login", outcome=Outcome.NOT_TRIED, text="(connect)")
    assert len(canary.sees(failed("connect"), behind).failures) == 1
    assert canary.sees() == Changes()


def test_missing_directory_is_told(canary: Canary) -> None:
    text = "/inbox is missing; the first delivery makes it"
    missing = Check(name="directory", outcome=Outcome.WARNING, text=text, advice="Check SSH_DIR.")
    (failure,) = canary.sees(missing).failures
    assert failure.endswith(f": {text}")
    slow = Check(name="handshake", outcome=Outcome.WARNING, text="the greeting took 5 s")
    assert canary.sees(missing, slow) == Changes()


def test_item_stays_small_whatever_a_server_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_text, "_secrets", {})  # many, of other tests, take their time with so much
    canary = Canary()
    for day in range(60):
        text = f"{day}" + "ü" * 4000
        canary.sees(
            failed("login", text, cause=""),
            version=text,
            home=text,
            methods=[f"{text}{number}" for number in range(200)],
            addresses=[f"2001:db8:{day}::{number:x}" for number in range(500)],
            host_keys={f"{text}{number}": f"SHA256:{day}-{number:040}" for number in range(500)},
            banner=text * 100,
        )


@pytest.mark.parametrize("worked_at", [1e120, -1e20, float("inf"), float("nan")])
def test_failure_is_told_whatever_time_is_remembered(worked_at: float, canary: Canary) -> None:
    assert canary.remembered is not None
    canary.remembered = replace(canary.remembered, worked_at={"login": worked_at})
    report = Report(server=SERVER, ran_in="function", checks=checks(failed("login"))).as_json()
    changes, _ = compare(report, canary.remembered, pinned=(PINNED,), now=canary.now)
    assert changes.failures[0].startswith("login failed at ")
    assert "after 1970" in changes.failures[0]
