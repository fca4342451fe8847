"""What a version promises to keep is still there."""

import pytest

from release.public_api import PATH, breaks, names

PROMISED = PATH.read_text().splitlines()


def test_nothing_that_was_promised_has_changed() -> None:
    broken = breaks(PROMISED, names())
    assert broken == [], (
        "This breaks users: docs/reference/versioning.md. If it is meant to (a new major version, or a "
        "release candidate), run `python -m release.public_api`, and say so in CHANGELOG.md."
    )


def test_list_has_every_kind_of_surface() -> None:
    kinds = {line.removeprefix("required ").split()[0] for line in PROMISED}
    assert kinds == {
        "construct", "partner.toml", "template", "variable", "event", "receipt", "command", "json",
    }  # fmt: skip
    assert {
        "construct S3ToSftp(server=)",
        "required construct S3ToSftp(server=)",
        "construct S3ToSftp.queue",
        "construct Trigger.BOTH",
        "construct profiles.adyen_batch(platform=)",
        "variable SSH_HOST",
        "event S3 to SFTP Delivery Completed: checksum.value",
        "receipt verified_by",
        "command doctor --json",
        "json status: version",
    } <= set(PROMISED)


@pytest.mark.parametrize(
    ("before", "now", "broken"),
    [
        (["f"], ["f", "g"], []),
        (["f"], [], ["gone: f"]),
        (["f", "f(x=)", "required f(x=)"], ["f", "f(x=)"], []),
        (["f", "f(x=)"], ["f", "f(x=)", "required f(x=)"], ["now required f(x=)"]),
        (["f"], ["f", "f(x=)", "required f(x=)"], ["now required f(x=)"]),
        (["command c"], ["command c", "command c K", "required command c K"], ["now required command c K"]),
        ([], ["f", "f(x=)", "required f(x=)"], []),
    ],
)
def test_breaks_are_what_is_gone_and_what_is_newly_required(
    before: list[str], now: list[str], broken: list[str]
) -> None:
    assert breaks(before, now) == broken
