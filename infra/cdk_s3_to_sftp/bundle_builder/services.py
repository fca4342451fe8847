"""Removes what botocore brings along for services that the function does not use."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

SERVICES = frozenset({"dynamodb", "events", "s3", "secretsmanager", "sqs", "sts"})
"""The AWS services that the function has clients of; sts serves credentials."""


def keep_used_services(output: Path) -> None:
    """Delete what botocore knows of services that the function does not use, and what describes the others.

    There are 400. For each client that it makes, a fresh function would look at all of them, and read
    megabytes of endpoints and descriptions.
    """
    data = output / "botocore" / "data"
    if not data.is_dir():
        return  # nothing needs it
    for service in data.glob("*/"):
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    for path in [*data.glob("*/*/*.json*")]:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        path.unlink()
        if not path.name.startswith("examples"):
            model = json.loads(text)
            for name in model.keys() & {"shapes", "operations"}:  # of others botocore reads the descriptions
                model[name] = _undescribed(model[name])
            _write_json(path.with_name(path.name.removesuffix(".gz")), model)
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        known = partition["services"]
        partition["services"] = {name: known[name] for name in known if name in SERVICES}
    _write_json(data / "endpoints.json", endpoints)


def _undescribed(value: Any) -> Any:
    """Return a part of a model without descriptions. A member of that name is an object, not a text."""
    if isinstance(value, dict):
        return {
            key: _undescribed(each)
            for key, each in value.items()
            if key != "documentation" or not isinstance(each, str)
        }
    return [_undescribed(each) for each in value] if isinstance(value, list) else value


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")))
