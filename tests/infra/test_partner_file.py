"""`partner.toml`: the file that configures the stock app, its overrides by context, and its errors."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cdk_s3_to_sftp import bundle_builder, partner_file
from cdk_s3_to_sftp.archive import write_zip
from cdk_s3_to_sftp.bundle_builder import compilation, installation
from cdk_s3_to_sftp.bundling import find_source
from tests.infra.conftest import REPOSITORY, X86_64
from tests.infra.stock_app import GIVEN, Main, function_in
from tests.support.infra.keys import ECDSA, ED25519

PARTNER = f"""
ssh_host = "sftp.partner.example"
ssh_port = 2222
ssh_dir = "/inbox"
ssh_host_key = ["{ED25519}", "{ECDSA}"]
prefix = "outgoing/"
stack_name = "Bank"
"""


def test_partner_file_alone_configures_the_app(main: Main) -> None:
    template = main(PARTNER)
    variables = function_in(template)["Environment"]["Variables"]
    assert template["name"] == "Bank"
    assert {name: variables[name] for name in ("SSH_HOST", "SSH_PORT", "SSH_DIR", "SSH_HOST_KEY")} == {
        "SSH_HOST": "sftp.partner.example",
        "SSH_PORT": "2222",
        "SSH_DIR": "/inbox",
        "SSH_HOST_KEY": f"{ED25519}\n{ECDSA}",
    }
    assert template["warnings"] == []


def test_context_overrides_one_key_and_keeps_the_others(main: Main) -> None:
    template = main(PARTNER, ssh_host_key=ECDSA)
    variables = function_in(template)["Environment"]["Variables"]
    assert (variables["SSH_DIR"], variables["SSH_HOST_KEY"]) == ("/inbox", ECDSA)


def test_context_override_adds_a_warning(main: Main) -> None:
    template = main(PARTNER, ssh_dir="/other", ssh_host="new.partner.example", prefix="", ssh_port="2222")
    variables = function_in(template)["Environment"]["Variables"]
    assert (variables["SSH_DIR"], variables["SSH_HOST"]) == ("/other", "new.partner.example")
    (warning,) = template["warnings"]
    assert warning.startswith(
        "For this command only, ssh_host is 'new.partner.example' in place of 'sftp.partner.example'; "
        "ssh_dir is '/other' in place of '/inbox'; prefix is '' in place of 'outgoing/'. The next deployment"
    )


def test_commas_in_host_patterns_do_not_split_a_key(main: Main) -> None:
    line = f"@cert-authority *.partner.example,10.0.0.? {ED25519}"
    template = main(f'ssh_host = "sftp.partner.example"\nssh_host_key = "{line}"')
    assert function_in(template)["Environment"]["Variables"]["SSH_HOST_KEY"] == line


KEYSCAN = f"sftp.partner.example,192.0.2.7 {ED25519}"


@pytest.mark.parametrize(
    "written", [f'"""\n{KEYSCAN}\n{ECDSA}\n"""', f'["# sftp.partner.example:22", "{KEYSCAN}", "{ECDSA}"]']
)
def test_output_of_ssh_keyscan_is_accepted_as_it_is(main: Main, written: str) -> None:
    template = main(f'ssh_host = "sftp.partner.example"\nssh_host_key = {written}')
    assert function_in(template)["Environment"]["Variables"]["SSH_HOST_KEY"] == f"{ED25519}\n{ECDSA}"


@pytest.mark.parametrize("between", [",", ", ", "\n"])
def test_lines_of_ssh_keyscan_are_accepted_as_context(main: Main, between: str) -> None:
    template = main(PARTNER, ssh_host_key=f"{KEYSCAN}{between}{ECDSA}")
    assert function_in(template)["Environment"]["Variables"]["SSH_HOST_KEY"] == f"{ED25519}\n{ECDSA}"


def test_byte_order_mark_is_ignored(main: Main) -> None:
    assert main("\ufeff" + PARTNER)["name"] == "Bank"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ssh_port = 0", "partner.toml: ssh_port must be 1-65535, got 0. Write ssh_port = 22"),
        (
            'ssh_port = "ssh"',
            "partner.toml: ssh_port must be a whole number, got 'ssh'. Write ssh_port = 22",
        ),
        (
            "ssh_port = 22.0",
            "partner.toml: ssh_port must be a whole number, got a value of type float. Write ssh_port = 22",
        ),
        (
            "ssh_port = true",
            "partner.toml: ssh_port must be a whole number, got a value of type bool. Write ssh_port = 22",
        ),
        (
            'prefix = ["a/"]',
            "partner.toml: prefix must be text in quotes, got a value of type list. "
            'Write prefix = "outgoing/"',
        ),
        (
            'suffix = "*.csv"',
            "partner.toml: suffix must not contain '*': S3 compares it literally, got '*.csv'; remove "
            "the '*'. "
            'Write suffix = ".csv"',
        ),
        (
            'ssh_host_key = ["ssh-rsa"]',
            "partner.toml: ssh_host_key must be of the form 'type base64', got only the type 'ssh-rsa'. "
            'Write ssh_host_key = ["ssh-ed25519 AAAA..."]',
        ),
        (
            'former_prefixes = ["old/", "/older/"]',
            "partner.toml: former_prefixes must not begin with '/': keys do not, got '/older/'. "
            'Write former_prefixes = ["old/"]',
        ),
        (
            "former_prefixes = [1]",
            "partner.toml: former_prefixes must be text in quotes, got a value of type list. "
            'Write former_prefixes = ["old/"]',
        ),
        (
            "canary = 1",
            "partner.toml: canary must be true or false, got a value of type int. Write canary = false",
        ),
        (
            'canary = "yes"',
            "partner.toml: canary must be one of true, false, got 'yes'. Write canary = false",
        ),
        (
            "ssh_directory = 1",
            "partner.toml: unknown key ssh_directory: did you mean ssh_dir? Known keys are ssh_host, "
            "ssh_port, "
            "ssh_dir, ssh_host_key, prefix, suffix, former_prefixes, memory_size, max_connections, "
            "retry_for_hours, canary, alarm_topic, architecture, bundling, code, stack_name",
        ),
        (
            "ssh_host = sftp.partner.example",
            "partner.toml: Invalid value (at line 1, column 12). A line looks like "
            'ssh_host = "sftp.partner.example"',
        ),
        (
            'password = "hunter2"',
            "partner.toml: password does not belong in a file: write the login into the secret with the "
            "output FillSecretCommand. Replace the login if the file was kept in version control",
        ),
    ],
)
def test_invalid_value_error_names_file_and_key(main: Main, line: str, sentence: str) -> None:
    key = line.partition(" ")[0]
    context = {name: value for name, value in GIVEN.items() if name != key}
    with pytest.raises(SystemExit) as caught:
        main(line, **context)
    assert caught.value.code == sentence


def test_second_partner_has_its_own_file_and_stack(main: Main, tmp_path: Path) -> None:
    file = tmp_path / "insurer.toml"
    file.write_text(PARTNER.replace("Bank", "Insurer"))
    assert main(partner=str(file))["name"] == "Insurer"


@pytest.mark.parametrize(("stem", "suggested"), [("insurer", "S3ToSftpInsurer"), ("保险", "S3ToSftp2")])
def test_second_partner_without_a_stack_name_is_refused(
    main: Main, tmp_path: Path, stem: str, suggested: str
) -> None:
    file = tmp_path / f"{stem}.toml"
    file.write_text(PARTNER.replace('stack_name = "Bank"', ""))
    with pytest.raises(
        SystemExit, match=rf"^{stem}\.toml: stack_name is not set\. A second partner needs"
    ) as caught:
        main(partner=str(file))
    assert str(caught.value).endswith(f'Write stack_name = "{suggested}"')  # not that of the first


def test_missing_partner_file_is_named(main: Main) -> None:
    with pytest.raises(SystemExit, match=r"^There is no file bnak\.toml, which -c partner= names"):
        main(partner="bnak.toml")


@pytest.mark.parametrize(
    ("key", "path", "reason"),
    [
        ("partner", "x" * 300, "File name too long"),
        ("code", "x" * 300, "File name too long"),
        ("partner", "a-loop", "Too many levels of symbolic links"),
    ],
)
def test_path_that_the_system_refuses_is_named(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, path: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-loop").symlink_to("a-loop")
    with pytest.raises(SystemExit) as caught:
        main(PARTNER, **{key: path})
    assert path in str(caught.value)
    assert reason in str(caught.value)


def granted_object_arns(template: dict[str, Any]) -> list[str]:
    """Return the object ARNs that the function may read, without the bucket."""
    statements = [
        statement
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::IAM::Policy"
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
        if "s3:GetObject" in statement["Action"]
    ]
    resources = [
        resource
        for statement in statements
        for resource in (
            statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        )
    ]
    return sorted(str(resource["Fn::Join"][1][-1]) for resource in resources)


@pytest.mark.parametrize(
    ("line", "prefixes"),
    [
        ('former_prefixes = ["old/", "older/"]', ["/old/*", "/older/*", "/outgoing/*"]),
        ('former_prefixes = "old/"', ["/old/*", "/outgoing/*"]),
        ('former_prefixes = [""]', ["/*", "/outgoing/*"]),
        ("former_prefixes = []", ["/outgoing/*"]),
    ],
)
def test_former_prefixes_stay_readable_without_notifications(
    main: Main, line: str, prefixes: list[str]
) -> None:
    template = main(PARTNER + line)
    assert granted_object_arns(template) == prefixes
    (notifications,) = (
        each["Properties"]["NotificationConfiguration"]
        for each in template["Resources"].values()
        if each["Type"] == "Custom::S3BucketNotifications"
    )
    assert "old" not in json.dumps(notifications)


def test_former_prefixes_as_context_add_a_warning(main: Main) -> None:
    template = main(PARTNER, former_prefixes="old/, older/")
    assert granted_object_arns(template) == ["/old/*", "/older/*", "/outgoing/*"]
    (warning,) = template["warnings"]
    assert warning.startswith("For this command only, former_prefixes is 'old/, older/'. The next")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zipped bundle without dependencies."""
    monkeypatch.setattr(installation, "install", lambda lock, output, target: None)
    monkeypatch.setattr(compilation, "compile_modules", lambda output, target: None)
    bundle_builder.build(find_source(), tmp_path / "bundle", X86_64)
    write_zip(tmp_path / "bundle", tmp_path / "package.zip")
    return tmp_path / "package.zip"


