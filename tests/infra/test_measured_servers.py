"""`SftpServer(profile=...)`: synth refuses what contradicts what the server showed, and nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import (
    Algorithms,
    Companion,
    DeliveryRules,
    IfExists,
    InvalidArgument,
    MeasuredServer,
    S3ToSftp,
    Sequence,
    SftpServer,
    Source,
    profiles,
)
from tests.infra.conftest import new_app
from tests.support.infra.keys import ECDSA, ED25519

HOST = "sftp.partner.example"
FILES = Path(__file__).parents[1] / "support" / "measured"
OPENSSH = MeasuredServer.from_text((FILES / "openssh.json").read_text())
SHOWED = f"{HOST}:22 showed on 2026-11-29T12:00:00Z"
PLAIN = ("rename", "rename_over_existing", "rename_across_directories")
"""What the RENAME of version 3 is asked for."""
ONLY_PLAIN = {f"posix_{name}": None for name in PLAIN}
"""Of a server that does not offer the extension."""
AGAIN = "If the server has changed since then, measure it again"


def measured(**changed: Any) -> MeasuredServer:
    answers = {**OPENSSH.answers, **changed.pop("answers", {})}
    return replace(OPENSSH, answers=answers, **changed)


def errors(profile: object, rules: DeliveryRules | None = None, **arguments: Any) -> str:
    """Return what synth says of an app with this server; empty where it has no complaint."""
    of_construct = {name: arguments.pop(name) for name in ("max_connections", "sources") if name in arguments}
    given = {"host_keys": [ED25519], "rules": rules, "profile": profile, **arguments}
    app = new_app()
    stack = cdk.Stack(app, "Test")
    if "sources" in of_construct:
        of_construct["sources"] = of_construct["sources"](stack)
    S3ToSftp(stack, "Delivery", server=SftpServer(HOST, **given), **of_construct)
    try:
        app.synth()
    except RuntimeError as error:
        return str(error)
    return ""


def invalid(profile: object) -> str:
    with pytest.raises(InvalidArgument) as caught:
        SftpServer(HOST, host_keys=[ED25519], profile=profile)  # type: ignore[arg-type]  # wrong on purpose
    return str(caught.value)


@pytest.mark.parametrize("file", sorted(FILES.glob("*.json")), ids=lambda file: file.stem)
def test_default_rules_contradict_none_of_the_six_servers(file: Path) -> None:
    assert errors(str(file), DeliveryRules()) == ""
    assert errors(MeasuredServer.from_text(file.read_text())) == ""


@pytest.mark.parametrize(
    ("rules", "showing", "sentence"),
    [
        pytest.param(
            DeliveryRules(temporary="/staging/{token}_{name}"),
            {"answers": {"posix_rename_across_directories": 4}},
            f"temporary is '/staging/{{token}}_{{name}}', but {SHOWED} that it does not rename from one "
            "directory into another (status 4): ask the partner to allow it, or set "
            "temporary='{token}_{name}', or leave temporary out.",
            id="across directories",
        ),
        pytest.param(
            DeliveryRules(temporary="{name}.partial"),
            {"answers": {**ONLY_PLAIN, "rename": 3}},
            f"temporary is '{{name}}.partial', but {SHOWED} that it refuses RENAME (status 3): ask "
            "the partner to allow it, or set temporary='{name}', with a marker after the data.",
            id="no rename",
        ),
        pytest.param(
            DeliveryRules(if_exists=IfExists.REFUSE),
            {"answers": {"rename": 8}},
            f"temporary is None, but {SHOWED} that it refuses RENAME (status 8): ask the partner",
            id="no rename that does not replace",
        ),
        pytest.param(
            DeliveryRules(),
            {"answers": {"posix_rename": 3, "posix_rename_over_existing": 3}},
            f"temporary is None, but {SHOWED} that it refuses posix-rename@openssh.com (status 3): ask the "
            "partner to allow it, or set temporary='{name}', with a marker after the data, or set "
            "if_exists=IfExists.REFUSE.",
            id="no rename of the extension",
        ),
        pytest.param(
            DeliveryRules(name="{sequence}.csv", sequence=Sequence()),
            {"answers": {**ONLY_PLAIN, "rename": 3}},
            f"temporary is None, but {SHOWED} that it refuses RENAME (status 3): ask the partner to allow "
            "it.",
            id="no rename, and a number in the name",
        ),
        pytest.param(
            DeliveryRules(name="{sequence}.csv", sequence=Sequence()),
            {"answers": {**ONLY_PLAIN, "rename_over_existing": 4, "remove": 3}},
            "(rename over existing: status 4, remove: status 3): ask the partner to allow it, or set "
            "if_exists=IfExists.REFUSE.",
            id="existing names, and a number in the name",
        ),
        pytest.param(
            DeliveryRules(),
            {"answers": {**ONLY_PLAIN, "rename_over_existing": 3}},
            f"if_exists is REPLACE, but {SHOWED} that an existing file can be neither replaced, nor moved "
            "aside and removed (rename over existing: status 3): ",
            id="replacing is forbidden, which is no sign of a file that exists",
        ),
        pytest.param(
            DeliveryRules(name="{stem:.10}_2026.csv"),
            {"longest_name": 5},
            f"max_name_length is not given, but {SHOWED} that it takes names of 5 characters at most: give "
            "name a template of shorter names.",
            id="names that are too long in any case",
        ),
        pytest.param(
            DeliveryRules(mode=0o640, require_attributes=True),
            {"answers": {"set_mode": 8}},
            "(status 8): set require_attributes=False.",
            id="mode refused, and nothing else is required",
        ),
        pytest.param(
            DeliveryRules(mode=0o640, preserve_time=True, require_attributes=True),
            {"answers": {"set_mode": 8}},
            "(status 8): set require_attributes=False, or leave mode out.",
            id="mode refused, and the time is required",
        ),
        pytest.param(
            DeliveryRules(mode=0o640, require_attributes=True),
            {"answers": {"set_mode": 8}},
            f"mode is required (require_attributes), but {SHOWED} that it refuses SETSTAT (status 8): set "
            "require_attributes=False",
            id="mode refused",
        ),
        pytest.param(
            DeliveryRules(mode=0o640, require_attributes=True),
            {"takes_mode": False},
            f"mode is required (require_attributes), but {SHOWED} that it says OK to SETSTAT and keeps",
            id="mode ignored",
        ),
        pytest.param(
            DeliveryRules(preserve_time=True, require_attributes=True),
            {"answers": {"set_time": 3}},
            "preserve_time is required (require_attributes), but ",
            id="time refused",
        ),
        pytest.param(
            DeliveryRules(),
            {"longest_name": 64},
            f"max_name_length is not given, but {SHOWED} that it takes names of 64 characters at most: set "
            "max_name_length=64.",
            id="names, no rule",
        ),
        pytest.param(
            DeliveryRules(name="{name}", max_name_length=100),
            {"longest_name": 64},
            "max_name_length is 100, but ",
            id="names",
        ),
        pytest.param(
            DeliveryRules(name="{name}", max_name_length=64, temporary="{name}.partial"),
            {"longest_name": 64},
            f"temporary is '{{name}}.partial', which makes names of up to 108 characters, 36 of them added "
            f"while a "
            f"file is written, but {SHOWED} that it takes names of 64 characters at most: set "
            "max_name_length=20.",
            id="temporary names",
        ),
        pytest.param(
            DeliveryRules(name="{name}", temporary="{name}.partial"),
            {"longest_name": 64},
            f"max_name_length is not given, but {SHOWED} that it takes names of 64 characters at most: set "
            "max_name_length=20.",
            id="names, with temporary ones",
        ),
        pytest.param(
            DeliveryRules(name="{name}", max_name_length=64, companions=[Companion.checksum("sha256")]),
            {"longest_name": 64},
            "companions is '{name}.sha256', which makes names of up to 71 characters, but ",
            id="companions",
        ),
        pytest.param(
            DeliveryRules(
                name="{stem}.csv",
                max_name_length=40,
                temporary="{name}.prg",
                companions=[Companion.marker("{stem}.completely-done")],
            ),
            {"longest_name": 64},
            "temporary is '{name}.prg', which makes names of up to 80 characters, 36 of them added",
            id="temporary names of companions",
        ),
        pytest.param(
            DeliveryRules(
                name="{stem}.csv", max_name_length=40, companions=[Companion.marker("{stem}{stem}")]
            ),
            {"longest_name": 64},
            "companions is '{stem}{stem}', which makes names of up to 72 characters, but ",
            id="stem twice",
        ),
        pytest.param(
            DeliveryRules(
                name="{name}",
                max_name_length=50,
                companions=[Companion.marker("{name}_{sequence}")],
                sequence=Sequence(),
            ),
            {"longest_name": 64},
            f"companions is '{{name}}_{{sequence}}', which makes names of up to 67 characters, but "
            f"{SHOWED} that "
            "it takes names of 64 characters at most: set max_name_length=47.",
            id="numbers",
        ),
        pytest.param(
            DeliveryRules(name="B" * 30 + "{sequence:06d}.txt", sequence=Sequence()),
            {"longest_name": 44},
            f"max_name_length is not given, but {SHOWED} that it takes names of 44 characters at most: set "
            "max_name_length=44.",
            id="numbers, no rule",
        ),
        pytest.param(
            DeliveryRules(name="{name}", max_name_length=32),
            {"longest_name": 32},
            f"temporary is not given, which makes names of up to 42 characters, but {SHOWED} that it takes "
            f"names "
            "of 32 characters at most: write a shorter name in temporary.",
            id="hidden names",
        ),
        pytest.param(
            DeliveryRules(if_exists=IfExists.REPLACE),
            {"answers": {**ONLY_PLAIN, "rename_over_existing": 4, "remove": 3}},
            f"if_exists is REPLACE, but {SHOWED} that an existing file can be neither replaced, nor moved "
            "aside and removed (rename over existing: status 4, remove: status 3): ask the partner to allow "
            "it, or set if_exists=IfExists.REFUSE, or set if_exists=IfExists.SKIP.",
            id="existing names",
        ),
    ],
)
def test_rule_that_the_server_does_not_keep_is_refused(
    rules: DeliveryRules, showing: dict[str, Any], sentence: str
) -> None:
    said = errors(measured(**showing), rules)
    assert sentence in said
    assert AGAIN in said


@pytest.mark.parametrize(
    ("rules", "showing"),
    [
        (DeliveryRules(temporary="{name}.partial"), {"answers": {"rename_across_directories": 4}}),
        (DeliveryRules(temporary="/staging/{token}"), {"answers": {"rename_across_directories": None}}),
        (DeliveryRules(mode=0o640), {"answers": {"set_mode": 8}, "takes_mode": False}),
        (DeliveryRules(mode=0o640, require_attributes=True), {"takes_mode": None}),
        (DeliveryRules(name="{name}", max_name_length=64), {"longest_name": 64}),
        (DeliveryRules(name="{name}", max_name_length=20, temporary="{name}.partial"), {"longest_name": 64}),
        (DeliveryRules(name="{name}", max_name_length=64, temporary="{name}"), {"longest_name": 64}),
        (
            DeliveryRules(name="{name}", max_name_length=57, companions=[Companion.checksum("sha256")]),
            {"longest_name": 64},
        ),
        (DeliveryRules(name="{event_time:%Y%m%d}_{stem:.20}.csv"), {"longest_name": 64}),
        (
            DeliveryRules(name="{delivery_time:%Y%m%d}_{sequence:03d}.csv", sequence=Sequence()),
            {"longest_name": 64},
        ),
        (DeliveryRules(if_exists=IfExists.REFUSE), {"answers": {"rename_over_existing": 4, "remove": 3}}),
        (DeliveryRules(), {"answers": {"posix_rename_over_existing": 4, "rename_over_existing": 4}}),
        (DeliveryRules(), {"answers": dict.fromkeys(OPENSSH.answers)}),
        (DeliveryRules(), {"answers": dict.fromkeys(PLAIN, 8)}),
        (DeliveryRules(temporary="/staging/{token}"), {"answers": dict.fromkeys(PLAIN, 8)}),
        (DeliveryRules(), {"answers": {"posix_rename": None}}),
        (
            DeliveryRules(temporary="/staging/{token}", if_exists=IfExists.REFUSE),
            {"answers": {"posix_rename_across_directories": 4}},
        ),
        (DeliveryRules(temporary="{name}"), {"answers": {**ONLY_PLAIN, "rename_over_existing": 3}}),
    ],
)
def test_what_the_server_keeps_or_did_not_show_is_no_contradiction(
    rules: DeliveryRules, showing: dict[str, Any]
) -> None:
    assert errors(measured(**showing), rules) == ""


def test_rules_of_a_source_count_as_well() -> None:
    def sources(stack: cdk.Stack) -> list[Source]:
        rules = DeliveryRules(mode=0o600, require_attributes=True)
        return [Source(s3.Bucket(stack, "Theirs"), rules=rules)]

    assert "mode is required" in errors(measured(takes_mode=False), sources=sources)


def test_host_key_that_the_server_has_not_shown_is_refused() -> None:
    said = errors(OPENSSH, host_keys=[ECDSA])
    assert f"host_keys has none of the keys that {SHOWED} (ssh-ed25519): verify the keys" in said
    assert errors(OPENSSH, host_keys=[ECDSA, ED25519]) == ""


def test_policy_that_the_server_cannot_keep_is_refused() -> None:
    said = errors(OPENSSH, algorithms=Algorithms.post_quantum_required())
    offered = "algorithms offers only mlkem768x25519-sha256 for key exchange, but "
    assert f"{offered}{SHOWED} that it has only " in said
    assert "sntrup761x25519-sha512" in said
    assert (
        "or leave the policy out: the function's SSH library has no other one with post-quantum sec" in said
    )


def test_ciphers_that_the_server_does_not_have_are_refused() -> None:
    assert "ciphers offers only 3des-cbc for ciphers, but " in errors(OPENSSH, ciphers=["3des-cbc"])


def test_old_server_needs_its_algorithms_allowed() -> None:
    old = measured(algorithms={**OPENSSH.algorithms, "key exchange": ("diffie-hellman-group14-sha1",)})
    assert "allow what it has (Algorithms(allow=['diffie-hellman-group14-sha1']))." in errors(old)
    assert errors(old, algorithms=Algorithms(allow=["diffie-hellman-group14-sha1"])) == ""


def test_parallel_streams_that_the_server_does_not_keep_together_are_refused() -> None:
    said = errors(measured(keeps_second_handle=False), max_connections=8)
    assert "max_connections is 8, which is for parallel streams into one file, but " in said
    assert errors(measured(keeps_second_handle=False), max_connections=2) == ""
    assert errors(measured(keeps_second_handle=None), max_connections=8) == ""


def test_directory_that_takes_no_files_is_refused() -> None:
    showing = measured(writable={"/inbox": False, "/in": True})
    assert "directory is '/inbox', but " in errors(showing, directory="/inbox")
    assert errors(showing, directory="/in") == ""
    assert errors(showing, directory="/unknown") == ""


def test_measurement_of_another_server_is_refused() -> None:
    said = errors(measured(host="other.example"))
    assert f"profile must be of {HOST}:22, but it is what other.example:22 showed on " in said


def test_all_contradictions_are_told_at_once() -> None:
    rules = DeliveryRules(temporary="/staging/{token}", mode=0o640, require_attributes=True)
    showing = measured(takes_mode=False, answers={"posix_rename_across_directories": 4})
    said = errors(showing, rules)
    assert "temporary is " in said
    assert "mode is required" in said


def test_without_a_measurement_nothing_is_refused() -> None:
    assert errors(None, DeliveryRules(mode=0o640, require_attributes=True)) == ""


def test_file_that_is_missing_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "partner.json")
    assert invalid(path) == (
        f"profile must be a file that can be read, got {path!r} (No such file or directory): write it with "
        "`s3-to-sftp doctor --save FILE`"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON ("),
        ("{}", "another kind of file"),
        (OPENSSH.as_text().replace('"version": 1', '"version": 2'), "a file of version 2, and 1 is known"),
        (
            OPENSSH.as_text().replace('"open_files": 20', '"open_files": "20"'),
            "a file with a wrong value: '20'",
        ),
        (OPENSSH.as_text().replace('"open_files"', '"colour"'), "a file with the unknown field 'colour'"),
    ],
)
def test_file_with_something_else_is_told(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "partner.json"
    path.write_text(text)
    sentence = invalid(str(path))
    assert sentence.startswith(
        f"profile must be a file of `s3-to-sftp doctor --save`, got {str(path)!r}, {why}"
    )


def test_rules_in_the_place_of_a_measurement_are_told() -> None:
    assert "DeliveryRules" in invalid(profiles.valitor_clearing())
    assert "profile must be " in invalid(profiles.valitor_clearing())
