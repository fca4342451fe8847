"""`trust-host-key`: which fingerprints it takes, what the function then accepts, and what makes it last."""

from __future__ import annotations

import time
from typing import Any

import asyncssh
import pytest

from s3_to_sftp.state.breaker_item import BREAKER, breaker_key, read_breaker
from s3_to_sftp.state.trusted_host_key import (
    TRUSTED_HOST_KEY,
    DynamoTrustedHostKeys,
    trusted_host_key_pk,
)
from s3_to_sftp_cli.control_items import ControlItems
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.host_keys import parse_fingerprint
from tests.support.cli import FUNCTION, HOST, PORT, CliEnvironment, Outcome, check_schema

SERVER = f"{HOST}:{PORT}"


def new_key(kind: str = "ssh-ed25519") -> tuple[str, str]:
    """A public key and its fingerprint."""
    key = asyncssh.generate_private_key(kind)
    return " ".join(key.export_public_key().decode().split()[:2]), key.get_fingerprint()


def known(line: str) -> tuple[str, str]:
    """A public key that is the same in every process that collects these tests, and its fingerprint."""
    return line, asyncssh.import_public_key(line).get_fingerprint()


OLD, OLD_FINGERPRINT = known(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJu/XDNvfjO9OA5UCPWwT49iq6vHQepK8YYjljo+tdQZ"
)
NEW, NEW_FINGERPRINT = known(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJC7pp6KjIldWCj5TuAuOJugSY1COyLgJ+kR2bdyPjF"
)
OTHER, OTHER_FINGERPRINT = known(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPTLyR7IfwLGuoG6b5M/rCzynA9RVqbY1bgcLmiFyWf1"
)


def hint(line: str, fingerprint: str) -> str:
    """What the function says of a key that it has refused."""
    return f"Pinned: SHA256:x. It offers '{line}' ({fingerprint}). Verify the fingerprint."


@pytest.fixture
def env(cli: CliEnvironment) -> CliEnvironment:
    cli.deploy(host_keys=(OLD,))
    return cli


def refuses(env: CliEnvironment, line: str = NEW, fingerprint: str = NEW_FINGERPRINT, **about: Any) -> None:
    """The function has refused the server's key."""
    about = {"error": "HostKeyRefused", "reason": "not pinned.", "openings": {"HostKeyRefused": 3}, **about}
    env.breaker(**{"hint": hint(line, fingerprint), **about})


def trust(env: CliEnvironment, *more: str, fingerprint: str = NEW_FINGERPRINT) -> Outcome:
    return env.run("trust-host-key", fingerprint, "--reason", "new machine, called Bob", *more)


def read(env: CliEnvironment, pk: str, sk: str) -> Any:
    return ControlItems(env.aws.client("dynamodb"), env.ledger.table).read(pk, sk)


def item_of(env: CliEnvironment) -> Any:
    return read(env, trusted_host_key_pk(SERVER), TRUSTED_HOST_KEY)


def breaker_of(env: CliEnvironment) -> Any:
    return read_breaker(read(env, breaker_key(SERVER), BREAKER))


def accepted(env: CliEnvironment, *, after: float = 0) -> str | None:
    """The fingerprint that the function accepts beside the pinned ones, so many seconds from now."""
    function = DynamoTrustedHostKeys(
        env.aws.client("dynamodb"), env.ledger.table, SERVER, clock=lambda: time.time() + after
    )
    trusted = function.current()
    return trusted.fingerprint if trusted else None


# --- the fingerprint ---


@pytest.mark.parametrize("given", [NEW_FINGERPRINT, f" {NEW_FINGERPRINT}= "])
def test_fingerprint_is_taken_as_ssh_keygen_prints_it(given: str) -> None:
    assert parse_fingerprint(given, server="host") == NEW_FINGERPRINT


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (NEW_FINGERPRINT.removeprefix("SHA256:"), f"write {NEW_FINGERPRINT}"),
        (NEW, f"compared with the partner's: {NEW_FINGERPRINT}"),
        (f"{NEW} root@host", f"compared with the partner's: {NEW_FINGERPRINT}"),
        ("MD5:" + ":".join(["ab"] * 16), "MD5 is broken"),
        (":".join(["AB"] * 16), "ssh-keyscan -p 22 host | ssh-keygen -lf -"),
        ("ab" * 16, "MD5 is broken"),
        ("ab" * 32, "SHA256:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s"),
        ("SHA256:" + ":".join(["AB"] * 32), "SHA256:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s"),
        (NEW_FINGERPRINT[:-1], "43 characters"),
        (NEW_FINGERPRINT + "x", "43 characters"),
        (NEW_FINGERPRINT[:-1] + "B", "the last is one of 16"),
        ("SHA1:abc", "43 characters"),
        ("", "43 characters"),
        ("ssh-ed25519 AAAAnonsense!", "43 characters"),
    ],
)
def test_other_forms_are_refused_with_what_to_type(given: str, told: str) -> None:
    with pytest.raises(CliError) as raised:
        parse_fingerprint(given, server="-p 22 host")
    assert raised.value.code == ExitCode.USAGE
    assert told in str(raised.value)


