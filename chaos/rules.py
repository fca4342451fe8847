"""A partner with rules: what the function gets, and what must hold in addition to the guarantees."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import s3_to_sftp
from cdk_s3_to_sftp import bundle_builder
from cdk_s3_to_sftp.bundle_builder.target import Target
from chaos.opening import PARTNER
from chaos.reconciliation import Observations
from chaos.records import Appearance, Renamed, Taken
from local.cloud import LocalCloud
from local.deployment import Deployment
from s3_to_sftp.rules.after_delivery import AfterDelivery
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.open_pgp import OpenPgp
from s3_to_sftp.rules.sequence import Sequence as Numbers

_BEFORE, _AFTER = ".ctl", ".done"
_DOCUMENT = RulesDocument(
    partner=DeliveryRules(
        name="{folder}{stem}~{sequence:06d}{ext}",
        temporary="{name}.partial",
        sequence=Numbers(),
        companions=[
            Companion.document(f"{{name}}{_BEFORE}", "{name};{bytes};{sha256}", before=True),
            Companion.marker(f"{{name}}{_AFTER}"),
        ],
        transforms=[Gzip(level=1), OpenPgp(encrypt_to=[str(PARTNER.extract_certificate())])],
        after_delivery=AfterDelivery.tag({"delivered": "yes"}),
    ),
    sources={},
)
_NUMBER = re.compile(r"~(?P<number>[0-9]{6})(?=(\.[^./]*)?$)")

VARIABLES = {
    "SSH_RULES": _DOCUMENT.digest,
    # Nobody is there to decide, and a number whose outcome is unknown stops all others.
    "UNKNOWN_OUTCOME": "resend",
}


def publish_rules(cloud: LocalCloud, deployment: Deployment) -> str:
    """Publishes a layer with the rules and the library for OpenPGP, and returns its ARN."""
    client = cloud.client("lambda")
    about = client.get_function_configuration(FunctionName=deployment.function)
    target = Target(
        architecture=about["Architectures"][0],
        python=about["Runtime"].removeprefix("python"),
        compiled=False,
        layer=True,
    )
    content = io.BytesIO()
    with TemporaryDirectory() as folder, zipfile.ZipFile(content, "w") as archive:
        bundle_builder.build(Path(s3_to_sftp.__file__).parent, Path(folder), target)
        for path in Path(folder).rglob("*"):
            archive.write(path, path.relative_to(folder))
        archive.writestr(f"python/{PACKAGE}/{FILE}", _DOCUMENT.as_text())
    answer = client.publish_layer_version(
        LayerName=f"{deployment.function[:40]}-rules", Content={"ZipFile": content.getvalue()}
    )
    arn: str = answer["LayerVersionArn"]
    return arn


def data_only(known: Observations) -> Observations:
    """Returns what is known of the data, under the names that it would have without rules."""
    newest = {_key_of(one.key): one for one in sorted(_data(known.standing), key=_number_of)}
    return replace(
        known,
        events=[
            replace(event, file=_unnumbered(event.file)) for event in known.events if _is_data(event.file)
        ],
        seen=[_unnumbered(one) for one in _data(known.seen)],
        standing=[_unnumbered(one) for one in newest.values()],
    )


def violations(known: Observations) -> list[str]:
    """Returns what breaks the rules: gaps, repeated numbers, companions that are missing or early."""
    return [*_of_numbers(known), *_of_order(known.events), *_of_companions(known)]


def _of_numbers(known: Observations) -> list[str]:
    numbers = sorted(one.number for one in known.recorded().values() if one.number is not None)
    if numbers != list(range(1, len(numbers) + 1)):
        return [f"numbers of receipts are {numbers}"]
    return []


def _of_order(events: Sequence[Renamed | Taken]) -> list[str]:
    """Checks that numbers appear one after the other, each with one content, between its companions."""
    found, first, contents = list[str](), dict[str, int](), defaultdict[int, set[str]](set)
    renamed = [event for event in events if isinstance(event, Renamed) and not event.puts_back]
    for place, event in enumerate(renamed):
        first.setdefault(event.file.key, place)
        if _is_data(event.file):
            contents[_number_of(event.file)].add(event.file.plain_sha256)
    if list(contents) != list(range(1, len(contents) + 1)):
        found.append(f"numbers appeared as {list(contents)}")
    found += [f"number {number} names two contents" for number, each in contents.items() if len(each) > 1]
    for key, place in first.items():
        if not key.endswith((_BEFORE, _AFTER)):
            early = first.get(key + _BEFORE, len(renamed)) < place
            late = first.get(key + _AFTER, len(renamed)) > place
            found += [] if early else [f"{key} appeared before its descriptor"]
            found += [] if late else [f"the marker of {key} appeared before it"]
    return found


def _of_companions(known: Observations) -> list[str]:
    renamed = [event.file for event in known.events if isinstance(event, Renamed) and not event.puts_back]
    there = {(one.key, one.sha256) for one in renamed}
    delivered = {one.number for one in known.recorded().values() if one.number is not None}
    found = []
    for data in {one for one in renamed if _is_data(one) and _number_of(one) in delivered}:
        name = data.key.rpartition("/")[2]
        for suffix, content in ((_BEFORE, f"{name};{data.size};{data.sha256}"), (_AFTER, "")):
            if (data.key + suffix, hashlib.sha256(content.encode()).hexdigest()) not in there:
                found.append(f"{data.key}{suffix} is missing, or has another content")
    return found


def _data(files: Iterable[Appearance]) -> list[Appearance]:
    return [one for one in files if _is_data(one)]


def _is_data(file: Appearance) -> bool:
    return not file.key.endswith((_BEFORE, _AFTER))


def _number_of(file: Appearance) -> int:
    found = _NUMBER.search(file.key)
    return int(found["number"]) if found else 0


def _key_of(name: str) -> str:
    return _NUMBER.sub("", name)


def _unnumbered(file: Appearance) -> Appearance:
    return replace(file, key=_key_of(file.key), sha256=file.plain_sha256)
