"""Commands know the sources that the function's configuration describes."""

from __future__ import annotations

import json

from s3_to_sftp_cli.delivery import WatchedSource, from_configuration


def test_source_with_its_own_rules_is_known() -> None:
    described = [
        {"bucket": "b", "prefix": "in/", "rules": "1"},
        {"bucket": "c", "rules": "2", "former": True},
    ]
    variables = {"SSH_HOST": "sftp.partner.example", "SSH_SOURCES": json.dumps(described)}
    delivery = from_configuration({"FunctionName": "f", "Environment": {"Variables": variables}})
    assert delivery.sources == (WatchedSource(bucket="b", prefix="in/", rules="1"),)