def test_what_was_pasted_by_mistake_is_not_repeated() -> None:
    with pytest.raises(CliError) as raised:
        parse_fingerprint("s3cret-canary", server="host")
    assert "s3cret-canary" not in str(raised.value)


# --- what it does ---


def test_trusted_key_is_accepted_for_a_day_and_who_and_why_are_recorded(env: CliEnvironment) -> None:
    refuses(env)
    assert trust(env).code == ExitCode.OK
    assert accepted(env) == NEW_FINGERPRINT
    assert accepted(env, after=23 * 3600) == NEW_FINGERPRINT
    assert accepted(env, after=24 * 3600) is None
    item = item_of(env)
    assert item["reason"] == {"S": "new machine, called Bob"}
    assert item["who"]["S"].startswith("arn:aws:")


def test_shorter_trust_ends_sooner(env: CliEnvironment) -> None:
    trust(env, "--for", "2h")
    assert accepted(env, after=3600) == NEW_FINGERPRINT
    assert accepted(env, after=2 * 3600) is None


def test_open_breaker_lets_the_function_connect_at_once(env: CliEnvironment) -> None:
    refuses(env, refused=["a", "b"], since=1.5)
    before = breaker_of(env)
    assert before.wait("a", time.time()) is not None
    trust(env)
    after = breaker_of(env)
    assert after.wait("a", time.time()) is None
    assert after.is_open, "it closes when the server is really let in"
    assert (after.since, after.refused, after.revision) == (1.5, ("a", "b"), before.revision + 1)


@pytest.mark.parametrize(
    ("breaker", "attempt"),
    [
        ({"error": "LoginRefused", "openings": {"LoginRefused": 1}}, "as planned"),
        ({"openings": {}}, "not needed"),
        ({"retry_at": 1.0}, "now"),
        ({"failures": "none"}, "not needed"),
    ],
    ids=["refused login", "closed", "due", "corrupt"],
)
def test_breaker_that_does_not_wait_for_this_key_is_left_alone(
    breaker: dict[str, Any], attempt: str, env: CliEnvironment
) -> None:
    refuses(env, **breaker)
    before = read(env, breaker_key(SERVER), BREAKER)
    assert trust(env, "--json").json["next_attempt"] == attempt
    assert read(env, breaker_key(SERVER), BREAKER) == before


