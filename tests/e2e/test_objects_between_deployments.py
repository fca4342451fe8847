"""A deployed delivery is changed while objects arrive: before, between, during and after. None may be lost.

Between means: the function does not read its queue (its mapping is disabled), so events wait while the change
is deployed. During means: objects are put continuously while CloudFormation updates.

The emulator enforces IAM, so what the role may no longer read is dead-lettered. It does not show in which
order CloudFormation makes and removes resources, nor how long S3 takes until it uses a new configuration:
tests/infra/test_source_changes.py has the order, docs/guides/changing-your-mind.md the times.
"""

from __future__ import annotations

import copy
import functools
import itertools
import json
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.cloud import LocalCloud, start_cloud
from local.deployment import App, bootstrap, function_log, message_counts, messages_in
from local.environments import REPOSITORY
from local.sftp_server import RunningServer
from tests.support.e2e.bundles import Bundles
from tests.support.e2e.changing_app import synthesise
from tests.support.e2e.stack_environment import last_lines, redrive, wait_until
from tests.support.partner import contents_below
from tests.support.restartable_server import RestartableServer

PAUSE_SECONDS = 0.2
"""Between two objects that are put during a deployment."""


@dataclass(kw_only=True)
class Place:
    """A cloud, and the login of all partners there."""

    cloud: LocalCloud
    assembly: Path
    bundles: Bundles
    secret: str
    partner: RestartableServer
    server: RunningServer
    has_bundle: bool = False

    def deploy(self, state: Mapping[str, Any], scratch: Path) -> None:
        app = App(command=str(self.assembly), assembly=self.assembly, scratch=scratch)
        with nullcontext() if self.has_bundle else self.bundles.shared_with(self.assembly):
            synthesise(state, self.assembly)
            app.deploy(self.cloud)
        self.has_bundle = True


