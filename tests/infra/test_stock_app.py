"""`app.py`: from context to a template, from any directory; and what it says when a value is wrong."""

import inspect
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Unpack, get_args, get_origin, get_type_hints

import aws_cdk as cdk
import pytest
from aws_cdk import cx_api

from cdk_s3_to_sftp import InvalidArgument, S3ToSftpStack, SftpServer, bundle_builder, partner_file
from cdk_s3_to_sftp.archive import write_zip
from cdk_s3_to_sftp.bundling import find_source
from cdk_s3_to_sftp.stack_arguments import StackArguments, stack_parameters
from s3_to_sftp import configured_by
from tests.infra.conftest import REPOSITORY, X86_64, load_script, new_app
from tests.support.infra.keys import ECDSA, ED25519

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
"""The environment's Node before the machine's own, as in the Makefile."""

GIVEN = {"ssh_host": "sftp.partner.example", "ssh_host_key": ED25519}

Main = Callable[..., dict[str, Any]]


@pytest.fixture
def stock_app() -> ModuleType:
    return load_script(REPOSITORY / "app.py")


@pytest.fixture
def main(stock_app: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Main:
    """Runs the app with this partner.toml, and this context in place of the CLI's.

    Returns the template of the only stack, with the stack's name and warnings.
    """

    def run(written: str = "", /, **context: Any) -> dict[str, Any]:
        # The CLI's context reaches an app through the environment, which Node has read long ago.
        real = cdk.App

        def app(*, context: dict[str, Any], **arguments: Any) -> cdk.App:
            return real(context={**context, **given}, outdir=str(tmp_path), **arguments)

        given = {"aws:cdk:bundling-stacks": [], **context}
        (tmp_path / "cdk.json").write_text((REPOSITORY / "cdk.json").read_text())
        (tmp_path / "partner.toml").write_text(written)
        monkeypatch.setattr(stock_app, "__file__", str(tmp_path / "app.py"))
        monkeypatch.setattr(stock_app.cdk, "App", app)
        stock_app.main()
        (template,) = tmp_path.glob("*.template.json")
        name = template.name.partition(".")[0]
        assembly = cx_api.CloudAssembly(str(tmp_path))
        warnings = [
            each.entry.data
            for each in assembly.get_stack_by_name(name).messages
            if each.level is cx_api.SynthesisMessageLevel.WARNING
        ]
        return {"name": name, "warnings": warnings, **json.loads(template.read_text())}

    return run


def function_in(template: dict[str, Any]) -> dict[str, Any]:
    handlers = [
        each["Properties"] for each in template["Resources"].values() if "Handler" in each["Properties"]
    ]
    function: dict[str, Any]
    (function,) = [each for each in handlers if each["Handler"].startswith("s3_to_sftp.")]
    return function


def test_two_values_are_enough(main: Main) -> None:
    template = main(**GIVEN)
    assert template["name"] == "S3ToSftp"
    variables = function_in(template)["Environment"]["Variables"]
    assert {name: value for name, value in variables.items() if isinstance(value, str)} == {
        "SSH_HOST": "sftp.partner.example",
        "SSH_PORT": "22",
        "SSH_HOST_KEY": ED25519,
        "SSH_MAX_CONNECTIONS": "1",
        "RETRY_FOR_SECONDS": "86400",
        "RECEIPTS_FOR_SECONDS": "34560000",
        configured_by.VARIABLE: configured_by.PARTNER_FILE,
    }


def test_every_value_has_its_effect(main: Main) -> None:
    template = main(
        **GIVEN,
        ssh_port="2222",
        ssh_dir="/inbox",
        prefix="outgoing/",
        suffix=".csv",
        memory_size="1024",
        max_connections="5",
        retry_for_hours="72",
        alarm_topic="arn:aws:sns:eu-west-1:123456789012:on-call",
        architecture="arm64",
        bundling="docker",
        stack_name="Bank",
    )
    function = function_in(template)
    assert template["name"] == "Bank"
    assert function["Environment"]["Variables"]["SSH_PORT"] == "2222"
    assert function["Environment"]["Variables"]["SSH_DIR"] == "/inbox"
    assert function["Environment"]["Variables"]["RETRY_FOR_SECONDS"] == "259200"
    assert (function["MemorySize"], function["Architectures"]) == (1024, ["arm64"])
    text = json.dumps(template["Resources"])
    assert '"SSH_MAX_CONNECTIONS": "2"' in text
    assert '"AlarmActions": ["arn:aws:sns:eu-west-1:123456789012:on-call"]' in text
    assert '{"Name": "suffix", "Value": ".csv"}, {"Name": "prefix", "Value": "outgoing/"}' in text


@pytest.mark.parametrize("separator", ["\n", ",", ", ", "\n\n"])
def test_several_host_keys_can_be_given_in_one_value(main: Main, separator: str) -> None:
    template = main(ssh_host="sftp.partner.example", ssh_host_key=f"{ED25519}{separator}{ECDSA}")
    assert function_in(template)["Environment"]["Variables"]["SSH_HOST_KEY"] == f"{ED25519}\n{ECDSA}"


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"ssh_host": ""}, "ssh_host is not set. Set it with -c ssh_host=sftp.partner.example"),
        (
            {"ssh_host": "sftp://partner"},
            "ssh_host must be a bare name or address such as sftp.partner.example (no sftp://, no user@, "
            "no :port, no path), got 'sftp://partner'. Set it with -c ssh_host=sftp.partner.example",
        ),
        ({"ssh_port": "0"}, "ssh_port must be 1-65535, got 0. Set it with -c ssh_port=22"),
        ({"ssh_port": "ssh"}, "ssh_port must be a whole number, got 'ssh'. Set it with -c ssh_port=22"),
        ({"ssh_port": ""}, "ssh_port is not set. Set it with -c ssh_port=22"),
        (
            {"ssh_dir": "in\nbox"},
            "ssh_dir must be a remote path such as /inbox (leave it out for the login directory), got "
            "'in\\nbox'. Set it with -c ssh_dir=/inbox",
        ),
        (
            {"ssh_host_key": ""},
            "ssh_host_key must contain at least one public key of the server, got none: without it nobody "
            "can tell the partner from an impostor. Print the keys with 'ssh-keyscan -p 22 "
            "sftp.partner.example', take type and key (the second and third word of a line), and verify "
            "the fingerprint ('ssh-keygen -lf FILE') with the partner out of band. "
            'Set it with -c ssh_host_key="ssh-ed25519 AAAA..."',
        ),
        (
            {"ssh_host_key": "ssh-rsa"},
            "ssh_host_key must be of the form 'type base64', got only the type 'ssh-rsa'. "
            'Set it with -c ssh_host_key="ssh-ed25519 AAAA..."',
        ),
        (
            {"prefix": "out/*"},
            "prefix must not contain '*': S3 compares it literally, got 'out/*'; remove the '*'. "
            "Set it with -c prefix=outgoing/",
        ),
        (
            {"suffix": "*.csv"},
            "suffix must not contain '*': S3 compares it literally, got '*.csv'; remove the '*'. "
            "Set it with -c suffix=.csv",
        ),
        ({"memory_size": "64"}, "memory_size must be 128-10240 MB, got 64. Set it with -c memory_size=512"),
        ({"max_connections": "0"}, "max_connections must be 1-128, got 0. Set it with -c max_connections=2"),
        (
            {"retry_for_hours": "73"},
            "retry_for_hours must be 1-72 hours, got 73. Set it with -c retry_for_hours=24",
        ),
        (
            {"alarm_topic": "on-call"},
            "alarm_topic must be the ARN of an SNS topic, as 'aws sns list-topics' prints it, got 'on-call'. "
            "Set it with -c alarm_topic=arn:aws:sns:eu-west-1:123456789012:on-call",
        ),
        (
            {"architecture": "aarch64"},
            "architecture must be one of x86_64, arm64, got 'aarch64'. Set it with -c architecture=x86_64",
        ),
        (
            {"bundling": "podman"},
            "bundling must be one of auto, local, docker, got 'podman'. Set it with -c bundling=auto",
        ),
        ({"stack_name": ""}, "stack_name is not set. Set it with -c stack_name=S3ToSftp"),
    ],
    ids=lambda value: (
        " ".join(f"{key}={given}" for key, given in value.items()) if isinstance(value, dict) else None
    ),
)
def test_a_wrong_value_ends_in_one_sentence_that_names_its_key(
    main: Main, context: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(**{**GIVEN, **context})
    assert caught.value.code == sentence


def test_a_bundle_that_cannot_be_built_ends_in_the_reason(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*arguments: object) -> None:
        raise bundle_builder.CannotBuild("there is no network.")

    monkeypatch.setattr(bundle_builder, "build", cannot)
    with pytest.raises(
        SystemExit, match=r"(?s)^Failed to bundle asset S3ToSftp/.*there is no network\.\n.*bundling-stacks"
    ):
        main(**GIVEN, bundling="local", **{"aws:cdk:bundling-stacks": ["**"]})


def test_a_missing_value_ends_the_process_without_a_traceback(tmp_path: Path) -> None:
    app = shutil.copy(REPOSITORY / "app.py", tmp_path)
    shutil.copy(REPOSITORY / "cdk.json", tmp_path)
    done = subprocess.run(
        [sys.executable, app],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        'ssh_host is not set. Write ssh_host = "sftp.partner.example" into partner.toml, or set it with '
        "-c ssh_host=sftp.partner.example\n",
    )


PARTNER = f"""
ssh_host = "sftp.partner.example"
ssh_port = 2222
ssh_dir = "/inbox"
ssh_host_key = ["{ED25519}", "{ECDSA}"]
prefix = "outgoing/"
stack_name = "Bank"
"""


def test_file_of_the_partner_is_all_that_is_needed(main: Main) -> None:
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


def test_new_host_key_on_the_command_line_leaves_the_directory_as_it_is(main: Main) -> None:
    template = main(PARTNER, ssh_host_key=ECDSA)
    variables = function_in(template)["Environment"]["Variables"]
    assert (variables["SSH_DIR"], variables["SSH_HOST_KEY"]) == ("/inbox", ECDSA)


def test_context_overrides_the_file_and_it_is_said_that_this_is_not_kept(main: Main) -> None:
    template = main(PARTNER, ssh_dir="/other", ssh_host="new.partner.example", prefix="", ssh_port="2222")
    variables = function_in(template)["Environment"]["Variables"]
    assert (variables["SSH_DIR"], variables["SSH_HOST"]) == ("/other", "new.partner.example")
    (warning,) = template["warnings"]
    assert warning.startswith(
        "For this command only, ssh_host is 'new.partner.example' in place of 'sftp.partner.example'; "
        "ssh_dir is '/other' in place of '/inbox'; prefix is '' in place of 'outgoing/'. The next deployment"
    )


def test_several_patterns_of_an_authority_stay_together_in_the_file(main: Main) -> None:
    line = f"@cert-authority *.partner.example,10.0.0.? {ED25519}"
    template = main(f'ssh_host = "sftp.partner.example"\nssh_host_key = "{line}"')
    assert function_in(template)["Environment"]["Variables"]["SSH_HOST_KEY"] == line


def test_byte_order_mark_of_windows_editors_does_not_matter(main: Main) -> None:
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
            "ssh_directory = 1",
            "partner.toml: unknown key ssh_directory: did you mean ssh_dir? Known keys are ssh_host, "
            "ssh_port, "
            "ssh_dir, ssh_host_key, prefix, suffix, former_prefixes, memory_size, max_connections, "
            "retry_for_hours, alarm_topic, architecture, bundling, code, stack_name",
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
def test_wrong_value_in_the_file_is_told_with_file_and_key(main: Main, line: str, sentence: str) -> None:
    key = line.partition(" ")[0]
    context = {name: value for name, value in GIVEN.items() if name != key}
    with pytest.raises(SystemExit) as caught:
        main(line, **context)
    assert caught.value.code == sentence


def test_second_partner_has_a_file_and_a_stack_of_its_own(main: Main, tmp_path: Path) -> None:
    file = tmp_path / "insurer.toml"
    file.write_text(PARTNER.replace("Bank", "Insurer"))
    assert main(partner=str(file))["name"] == "Insurer"


def test_second_partner_without_a_stack_name_is_refused(main: Main, tmp_path: Path) -> None:
    file = tmp_path / "insurer.toml"
    file.write_text(PARTNER.replace('stack_name = "Bank"', ""))
    with pytest.raises(SystemExit, match=r"^insurer\.toml: stack_name is not set\. A second partner needs"):
        main(partner=str(file))


def test_missing_file_of_a_partner_is_named(main: Main) -> None:
    with pytest.raises(SystemExit, match=r"^There is no file bnak\.toml, which -c partner= names"):
        main(partner="bnak.toml")


def readable(template: dict[str, Any]) -> list[str]:
    """What the function may read, below the bucket."""
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
def test_what_waits_of_a_former_prefix_can_be_read(main: Main, line: str, prefixes: list[str]) -> None:
    template = main(PARTNER + line)
    assert readable(template) == prefixes
    (notifications,) = (
        each["Properties"]["NotificationConfiguration"]
        for each in template["Resources"].values()
        if each["Type"] == "Custom::S3BucketNotifications"
    )
    assert "old" not in json.dumps(notifications)


def test_former_prefixes_on_the_command_line_are_not_kept(main: Main) -> None:
    template = main(PARTNER, former_prefixes="old/, older/")
    assert readable(template) == ["/old/*", "/older/*", "/outgoing/*"]
    (warning,) = template["warnings"]
    assert warning.startswith("For this command only, former_prefixes is 'old/, older/'. The next")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle as the recipe makes it, but for the dependencies."""
    monkeypatch.setattr(bundle_builder, "_install", lambda lock, output, target: None)
    monkeypatch.setattr(bundle_builder, "_compile", lambda output, target: None)
    bundle_builder.build(find_source(), tmp_path / "bundle", X86_64)
    write_zip(tmp_path / "bundle", tmp_path / "package.zip")
    return tmp_path / "package.zip"


def code_key(template: dict[str, Any]) -> str:
    return str(function_in(template)["Code"]["S3Key"])


def test_bundle_of_the_file_lies_beside_it(
    main: Main, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert bundle_builder.fingerprint(find_source(), X86_64) not in code_key(
        main(PARTNER + 'code = "package.zip"')
    )


def test_bundle_on_the_command_line_is_seen_from_where_it_is_typed(
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
            "code must be a bundle as `python -m cdk_s3_to_sftp.package` writes it, got {path}, which does "
            "not exist",
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
def test_wrong_bundle_ends_in_one_sentence(
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


def alternatives(hint: Any) -> set[Any]:
    """What a union is made of, whether typing or collections.abc wrote it."""
    return {get_origin(each) or each for each in get_args(hint)}


def test_stack_names_every_argument_of_cdks_stack() -> None:
    assert stack_parameters() <= set(StackArguments.__annotations__)
    ours, theirs = get_type_hints(StackArguments), get_type_hints(cdk.Stack.__init__)
    for name in stack_parameters():
        assert alternatives(ours[name]) == alternatives(theirs[name]), name
    parameters = inspect.signature(vars(S3ToSftpStack)["__init__"]).parameters
    assert not set(parameters) & set(StackArguments.__annotations__)


@pytest.mark.parametrize(
    ("keyword", "meant"),
    [
        ("termination_protected", "did you mean termination_protection?"),
        ("maximum_connections", "did you mean max_connections?"),
    ],
)
def test_wrong_keyword_of_the_stack_is_refused_in_one_sentence(keyword: str, meant: str) -> None:
    wrong: dict[str, Any] = {keyword: True}
    app = new_app()
    with pytest.raises(InvalidArgument) as caught:
        S3ToSftpStack(app, "Bank", server=SftpServer("sftp.partner.example", host_keys=[ED25519]), **wrong)
    assert str(caught.value) == f"{keyword} is not an argument of S3ToSftpStack or aws_cdk.Stack: {meant}"
    assert app.node.try_find_child("Bank") is None


def test_type_checkers_know_the_keywords_of_the_stack() -> None:
    """PEP 692: `Unpack` of the TypedDict, in place of `Any`, makes them refuse a wrong keyword or type."""
    hints = get_type_hints(vars(S3ToSftpStack)["__init__"].__wrapped__)
    assert hints["stack"] == Unpack[StackArguments]


def test_file_that_is_shipped_names_every_key_and_sets_none() -> None:
    text = (REPOSITORY / "partner.example.toml").read_text()
    assert tomllib.loads(text) == {}
    lines = [line.removeprefix("# ") for line in text.splitlines() if " = " in line]
    keys = tomllib.loads("\n".join(lines))
    assert list(keys) == list(partner_file.EXAMPLES)
    assert {key: str(keys[key]) for key in partner_file.DEFAULTS} == partner_file.DEFAULTS


def test_cdk_json_holds_flags_alone() -> None:
    """The CLI hands on what it holds as if it had been typed: no default of ours may look like that."""
    context = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    assert [key for key in context if not key.startswith("@aws-cdk")] == []


def test_cdk_synth_gives_the_same_template_from_every_directory(tmp_path: Path) -> None:
    cli = REPOSITORY / "node_modules" / ".bin" / "cdk"
    if not cli.exists():
        pytest.skip("the CDK CLI is not installed (make setup)")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    partner = tmp_path / "partner.toml"  # the checkout may have one, too
    partner.write_text('stack_name = "S3ToSftp"')
    here = synth(cli, tmp_path / "one.out", f"--context=partner={partner}", cwd=REPOSITORY)
    # With the bundle of the first. If it were not the one that is wanted there would be two afterwards.
    for asset in (tmp_path / "one.out").glob("asset.*/"):
        shutil.copytree(asset, tmp_path / "two.out" / asset.name)
    options = [f"--app={sys.executable} {REPOSITORY / 'app.py'}", f"--context=partner={partner}"]
    there = synth(cli, tmp_path / "two.out", *options, cwd=elsewhere)
    assert here == there
    assert list(elsewhere.iterdir()) == []


def synth(cli: Path, output: Path, *options: str, cwd: Path, **variables: str) -> str:
    given = [f"--context={key}={value}" for key, value in GIVEN.items()]
    done = subprocess.run(
        [str(cli), "synth", "--quiet", "--no-notices", f"--output={output}", *options, *given],
        cwd=cwd,
        env={**os.environ, "PATH": PATH, "CDK_DISABLE_CLI_TELEMETRY": "true", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (asset,) = (each for each in output.glob("asset.*") if each.is_dir())
    assert (asset / "s3_to_sftp" / "handler.py").is_file()
    return (output / "S3ToSftp.template.json").read_text()