def test_breaker_that_the_function_writes_at_the_same_time_is_read_again(
    env: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses(env)
    replace = ControlItems.replace
    others = [7, 8]

    def replace_after_another(items: ControlItems, pk: str, sk: str, *rest: Any, **more: Any) -> None:
        if sk == BREAKER and others:
            refuses(env, revision=others.pop())
        replace(items, pk, sk, *rest, **more)

    monkeypatch.setattr(ControlItems, "replace", replace_after_another)
    assert trust(env, "--json").json["next_attempt"] == "now"
    assert breaker_of(env).retry_at <= time.time()


def test_reason_cannot_steer_the_terminal(env: CliEnvironment) -> None:
    outcome = env.run("trust-host-key", NEW_FINGERPRINT, "--reason", "new \x1b[2Jmachine")
    assert (outcome.code, "\x1b" in outcome.stdout) == (ExitCode.OK, False)


def test_without_a_breaker_it_is_trusted_all_the_same(env: CliEnvironment) -> None:
    document = trust(env, "--json").json
    check_schema("trust-host-key", document)
    assert (document["offered"], document["next_attempt"]) == (None, "not needed")
    assert accepted(env) == NEW_FINGERPRINT


def test_dry_run_changes_nothing(env: CliEnvironment) -> None:
    refuses(env)
    before = breaker_of(env)
    outcome = trust(env, "--dry-run")
    assert outcome.code == ExitCode.OK
    assert f"to trust  {NEW_FINGERPRINT}" in outcome.stdout
    assert accepted(env) is None
    assert breaker_of(env) == before


def test_second_word_replaces_the_first_and_keeps_it(env: CliEnvironment) -> None:
    trust(env, fingerprint=OTHER_FINGERPRINT)
    document = trust(env, "--json").json
    check_schema("trust-host-key", document)
    assert document["replaced"]["fingerprint"] == OTHER_FINGERPRINT
    assert accepted(env) == NEW_FINGERPRINT
    (earlier,) = item_of(env)["earlier"]["L"]
    assert earlier["M"]["fingerprint"] == {"S": OTHER_FINGERPRINT}


def test_corrupt_item_is_replaced(env: CliEnvironment) -> None:
    env.item(trusted_host_key_pk(SERVER), TRUSTED_HOST_KEY, fingerprint=1)
    assert trust(env).code == ExitCode.OK
    assert accepted(env) == NEW_FINGERPRINT


# --- what takes it back ---


def withdraw(env: CliEnvironment, *more: str, fingerprint: str = NEW_FINGERPRINT) -> Outcome:
    return env.run("trust-host-key", fingerprint, "--withdraw", "--reason", "a typo", *more)


def test_withdrawn_key_is_accepted_no_more_and_who_and_why_are_recorded(env: CliEnvironment) -> None:
    trust(env)
    outcome = withdraw(env)
    assert outcome.code == ExitCode.OK
    assert f"withdrawn {NEW_FINGERPRINT}" in outcome.stdout
    assert "only the pinned keys are accepted" in outcome.stdout
    assert accepted(env) is None
    item = item_of(env)
    assert (item["reason"], item["revision"]) == ({"S": "a typo"}, {"N": "2"})
    (earlier,) = item["earlier"]["L"]
    assert earlier["M"]["reason"] == {"S": "new machine, called Bob"}
    assert env.run("status", "--json").json["partner"]["trusted_host_key"] is None


def test_withdrawal_in_json_has_nothing_that_is_trusted(env: CliEnvironment) -> None:
    trust(env)
    document = withdraw(env, "--json").json
    check_schema("trust-host-key", document)
    assert (document["trusted"], document["deploy"]) == (None, None)
    assert document["replaced"]["fingerprint"] == NEW_FINGERPRINT


def test_dry_run_withdraws_nothing(env: CliEnvironment) -> None:
    trust(env)
    assert f"withdraw  {NEW_FINGERPRINT}" in withdraw(env, "--dry-run").stdout
    assert accepted(env) == NEW_FINGERPRINT


def test_key_that_is_pinned_meanwhile_stays_accepted_without_the_word(env: CliEnvironment) -> None:
    trust(env)
    env.deploy(host_keys=(NEW,))
    assert "stays accepted: it is pinned" in withdraw(env).stdout
    assert accepted(env) is None


def test_key_that_nobody_has_trusted_cannot_be_withdrawn(env: CliEnvironment) -> None:
    outcome = withdraw(env)
    assert outcome.code == ExitCode.NOT_FOUND
    assert item_of(env) is None
    trust(env, fingerprint=OTHER_FINGERPRINT)
    outcome = withdraw(env)
    assert (outcome.code, f"The trusted one is {OTHER_FINGERPRINT}" in outcome.stderr) == (4, True)
    assert accepted(env) == OTHER_FINGERPRINT


def test_withdrawal_has_no_duration(env: CliEnvironment) -> None:
    trust(env)
    assert withdraw(env, "--for", "2h").code == ExitCode.USAGE
    assert accepted(env) == NEW_FINGERPRINT


# --- what it shows ---


def test_shows_old_and_new_and_the_deployment_that_makes_it_last(env: CliEnvironment) -> None:
    env.deploy(configured_by="construct")
    refuses(env)
    outcome = trust(env)
    assert outcome.stderr == ""
    lines = outcome.stdout.splitlines()
    assert lines[0] == f"{FUNCTION} → {SERVER}"
    assert lines[1] == f"pinned    {OLD_FINGERPRINT} ssh-ed25519"
    assert lines[2] == f"offered   {NEW_FINGERPRINT}"
    assert lines[3] == f"trusted   {NEW_FINGERPRINT}"
    assert lines[4].endswith(": new machine, called Bob")
    assert lines[5] == "attempt   with the next object that comes back, within 6 minutes"
    assert lines[-4:] == ["SftpServer(host_keys=[", f'    "{OLD}",', f'    "{NEW}",', "])"]


@pytest.mark.parametrize(
    ("author", "first"),
    [
        ("partner.toml", "ssh_host_key = ["),
        ("template", "the parameter HostKey, one key a line:"),
        ("", "SSH_HOST_KEY, one key a line:"),
    ],
)
def test_deployment_is_told_in_the_words_of_its_author(author: str, first: str, env: CliEnvironment) -> None:
    env.deploy(configured_by=author)
    refuses(env)
    assert first in trust(env).stdout.splitlines()


def test_key_that_is_not_known_is_asked_for(env: CliEnvironment) -> None:
    outcome = trust(env)
    assert "offered   not known" in outcome.stdout
    assert f"ssh-keyscan -p {PORT} {HOST}" in outcome.stdout
    assert "<the new key>" in outcome.stdout


def test_fingerprint_that_the_server_does_not_show_is_warned_of(env: CliEnvironment) -> None:
    refuses(env, OTHER, OTHER_FINGERPRINT)
    outcome = trust(env)
    assert outcome.code == ExitCode.OK
    assert "the server showed another key" in outcome.stderr
    assert OTHER not in outcome.stdout, "nobody is invited to pin it"
    assert f"offered   {OTHER_FINGERPRINT}" in outcome.stdout


@pytest.mark.parametrize("state", ["in flight", "failed"])
def test_offered_key_is_found_in_the_ledger_where_the_breaker_does_not_know_it(
    state: str, env: CliEnvironment
) -> None:
    if state == "failed":
        env.failed("other", dead_letter=False)
        env.failed("a", hint=hint(NEW, NEW_FINGERPRINT), error="HostKeyRefused", dead_letter=False)
    else:
        env.released("a", hint=hint(NEW, NEW_FINGERPRINT))
    document = trust(env, "--json").json
    check_schema("trust-host-key", document)
    assert document["offered"] == {"fingerprint": NEW_FINGERPRINT, "key": NEW}
    assert document["deploy"] == {"setting": "SSH_HOST_KEY", "host_keys": [OLD, NEW], "complete": True}


def test_pinned_keys_are_shown_however_they_are_configured(env: CliEnvironment) -> None:
    env.deploy(host_keys=(f"{OLD},{OTHER}", f"@cert-authority *.example {OTHER}", "nonsense"))
    pinned = trust(env, "--json").json["pinned"]
    assert {"kind": "a line that is not a key", "fingerprint": ""} in pinned
    env.deploy(host_keys=(f"{OLD},{OTHER}", f"@cert-authority *.example {OTHER}"))
    assert trust(env, "--json").json["pinned"] == [
        {"kind": "ssh-ed25519", "fingerprint": OLD_FINGERPRINT},
        {"kind": "ssh-ed25519", "fingerprint": OTHER_FINGERPRINT},
        {"kind": "@cert-authority ssh-ed25519", "fingerprint": OTHER_FINGERPRINT},
    ]


def test_function_that_pins_nothing_is_told_as_such(env: CliEnvironment) -> None:
    env.deploy(host_keys=())
    assert "pinned    none" in trust(env).stdout


# --- what it refuses ---


def test_key_that_is_pinned_needs_no_word(env: CliEnvironment) -> None:
    outcome = trust(env, fingerprint=OLD_FINGERPRINT)
    assert outcome.code == ExitCode.CONFLICT
    assert "is pinned already" in outcome.stderr
    assert item_of(env) is None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--for", "25h"], "longer than a day"),
        (["--for", "ever"], "not a time"),
        (["--for", "0h"], "not a time"),
    ],
)
def test_time_that_is_too_long_or_none_is_refused(more: list[str], told: str, env: CliEnvironment) -> None:
    outcome = trust(env, *more)
    assert outcome.code == ExitCode.USAGE
    assert told in outcome.stderr
    assert item_of(env) is None


def test_malformed_fingerprint_changes_nothing(env: CliEnvironment) -> None:
    refuses(env)
    before = breaker_of(env)
    assert trust(env, fingerprint="MD5:" + ":".join(["ab"] * 16)).code == ExitCode.USAGE
    assert item_of(env) is None
    assert breaker_of(env) == before


def test_function_without_a_ledger_cannot_be_told(env: CliEnvironment) -> None:
    env.deploy(table=None)
    assert trust(env).code == ExitCode.CONFLICT


def test_missing_permission_is_named(env: CliEnvironment) -> None:
    env.refused.add("dynamodb:PutItem")
    outcome = trust(env)
    assert outcome.code == ExitCode.DENIED
    assert "dynamodb:PutItem" in outcome.stderr


def test_help_fits_into_80_columns(env: CliEnvironment) -> None:
    assert max(map(len, env.run("trust-host-key", "--help").stdout.splitlines())) <= 80