def code_key(template: dict[str, Any]) -> str:
    return str(function_in(template)["Code"]["S3Key"])


def test_code_path_is_relative_to_the_partner_file(
    main: Main, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert bundle_builder.fingerprint(find_source(), X86_64) not in code_key(
        main(PARTNER + 'code = "package.zip"')
    )


def test_code_path_as_context_is_relative_to_the_working_directory(
    main: Main, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package.rename(tmp_path / "here.zip")
    key = code_key(main(PARTNER, code="here.zip"))
    assert bundle_builder.fingerprint(find_source(), X86_64) not in key


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (
            "nowhere.zip",
            "code must be a bundle as `python -m cdk_s3_to_sftp.package` writes it, got {path}: No such file "
            "or directory",
        ),
        (
            "package.tar",
            "code must be a .zip file as `python -m cdk_s3_to_sftp.package` writes it, or a directory, got "
            "{path}",
        ),
        (
            "empty.zip",
            "code must be a bundle as `python -m cdk_s3_to_sftp.package` writes it, got {path}, without "
            "s3_to_sftp/bundle.json",
        ),
    ],
)
def test_invalid_bundle_exits_with_one_sentence(
    main: Main, tmp_path: Path, name: str, complaint: str, *, is_written: bool
) -> None:
    (tmp_path / "package.tar").touch()
    (tmp_path / "empty.zip").touch()
    complaint = complaint.format(path=tmp_path / name)
    written, given = (f'code = "{name}"', {}) if is_written else ("", {"code": str(tmp_path / name)})
    with pytest.raises(SystemExit) as caught:
        main(PARTNER + written, **given)
    assert caught.value.code == (
        f'partner.toml: {complaint}. Write code = "package.zip"'
        if is_written
        else f"{complaint}. Set it with -c code=package.zip"
    )


def test_example_file_lists_every_key_and_sets_none() -> None:
    text = (REPOSITORY / "partner.example.toml").read_text()
    assert tomllib.loads(text) == {}
    lines = [line.removeprefix("# ") for line in text.splitlines() if " = " in line]
    keys = tomllib.loads("\n".join(lines))
    assert list(keys) == list(partner_file.EXAMPLES)
    texts = {key: partner_file.as_text(Path(), key, keys[key]) for key in partner_file.DEFAULTS}
    assert texts == partner_file.DEFAULTS
