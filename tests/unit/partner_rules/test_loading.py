"""Where a function finds the partner's rules, and that one without rules loads none of their code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from s3_to_sftp.app import build_app
from s3_to_sftp.delivery.former_rules import FormerRules
from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.rules.delivery_rules import Case, DeliveryRules
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from s3_to_sftp.rules.execution import RulesExecution
from s3_to_sftp.rules.rule_set import RuleSet, read_document
from s3_to_sftp.rules.window import Window
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.settings import Settings
from s3_to_sftp.telemetry import LambdaTelemetry

ENVIRONMENT = {
    "SSH_HOST": "sftp.partner.example",
    "SSH_PORT": "22",
    "SSH_USERNAME": "u",
    "SSH_PASSWORD": "p",
    "LEDGER_TABLE": "ledger",
}
UPPER = DeliveryRules(name="{name}", case=Case.UPPER)
DOCUMENT = RulesDocument(partner=DeliveryRules(name="P_{name}"), sources={"1": UPPER})

LOADS = """
import sys
from s3_to_sftp import handler
from s3_to_sftp.app import build_app
from s3_to_sftp.settings import Settings
settings = Settings.from_environment({environment!r})
build_app(settings, telemetry=handler.telemetry, new_client=lambda *_args, **_options: None)
of_limits = ("s3_to_sftp.sftp.pace", "s3_to_sftp.state.bandwidth")
rules = [name for name in sys.modules if name.startswith("s3_to_sftp.rules") or name == "zoneinfo"]
print([*rules, *(name for name in of_limits if name in sys.modules)])
"""


def layer(folder: Path, text: str | None = None) -> Path:
    file = folder / PACKAGE / FILE
    file.parent.mkdir(parents=True)
    file.write_text(DOCUMENT.as_text() if text is None else text)
    return folder


def test_function_without_rules_loads_none_of_their_code() -> None:
    script = LOADS.format(environment=ENVIRONMENT)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_function_whose_rules_encrypt_nothing_loads_nothing_of_openpgp(tmp_path: Path) -> None:
    script = LOADS.format(environment={**ENVIRONMENT, "SSH_RULES": DOCUMENT.digest})
    script += "print([name for name in sys.modules if 'open_pgp_stream' in name or 'pysequoia' in name])"
    path = {**os.environ, "PYTHONPATH": str(layer(tmp_path))}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=path)
    loaded, of_openpgp = run.stdout.splitlines()
    assert "s3_to_sftp.rules.execution" in loaded
    assert of_openpgp == "[]"


@pytest.mark.parametrize("module", ["after_actions", "after_execution", "filtered_objects"])
def test_function_loads_only_what_its_rules_need(tmp_path: Path, module: str) -> None:
    folder = layer(tmp_path)
    script = f"import sys; sys.path.insert(0, {str(folder)!r})\n" + LOADS.format(
        environment={**ENVIRONMENT, "SSH_RULES": DOCUMENT.digest}
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "s3_to_sftp.rules.execution" in run.stdout
    assert f"s3_to_sftp.rules.{module}" not in run.stdout


RULES_LOAD = """
import sys
from s3_to_sftp import handler
from s3_to_sftp.app import build_app
from s3_to_sftp.settings import Settings
sys.path.insert(0, {layer!r})
settings = Settings.from_environment({environment!r})
build_app(settings, telemetry=handler.telemetry, new_client=lambda *_args, **_options: None)
names = ("partner_hours", "drops")
print([name for name in names if f"s3_to_sftp.rules.{{name}}" in sys.modules])
"""


@pytest.mark.parametrize(
    ("document", "loaded"),
    [
        (DOCUMENT, "[]"),
        (
            RulesDocument(partner=DeliveryRules(windows=[Window("Sat")]), sources={}),
            "['partner_hours', 'drops']",
        ),
    ],
)
def test_code_of_windows_is_loaded_where_rules_have_some(
    document: RulesDocument, loaded: str, tmp_path: Path
) -> None:
    folder = layer(tmp_path, document.as_text())
    environment = {
        **ENVIRONMENT,
        "SSH_RULES": document.digest,
        "QUEUE_URL": "q",
        "DEAD_LETTER_QUEUE_URL": "d",
    }
    script = RULES_LOAD.format(environment=environment, layer=str(folder))
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == loaded


def test_windows_need_a_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = RulesDocument(partner=DeliveryRules(windows=[Window("Sat")]), sources={})
    monkeypatch.syspath_prepend(str(layer(tmp_path, document.as_text())))
    with pytest.raises(ConfigurationError, match="windows, holidays and max_drops need a queue"):
        app_with({"SSH_RULES": document.digest})


def test_bandwidth_needs_a_ledger() -> None:
    with pytest.raises(ConfigurationError, match="SSH_MAX_BYTES_PER_SECOND needs a ledger"):
        app_with({"SSH_MAX_BYTES_PER_SECOND": "1000000", "LEDGER_TABLE": ""})


def app_with(environment: dict[str, str]) -> Any:
    settings = Settings.from_environment({**ENVIRONMENT, **environment})
    return build_app(settings, telemetry=LambdaTelemetry(), new_client=lambda *_args, **_options: None)


def test_rules_are_found_where_layers_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(layer(tmp_path)))
    assert app_with({"SSH_RULES": DOCUMENT.digest}).runner is not None


def test_missing_layer_is_told() -> None:
    with pytest.raises(ConfigurationError, match="no layer of the function has"):
        app_with({"SSH_RULES": DOCUMENT.digest})


def test_other_rules_than_those_of_the_deployment_are_refused(tmp_path: Path) -> None:
    other = RulesDocument(partner=UPPER, sources={})
    with pytest.raises(ConfigurationError, match=other.digest):
        read_document(DOCUMENT.digest, path=[str(layer(tmp_path, other.as_text()))])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 9}', '{"format": 1, "partner": {"name": "x"}}'])
def test_unreadable_rules_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_document("x", path=[str(layer(tmp_path, text))])


def test_rules_need_a_ledger() -> None:
    with pytest.raises(ConfigurationError, match="SSH_RULES needs a ledger"):
        app_with({"SSH_RULES": DOCUMENT.digest, "LEDGER_TABLE": ""})


def test_source_has_its_own_rules_and_others_those_of_the_partner() -> None:
    sources = [SourceDirectory(bucket="b", prefix="own/", directory="/own", rules="1")]
    rules = RuleSet(DOCUMENT, directory="/in", sources=sources)
    now = 0.0
    own, other = (rules.of(ObjectRef(bucket="b", key=key)) for key in ("own/a.csv", "a.csv"))
    refs = [ObjectRef(bucket="b", key=key) for key in ("own/a.csv", "a.csv")]
    paths = [each.path_without_asking(ref, now=now) for each, ref in zip((own, other), refs, strict=True)]
    assert paths == ["/own/A.CSV", "/in/P_a.csv"]
    assert own.fingerprint != other.fingerprint


def test_source_whose_rules_are_missing_is_refused() -> None:
    sources = [SourceDirectory(bucket="b", rules="2")]
    with pytest.raises(ConfigurationError, match="rules '2'"):
        RuleSet(DOCUMENT, directory="", sources=sources)


def test_fingerprint_follows_rules_directory_and_prefix() -> None:
    ref = ObjectRef(bucket="b", key="own/a.csv")

    def fingerprint(document: RulesDocument, directory: str, prefix: str) -> str:
        sources = [SourceDirectory(bucket="b", prefix=prefix)]
        return RuleSet(document, directory=directory, sources=sources).of(ref).fingerprint

    other = RulesDocument(partner=UPPER, sources={})
    given = [(DOCUMENT, "/in", ""), (other, "/in", ""), (DOCUMENT, "/out", ""), (DOCUMENT, "/in", "own/")]
    assert len({fingerprint(*each) for each in given}) == len(given)


def test_function_whose_rules_were_removed_finishes_what_they_have_begun() -> None:
    execution = app_with({}).runner._delivery._execution
    assert isinstance(execution, FormerRules)
    assert isinstance(execution._former(), RulesExecution)
