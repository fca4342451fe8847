"""`algorithms`: the lists that the function offers."""

from __future__ import annotations

from s3_to_sftp import algorithm_rule as algorithms
from tests.support.cli import CliEnvironment, check_schema


def test_shows_what_is_offered_in_order(cli: CliEnvironment) -> None:
    document = cli.run("algorithms", "--json").json
    check_schema("algorithms", document)
    assert document["key_exchange"] == list(algorithms.KEY_EXCHANGES)
    assert document["ciphers"] == list(algorithms.CIPHERS)
    assert document["macs"] == list(algorithms.MACS)
    assert document["signatures"] == list(algorithms.SIGNATURES)


def test_only_types_of_pinned_host_keys_are_offered(cli: CliEnvironment) -> None:
    assert cli.run("algorithms", "--json").json["host_keys"] == ["ssh-ed25519"]


def test_unreadable_host_keys_leave_all_types(cli: CliEnvironment) -> None:
    cli.deploy(host_keys=("what is this",))
    assert cli.run("algorithms", "--json").json["host_keys"] == list(algorithms.SIGNATURES)


def test_ciphers_of_the_delivery_replace_the_default_ones(cli: CliEnvironment) -> None:
    cli.deploy(ciphers=("aes256-cbc", "aes128-ctr"))
    assert cli.run("algorithms", "--json").json["ciphers"] == ["aes256-cbc", "aes128-ctr"]


def test_text_fits_into_80_columns(cli: CliEnvironment) -> None:
    text = cli.run("algorithms").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "mlkem768x25519-sha256," in text
    assert "hmac-sha1\n" in text
