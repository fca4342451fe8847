"""A partner's rules reach the function in a layer, and nothing else of the template depends on them."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template

from cdk_s3_to_sftp import (
    Companion,
    DeliverToSftp,
    DeliveryRules,
    InvalidArgument,
    Sequence,
    SftpServer,
    Source,
)
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from tests.infra.conftest import REPOSITORY, new_app
from tests.infra.templates import delivery_function, new_delivery
from tests.support.infra.delivery_rules import DATED, NUMBERED, TAGGED, Synthesised, bucket, partner
from tests.support.infra.keys import ED25519


class TestLayer:
    def test_construct_without_rules_has_neither_layer_nor_variable(self, default_template: Template) -> None:
        default_template.resource_count_is("AWS::Lambda::LayerVersion", 0)
        default_template.has_resource_properties(
            "AWS::Lambda::Function",
            {"Layers": Match.absent(), "Environment": {"Variables": {"SSH_RULES": Match.absent()}}},
        )

    def test_rules_of_the_partner_are_in_a_layer_of_the_function(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(DATED), bucket=bucket(stack))
        done = Synthesised(stack)
        assert done.document == RulesDocument(partner=DATED, sources={})
        assert done.settings.rules == done.document.digest
        (layer,) = done.resources("AWS::Lambda::LayerVersion")
        assert delivery_function(stack)["Layers"] == [{"Ref": layer}]

    def test_document_is_written_as_the_rules_write_it(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(TAGGED), bucket=bucket(stack))
        assert Synthesised(stack).rules_file.read_bytes() == (
            RulesDocument(partner=TAGGED, sources={}).as_text().encode()
        )

    def test_function_that_owns_nothing_can_read_the_file(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(DATED), bucket=bucket(stack))
        with umask(0o077):
            file = Synthesised(stack).rules_file
        assert stat.S_IMODE(file.stat().st_mode) == 0o644

    def test_rules_of_sources_have_names_in_the_order_of_the_sources(self, stack: cdk.Stack) -> None:
        theirs = bucket(stack)
        delivery = new_delivery(stack, server=partner(DATED))
        delivery.add_source(theirs, prefix="a/")
        delivery.add_source(theirs, prefix="b/", rules=NUMBERED, directory="/b")
        delivery.add_source(theirs, prefix="c/", rules=TAGGED)
        delivery.add_source(theirs, prefix="d/", rules=NUMBERED)
        done = Synthesised(stack)
        assert done.document == RulesDocument(partner=DATED, sources={"1": NUMBERED, "2": TAGGED})
        assert done.settings.sources == (
            SourceDirectory(bucket="one", prefix="a/"),
            SourceDirectory(bucket="one", prefix="b/", directory="/b", rules="1"),
            SourceDirectory(bucket="one", prefix="c/", rules="2"),
            SourceDirectory(bucket="one", prefix="d/", rules="1"),
        )

    def test_source_may_have_rules_where_the_partner_has_none(self, stack: cdk.Stack) -> None:
        new_delivery(stack, sources=[Source(bucket(stack), rules=DATED)])
        done = Synthesised(stack)
        assert done.document == RulesDocument(partner=None, sources={"1": DATED})
        assert done.settings.rules == done.document.digest

    def test_default_rules_of_a_source_replace_those_of_the_partner(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(DATED), sources=[Source(bucket(stack), rules=DeliveryRules())])
        done = Synthesised(stack)
        assert done.document.sources == {"1": DeliveryRules()}
        assert done.settings.sources == (SourceDirectory(bucket="one", rules="1"),)

    def test_former_source_keeps_its_rules(self, stack: cdk.Stack) -> None:
        theirs = bucket(stack)
        delivery = new_delivery(stack, server=partner(DATED))
        delivery.add_former_source(theirs, prefix="2026/", rules=NUMBERED)
        delivery.add_source(theirs, prefix="2027/")
        done = Synthesised(stack)
        assert done.document.sources == {"1": NUMBERED}
        assert SourceDirectory(bucket="one", prefix="2026/", rules="1", former=True) in done.settings.sources

    def test_mixin_passes_the_rules_on(self, stack: cdk.Stack) -> None:
        DeliverToSftp("Delivery", server=partner(DATED)).apply_to(s3.Bucket(stack, "Theirs"))
        assert Synthesised(stack).document.partner == DATED

    def test_only_the_last_state_of_the_rules_is_uploaded(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack, server=partner(DATED))
        delivery.add_source(bucket(stack, "one"), rules=NUMBERED)
        delivery.add_source(bucket(stack, "two"), rules=TAGGED)
        assert len(Synthesised(stack).assets) == 1

    def test_source_that_is_added_after_a_synth_has_its_rules(self, stack: cdk.Stack) -> None:
        app = stack.node.root
        assert isinstance(app, cdk.App)
        delivery = new_delivery(stack, server=partner(DATED), bucket=bucket(stack))
        first = Synthesised(stack).document
        delivery.add_source(bucket(stack, "two"), rules=NUMBERED)
        app.synth(force=True)
        template = json.loads(Path(app.outdir, "Test.template.json").read_text())
        (layer,) = [e for e in template["Resources"].values() if e["Type"] == "AWS::Lambda::LayerVersion"]
        asset = Path(app.outdir, f"asset.{layer['Properties']['Content']['S3Key'].removesuffix('.zip')}")
        written = RulesDocument.from_text((asset / "python" / PACKAGE / FILE).read_text())
        assert (first.sources, written.sources) == ({}, {"1": NUMBERED})

    def test_file_stays_where_cdk_copies_no_assets(self) -> None:
        stack = cdk.Stack(new_app(**{"aws:cdk:disable-asset-staging": True}), "Test")
        new_delivery(stack, server=partner(DATED), bucket=bucket(stack))
        done = Synthesised(stack)
        files = json.loads((done.directory / "Test.assets.json").read_text())["files"].values()
        (asset,) = [Path(each["source"]["path"]) for each in files if "rules" in each["source"]["path"]]
        assert RulesDocument.from_text((asset / "python" / PACKAGE / FILE).read_text()).partner == DATED

    def test_nothing_is_left_in_the_temporary_directory(
        self, stack: cdk.Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[Path] = []
        make = cdk.FileSystem.mkdtemp

        def noted(prefix: str) -> str:
            made.append(Path(make(prefix)))
            return str(made[-1])

        monkeypatch.setattr(cdk.FileSystem, "mkdtemp", noted)
        new_delivery(stack, server=partner(DATED), bucket=bucket(stack))
        assert Synthesised(stack).document.partner == DATED
        assert [path.exists() for path in made] == [False]

    def test_layers_of_the_user_are_kept(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack)
        theirs = [f"arn:aws:lambda:eu-west-1:123456789012:layer:theirs:{number}" for number in range(4)]
        for number, arn in enumerate(theirs):
            layer = lambda_.LayerVersion.from_layer_version_arn(stack, f"Layer{number}", arn)
            delivery.function.add_layers(layer)
        delivery.add_source(bucket(stack), rules=DATED)
        (ours,) = Synthesised(stack).resources("AWS::Lambda::LayerVersion")
        assert delivery_function(stack)["Layers"] == [*theirs, {"Ref": ours}]

    def test_rules_larger_than_the_environment_fit(self, stack: cdk.Stack) -> None:
        large = DeliveryRules(companions=[Companion.document("{name}.xml", "<x>{name}</x>\n" * 1000)])
        new_delivery(stack, server=partner(large), bucket=bucket(stack))
        done = Synthesised(stack)
        assert done.document.partner == large
        assert len(done.rules_file.read_bytes()) > 4096
        assert sum(len(str(value)) for value in done.variables.values()) < 4096

    def test_layer_of_the_longest_host_has_a_description_that_fits(self, stack: cdk.Stack) -> None:
        host = ".".join(["a" * 63] * 4)[:253]
        server = SftpServer(host, host_keys=[ED25519], rules=DATED)
        new_delivery(stack, server=server, bucket=bucket(stack))
        (layer,) = Synthesised(stack).resources("AWS::Lambda::LayerVersion").values()
        assert len(layer["Properties"]["Description"]) == 256

    def test_sources_with_rules_are_told_where_not_all_fit(self, stack: cdk.Stack) -> None:
        delivery, theirs = new_delivery(stack), bucket(stack)
        for number in range(90):
            delivery.add_source(theirs, prefix=f"department-of-very-long-names-{number}/")
        delivery.add_source(theirs, prefix="other/", rules=DATED)
        assert Synthesised(stack).settings.sources == (
            SourceDirectory(bucket="one", prefix="other/", rules="1"),
        )

    @pytest.mark.parametrize(
        ("name", "is_needed"), [("{relative_key}", True), ("{relative_folder}{name}", True), ("{key}", False)]
    )
    def test_prefixes_that_names_leave_out_are_told_where_not_all_fit(
        self, stack: cdk.Stack, name: str, *, is_needed: bool
    ) -> None:
        delivery = new_delivery(stack, server=partner(DeliveryRules(name=name)))
        for number in range(70):
            theirs = bucket(stack, f"a-bucket-with-a-name-that-is-rather-long-for-a-bucket-{number}")
            delivery.add_source(theirs, prefix="out/" if number < 9 else None)
        told = Synthesised(stack).settings.sources
        assert [source.prefix for source in told] == ["out/"] * (9 if is_needed else 0)

    def test_too_many_sources_with_rules_fail_at_synth(self, app: cdk.App, stack: cdk.Stack) -> None:
        delivery, theirs = new_delivery(stack), bucket(stack)
        for number in range(90):
            delivery.add_source(theirs, prefix=f"department-of-very-long-names-{number}/", rules=DATED)
        with pytest.raises(
            RuntimeError, match=r"the directories and rules of its sources .* need \d{4} bytes"
        ):
            app.synth()


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def synthesised_with(rules: DeliveryRules | None) -> Synthesised:
    stack = cdk.Stack(new_app(), "Test")
    new_delivery(stack, server=partner(rules), bucket=bucket(stack))
    return Synthesised(stack)


class TestChanges:
    def test_change_of_a_rule_changes_only_the_layer_and_the_functions_variable(self) -> None:
        before, after = synthesised_with(DATED).template, synthesised_with(NUMBERED).template
        changed = {
            (each["Type"], name)
            for resource, each in before["Resources"].items()
            for name, value in each["Properties"].items()
            if value != after["Resources"][resource]["Properties"][name]
        }
        assert changed == {
            ("AWS::Lambda::LayerVersion", "Content"),
            ("AWS::Lambda::Function", "Environment"),
        }
        assert before["Resources"].keys() == after["Resources"].keys()

    def test_first_rule_adds_the_layer_and_changes_only_the_function(self) -> None:
        before, after = synthesised_with(None).template, synthesised_with(DATED).template
        added = after["Resources"].keys() - before["Resources"].keys()
        assert [after["Resources"][name]["Type"] for name in added] == ["AWS::Lambda::LayerVersion"]
        changed = {
            each["Type"]: each["Properties"]["Code"] == after["Resources"][name]["Properties"]["Code"]
            for name, each in before["Resources"].items()
            if each != after["Resources"][name]
        }
        assert changed == {"AWS::Lambda::Function": True}

    def test_change_of_what_is_only_for_people_changes_nothing(self) -> None:
        one = DeliveryRules(name="{name}.csv", source="first page", examples=["a"])
        other = DeliveryRules(name="{name}.csv", source="second page", examples=["b"])
        assert synthesised_with(one).template == synthesised_with(other).template

    def test_synth_is_the_same_in_every_process(self, tmp_path: Path) -> None:
        script = (
            "import aws_cdk as cdk\n"
            "from tests.infra.test_delivery_rules import TAGGED, synthesised_with\n"
            "print(synthesised_with(TAGGED).rules_file.parents[2].name)\n"
        )
        names = {
            subprocess.run(
                [sys.executable, "-c", script],
                cwd=REPOSITORY,
                env={
                    **os.environ,
                    "CDK_VALIDATION": "false",  # takes longer than all the rest
                    "TMPDIR": str(tmp_path),
                    "PYTHONHASHSEED": seed,
                    "TZ": zone,
                },
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
        }
        assert len(names) == 1


def two_sequences(stack: cdk.Stack, directories: tuple[str, ...] = ("/in", "/in")) -> list[Source]:
    store = bucket(stack)
    rules = DeliveryRules(name="PAY_{sequence:04d}.csv", sequence=Sequence())
    return [
        Source(
            store,
            prefix=f"{name}/",
            directory=directory,
            rules=replace(rules, sequence=Sequence(name=name)),
        )
        for name, directory in zip(("one", "two"), directories, strict=True)
    ]


class TestSequencesOfTwoConstructs:
    def test_one_name_with_the_numbers_of_two_sequences_is_refused(self, stack: cdk.Stack) -> None:
        with pytest.raises(InvalidArgument, match="must not give files of two sequences one name"):
            new_delivery(stack, server=partner(), sources=two_sequences(stack))

    def test_two_sequences_may_have_one_name_in_two_directories(self, stack: cdk.Stack) -> None:
        sources = two_sequences(stack, directories=("/one", "/two"))
        new_delivery(stack, server=partner(), sources=sources)
        assert len(Synthesised(stack).document.sources) == len(sources)

    def test_same_sequence_at_one_server_is_refused(self, stack: cdk.Stack) -> None:
        new_delivery(stack, "One", server=partner(NUMBERED), bucket=bucket(stack))
        with pytest.raises(InvalidArgument, match="rules must not use the sequence 'default' of Test/One"):
            new_delivery(stack, "Two", server=partner(NUMBERED), bucket=bucket(stack, "two"))

    def test_own_names_and_own_servers_are_accepted(self, stack: cdk.Stack) -> None:
        new_delivery(stack, "One", server=partner(NUMBERED), bucket=bucket(stack))
        apart = replace(NUMBERED, sequence=Sequence(name="apart"))
        new_delivery(stack, "Two", server=partner(apart), bucket=bucket(stack, "two"))
        elsewhere = replace(partner(NUMBERED), host="sftp.other.example")
        new_delivery(stack, "Three", server=elsewhere, bucket=bucket(stack, "three"))
        Template.from_stack(stack).resource_count_is("AWS::Lambda::LayerVersion", 3)
