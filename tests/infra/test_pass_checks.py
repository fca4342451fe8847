"""What is transformed has to be done in one invocation: rules by which nothing is, are errors of synth."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest

from cdk_s3_to_sftp import DeliveryRules, Filter, Gzip
from tests.infra.templates import new_delivery
from tests.support.infra.delivery_rules import Synthesised, bucket, partner


def rules(min_bytes: int, **more: Any) -> DeliveryRules:
    return DeliveryRules(name="{key}.gz", only=Filter(min_bytes=min_bytes), **more)


def test_objects_that_are_all_too_large_are_refused(stack: cdk.Stack) -> None:
    given = rules(9_000_000_001, transforms=[Gzip()])
    new_delivery(stack, server=partner(given), bucket=bucket(stack))
    with pytest.raises(
        RuntimeError, match=r"only has min_bytes=9000000001, and transforms need one pass .* 900 s"
    ):
        Synthesised(stack)


@pytest.mark.parametrize(
    ("given", "minutes"),
    [
        (rules(9_000_000_001, transforms=[Gzip()]), 30),
        (rules(9_000_000_000, transforms=[Gzip()]), 15),
        (rules(9_000_000_001), 15),
    ],
    ids=["longer", "smaller", "as they are"],
)
def test_objects_that_may_be_done_are_taken(stack: cdk.Stack, given: DeliveryRules, minutes: int) -> None:
    timeout = cdk.Duration.minutes(minutes)
    new_delivery(stack, server=partner(given), bucket=bucket(stack), timeout=timeout)
    Synthesised(stack)