@pytest.fixture(scope="module")
def place(_tools: None, bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: the local AWS makes its certificate with it")
    folder = tmp_path_factory.mktemp("between")
    with ExitStack() as stack:
        partner = RestartableServer(tmp_path_factory.mktemp("partner"))
        stack.callback(partner.stop)
        server = partner.start()
        cloud = stack.enter_context(start_cloud(folder / "cloud", enforce_iam=True))
        bootstrap(cloud, scratch=folder / "cdk")
        login = {"username": server.username, "password": partner.password}
        secret = cloud.client("secretsmanager").create_secret(Name="login", SecretString=json.dumps(login))
        yield Place(
            cloud=cloud,
            assembly=folder / "cdk.out",
            bundles=bundles,
            secret=secret["ARN"],
            partner=partner,
            server=server,
        )


@dataclass
class Stage:
    """A stack that changes, and the objects that are put for it."""

    place: Place
    scratch: Path
    state: dict[str, Any]
    numbers: Iterator[int] = field(default_factory=itertools.count)
    is_paused: bool = False

    def deploy(self) -> None:
        self.place.deploy(self.state, self.scratch)

    def put(self, bucket: str, prefix: str) -> str:
        key = self.next_key(prefix)
        self.put_key(bucket, key)
        return key

    def next_key(self, prefix: str) -> str:
        return f"{prefix}{next(self.numbers):03}"

    def put_key(self, bucket: str, key: str) -> None:
        self.place.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=key.encode())

    @contextmanager
    def putting(self, bucket: str, prefix: str) -> Iterator[list[str]]:
        """Puts objects all the time; the list has their keys when the block has ended."""
        keys: list[str] = []
        end = threading.Event()

        def run() -> None:
            while not end.wait(PAUSE_SECONDS):
                keys.append(self.next_key(prefix))  # before: it may be stored although an answer is lost
                self.put_key(bucket, keys[-1])

        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(run)
            try:
                yield keys
            finally:
                end.set()
        ended.result()
        assert keys

    @functools.cached_property
    def resources(self) -> dict[str, str]:
        """Physical ids by logical ids without their hash, of the first deployment."""
        answer = self.place.cloud.client("cloudformation").describe_stack_resources(
            StackName=self.state["name"]
        )
        return {
            each["LogicalResourceId"][:-8]: each["PhysicalResourceId"] for each in answer["StackResources"]
        }

    def waiting(self, partner: str = "Bank") -> int:
        return messages_in(self.place.cloud, self.resources[f"{partner}Queue"])

    def dead(self, partner: str = "Bank") -> int:
        return messages_in(self.place.cloud, self.resources[f"{partner}DeadLetterQueue"])

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The function does not read its queue."""
        if self.is_paused:
            yield
            return
        self.let_read(enabled=False)
        self.is_paused = True
        yield
        self.let_read(enabled=True)
        self.is_paused = False

    def redrive(self) -> None:
        redrive(self.place.cloud, self.resources["BankDeadLetterQueue"], target=self.resources["BankQueue"])

    def let_read(self, *, enabled: bool) -> None:
        functions = self.place.cloud.client("lambda")
        mapping = next(each for name, each in self.resources.items() if "BankFunctionDeliveries" in name)
        functions.update_event_source_mapping(UUID=mapping, Enabled=enabled)
        wanted = "Enabled" if enabled else "Disabled"
        wait_until(
            lambda: functions.get_event_source_mapping(UUID=mapping)["State"] == wanted, wanted, self.explain
        )

    def deliveries(self, partner: str = "Bank") -> Counter[str]:
        """How often the function said that it has delivered each key."""
        lines = function_log(self.place.cloud, self.resources[f"{partner}Function"])
        entries = [json.loads(line) for line in lines if line.startswith('{"level"')]
        paths = [entry["remote_path"] for entry in entries if entry.get("message") == "delivered"]
        return Counter(path.lstrip("/").partition("/")[2] for path in paths)

    def arrived(self, *roots: Path) -> dict[str, bytes]:
        """What the servers with these folders have in the directory of this stack, temporary files too."""
        folders = [root / self.state["name"].lower() for root in roots]
        return {name: data for folder in folders for name, data in contents_below(folder).items()}

    def assert_all_delivered_once(self, keys: list[str], partner: str = "Bank", *more_roots: Path) -> None:
        """Waits until the queue is empty, duplicates included, and asserts one delivery and one file each.

        Args:
            keys: All that the servers have.
            partner: Its name in the stack.
            more_roots: Folders of further servers.
        """

        def done() -> bool:
            return self.deliveries(partner).keys() >= set(keys) and self.waiting(partner) == 0

        wait_until(done, "delivery of all", lambda: self.explain_lost(keys, partner))
        delivered = self.deliveries(partner)
        assert {key: delivered[key] for key in keys} == dict.fromkeys(keys, 1)
        assert self.arrived(self.place.partner.root, *more_roots) == {key: key.encode() for key in keys}
        assert self.dead(partner) == 0

    def explain_lost(self, keys: list[str], partner: str) -> str:
        lost = sorted(set(keys) - self.deliveries(partner).keys())
        waiting = message_counts(self.place.cloud, self.resources[f"{partner}Queue"])
        return f"lost: {lost}, waiting: {waiting}, dead: {self.dead(partner)}\n{self.explain()}"

    def explain(self) -> str:
        """The end of what the functions and the emulator logged."""
        logs = [
            last_lines("\n".join(function_log(self.place.cloud, name)))
            for each, name in self.resources.items()
            if each in {"BankFunction", "InsurerFunction"} and self._exists(name)
        ]
        return "\n".join([*logs, last_lines(self.place.cloud.read_log())])

    def _exists(self, function: str) -> bool:
        functions = self.place.cloud.client("lambda").list_functions()["Functions"]
        return any(each["FunctionName"] == function for each in functions)


@pytest.fixture
def stage(place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Stage:
    """A stack with one partner, and the prefix `2026/` of one bucket as source; not deployed yet."""
    name = re.sub(r"\W|_", "", request.node.name.removeprefix("test_").title())[:30]
    flags = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    return Stage(
        place=place,
        scratch=tmp_path / "cdk",
        state={
            "name": name,
            "context": {**flags, "@aws-cdk/core:defaultCrossStackReferences": "weak"},
            "secret": place.secret,
            "owned_elsewhere": False,
            "versioned": True,
            "buckets": [name.lower()],
            "partners": {
                "Bank": {
                    "server": {**server_of(place.server), "directory": name.lower()},
                    "sources": [{"bucket": name.lower(), "prefix": "2026/"}],
                }
            },
        },
    )


def server_of(server: RunningServer) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "host_keys": list(server.host_keys)}


def bucket_of(stage: Stage) -> str:
    return str(stage.state["buckets"][0])


def wait_for_messages(stage: Stage, number: int, partner: str = "Bank") -> None:
    wait_until(lambda: stage.waiting(partner) >= number, "messages that wait", stage.explain)


def changed(stage: Stage, prefix: str = "2026/", bucket: str | None = None) -> list[str]:
    """Deploys the state while objects wait and others come. Returns the keys of all, and of one put later."""
    bucket = bucket or bucket_of(stage)
    with stage.paused():
        waiting = [stage.put(bucket, prefix) for _ in range(3)]
        wait_for_messages(stage, len(waiting))
        with stage.putting(bucket, prefix) as coming:
            stage.deploy()
    return [*waiting, *coming, stage.put(bucket, prefix)]


def deployed(stage: Stage) -> list[str]:
    """Deploys the state for the first time. Returns the key of an object that is delivered then."""
    stage.deploy()
    key = stage.put(bucket_of(stage), "2026/")
    stage.assert_all_delivered_once([key])
    return [key]


def test_prefix_is_narrowed_and_the_former_one_stays_readable(stage: Stage) -> None:
    bank, bucket = stage.state["partners"]["Bank"], bucket_of(stage)
    keys = deployed(stage)
    with stage.paused():
        outside = stage.put(bucket, "2026/11/")
        wait_for_messages(stage, 1)
        bank.update(former=bank["sources"], sources=[{"bucket": bucket, "prefix": "2026/12/"}])
        keys += [outside, *changed(stage, "2026/12/")]
    stage.assert_all_delivered_once(keys)


def test_prefix_changed_without_the_former_one_can_be_redriven(stage: Stage) -> None:
    bank, bucket = stage.state["partners"]["Bank"], bucket_of(stage)
    keys = deployed(stage)
    former = bank["sources"]
    with stage.paused():
        keys.append(stage.put(bucket, "2026/"))
        wait_for_messages(stage, 1)
        bank["sources"] = [{"bucket": bucket, "prefix": "2027/"}]
        stage.deploy()
    wait_until(lambda: stage.dead() == 1, "dead letter", stage.explain)
    bank["former"] = former
    stage.deploy()
    stage.redrive()
    stage.assert_all_delivered_once([*keys, stage.put(bucket, "2027/")])


def test_bucket_is_replaced_through_both(stage: Stage) -> None:
    bank, old = stage.state["partners"]["Bank"], bucket_of(stage)
    keys = deployed(stage)
    new = f"{old}-new"
    stage.state["buckets"].append(new)
    bank["sources"].append({"bucket": new, "prefix": "2026/"})
    keys += changed(stage)
    stage.assert_all_delivered_once(keys)
    with stage.paused():
        keys.append(stage.put(old, "2026/"))
        wait_for_messages(stage, 1)
        bank["former"] = [bank["sources"].pop(0)]
        keys += changed(stage, bucket=new)
    stage.assert_all_delivered_once(keys)


# Without versions: unlike S3, the emulator leaves the version out of EventBridge events, so that the two
# notifications of one put look like two puts. tests/unit/s3/test_announced_twice.py has S3's own format.
def test_trigger_is_changed_and_changed_back_through_both(stage: Stage) -> None:
    stage.state["versioned"] = False
    keys = deployed(stage)
    for trigger in ("both", "eventbridge", "both", "notification"):
        stage.state["partners"]["Bank"]["sources"][0]["trigger"] = trigger
        keys += changed(stage)
    stage.assert_all_delivered_once(keys)


def test_trigger_of_another_stacks_bucket_is_changed_through_both(stage: Stage) -> None:
    stage.state.update(owned_elsewhere=True, versioned=False)
    keys = deployed(stage)
    for trigger in ("both", "eventbridge"):
        stage.state["partners"]["Bank"]["sources"][0]["trigger"] = trigger
        keys += changed(stage)
    stage.assert_all_delivered_once(keys)


def test_host_is_changed(stage: Stage, tmp_path: Path) -> None:
    bank = stage.state["partners"]["Bank"]
    keys = deployed(stage)
    (tmp_path / "new").mkdir()
    new = RestartableServer(tmp_path / "new")
    try:
        bank["server"].update(server_of(new.start(password=stage.place.partner.password)))
        keys += changed(stage)
        stage.assert_all_delivered_once(keys, "Bank", tmp_path / "new")
    finally:
        new.stop()
    assert stage.arrived(tmp_path / "new").keys() == {*keys[1:]}


def test_partner_is_removed_and_its_queues_stay(stage: Stage) -> None:
    partners, bucket = stage.state["partners"], bucket_of(stage)
    partners["Insurer"] = copy.deepcopy(partners["Bank"])
    for name in partners:
        partners[name]["sources"][0]["prefix"] = f"{name}/"
    stage.deploy()
    stage.let_read(enabled=False)
    waiting = [stage.put(bucket, "Bank/") for _ in range(3)]
    wait_for_messages(stage, len(waiting))
    del partners["Bank"]
    with stage.putting(bucket, "Insurer/") as coming:
        stage.deploy()
    stage.assert_all_delivered_once([*coming, stage.put(bucket, "Insurer/")], "Insurer")
    assert stage.waiting() == len(waiting)
    assert stage.dead() == 0


def test_code_of_the_function_is_replaced(stage: Stage, tmp_path: Path) -> None:
    keys = deployed(stage)
    code = functools.partial(
        stage.place.cloud.client("lambda").get_function_configuration,
        FunctionName=stage.resources["BankFunction"],
    )
    before = code()["CodeSha256"]
    (asset,) = (path for path in stage.place.assembly.glob("asset.*") if (path / "s3_to_sftp").is_dir())
    shutil.copytree(asset, tmp_path / "other")
    (tmp_path / "other" / "version").write_text("other")
    stage.state["partners"]["Bank"]["code"] = str(tmp_path / "other")
    keys += changed(stage)
    assert code()["CodeSha256"] != before
    stage.assert_all_delivered_once(keys)
