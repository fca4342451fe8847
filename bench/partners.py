"""Many partners in one account of the local AWS: each has a stack, and all get an object at the same time.

An object is put into the bucket of each of the first N partners, whose functions run already. The clock
starts with the first put, and ends with the last receipt.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ours import NAME
from bench.payload import small_file
from bench.processes import CloudProcesses
from bench.report import table
from bench.rows import Row, rounded
from bench.run import Results
from bench.server import Sink, WrongArrival
from bench.workloads import NEAR, SMALL_BYTES
from local.cloud import LocalCloud, start_cloud
from local.deployment import App, bootstrap, missing_tool
from local.processes import CannotRun
from local.progress import Progress

CURVE = "partners"
"""Of the rows of this group."""

_APP = Path(__file__).with_name("partners_app.py")
_PUTS_AT_A_TIME = 4
_GLANCE_SECONDS = 0.1
_STALLED_SECONDS = 300.0
"""Without another receipt: it has failed."""


@dataclass(frozen=True, kw_only=True)
class _Partner:
    """What a partner's stack has."""

    bucket: str
    ledger: str
    resources: int


@dataclass(frozen=True, kw_only=True)
class _Account:
    """The account, and its partners by the names of their stacks.

    Attributes:
        deploy_seconds: Of one `cdk deploy` of all.
    """

    cloud: LocalCloud
    processes: CloudProcesses
    sink: Sink
    partners: Mapping[str, _Partner]
    deploy_seconds: float


def measure_partners(
    sink: Sink, results: Results, *, scratch: Path, counts: Sequence[int], progress: Progress
) -> None:
    """Delivers one object to each of so many partners at a time; adds rows to the results.

    Args:
        sink: Plays all partners.
        results: Gets the rows, or the reason why there are none.
        scratch: Takes the files of the local AWS.
        counts: Numbers of partners; the largest is deployed.
        progress: Told of each step.
    """
    if (lacking := missing_tool()) is not None:
        results.skipped["partners"] = lacking
        return
    sink.empty()
    try:
        with _account(sink, scratch / "partners", max(counts), progress) as account:
            for count in counts:
                with progress.step(f"{count} partners, one object each"):
                    results.rows.append(_row(account, count))
                print(table(results.rows[-1:]), flush=True)
    except (CannotRun, WrongArrival) as error:
        results.skipped["partners"] = str(error)
        progress.say(f"  partners: {error}")


@contextmanager
def _account(sink: Sink, folder: Path, count: int, progress: Progress) -> Iterator[_Account]:
    names = [f"Partner{number:02}" for number in range(count)]
    with start_cloud(folder / "cloud") as cloud:
        bootstrap(cloud, scratch=folder / "cdk")
        began = time.monotonic()
        with progress.step(f"cdk deploy of {count} partners"):
            _deploy(cloud, sink, names, folder)
        yield _Account(
            cloud=cloud,
            processes=CloudProcesses(folder=folder / "cloud"),
            sink=sink,
            partners={name: _partner(cloud, name) for name in names},
            deploy_seconds=time.monotonic() - began,
        )


def _deploy(cloud: LocalCloud, sink: Sink, names: Sequence[str], folder: Path) -> None:
    server = sink.server
    login = {"username": server.username, "private_key": server.private_key}
    secret = cloud.client("secretsmanager").create_secret(Name="login", SecretString=json.dumps(login))
    for name in names:
        (sink.inbox / name).mkdir()
    given = {
        "server": {"host": server.host, "port": server.port, "host_keys": list(server.host_keys)},
        "directories": {name: f"{sink.inbox.resolve()}/{name}" for name in names},
        "login": secret["ARN"],
    }
    app = App(
        command=f"{sys.executable} {_APP}",
        assembly=folder / "cdk.out",
        scratch=folder / "cdk",
        variables={"PARTNERS": json.dumps(given)},
    )
    app.deploy(cloud)


def _partner(cloud: LocalCloud, stack: str) -> _Partner:
    resources = cloud.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    names = {each["ResourceType"]: each["PhysicalResourceId"] for each in resources}
    ledger = next(name for kind, name in names.items() if kind.startswith("AWS::DynamoDB::"))
    return _Partner(bucket=names["AWS::S3::Bucket"], ledger=ledger, resources=len(resources))


def _row(account: _Account, count: int) -> Row:
    names = list(account.partners)[:count]
    _deliver(account, names, f"{count}-first")
    account.processes.restart()
    seconds = _deliver(account, names, f"{count}-second")
    functions, emulator = account.processes.function_seconds, account.processes.emulator_seconds
    alarms = account.cloud.client("cloudwatch").get_paginator("describe_alarms")
    ours = tuple(f"{name}-" for name in names)
    return {
        "tool": NAME,
        "variant": "partners",
        "work": "small",
        "rtt_ms": NEAR.rtt_ms,
        "curve": CURVE,
        "partners": count,
        "last_receipt_s": rounded(seconds),
        "function_cpu_ms_per_file": rounded(functions / count * 1000),
        "emulator_cpu_ms_per_file": rounded(emulator / count * 1000),
        "peak_rss_mb": rounded(account.processes.function_peak_mb),
        "resources_of_a_stack": account.partners[names[0]].resources,
        "alarms": sum(
            alarm["AlarmName"].startswith(ours)
            for page in alarms.paginate()
            for alarm in page["MetricAlarms"]
        ),
        "deploy_s": rounded(account.deploy_seconds),
        "deployed_partners": len(account.partners),
        "runs": 1,
    }


def _deliver(account: _Account, names: Sequence[str], key: str) -> float:
    """Returns the seconds from the first put until each partner's ledger has its receipt."""
    begun = time.monotonic()
    _put(account, names, key)
    missing, changed = set(names), begun
    while missing:
        account.processes.look()
        time.sleep(_GLANCE_SECONDS)
        left = {name for name in missing if not _has_receipt(account, name, key)}
        if left != missing:
            missing, changed = left, time.monotonic()
        if time.monotonic() - changed > _STALLED_SECONDS:
            raise CannotRun(f"{len(missing)} of {len(names)} partners have no receipt of {key}")
    seconds = time.monotonic() - begun
    for name in names:
        if (account.sink.inbox / name / key).read_bytes() != small_file(0, SMALL_BYTES):
            raise WrongArrival(f"{key} arrived with other content at {name}")
    return seconds


def _put(account: _Account, names: Sequence[str], key: str) -> None:
    s3 = account.cloud.client("s3")

    def put(name: str) -> None:
        s3.put_object(Bucket=account.partners[name].bucket, Key=key, Body=small_file(0, SMALL_BYTES))

    with ThreadPoolExecutor(_PUTS_AT_A_TIME) as pool:
        list(pool.map(put, names))


def _has_receipt(account: _Account, name: str, key: str) -> bool:
    # The file first: it costs the emulator nothing.
    return (account.sink.inbox / name / key).exists() and any(
        item.get("state", {}).get("S") == "DELIVERED" and key in item["pk"]["S"]
        for item in _items(account.cloud, account.partners[name].ledger)
    )


def _items(cloud: LocalCloud, ledger: str) -> list[dict[str, Any]]:
    return list(cloud.client("dynamodb").scan(TableName=ledger)["Items"])
