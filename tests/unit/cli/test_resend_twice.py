"""An object that several messages ask to send again is sent again once, with one number."""

from __future__ import annotations

import pytest

from s3_to_sftp.outcomes import AlreadyDelivered
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.state.receipt import Receipt
from tests.support.cli import CliEnvironment
from tests.support.partner_queue import OperatedPartner

PLAIN = DeliveryRules(name="PAY_{sequence:04d}.csv", sequence=Sequence())


@pytest.mark.parametrize("first", ["resend x --reason TEXT", "redrive --all"])
def test_object_that_is_sent_again_twice_takes_one_number(cli: CliEnvironment, first: str) -> None:
    partner = OperatedPartner(cli, PLAIN)
    partner.is_silent()
    partner.deliver(partner.x)
    partner.accepts()
    partner.harness.env.files.clear()
    partner.deliver()
    assert partner.harness.state(partner.x) == "UNKNOWN"
    assert partner.types(first).code == 0
    assert partner.types("resend x --reason TEXT").code == 0
    last = partner.deliver()["x"]
    assert isinstance(last, Receipt | AlreadyDelivered)
    assert partner.files.keys() == {"PAY_0001.csv"}


def test_delivered_object_that_is_resent_twice_is_sent_again_once(cli: CliEnvironment) -> None:
    partner = OperatedPartner(cli, PLAIN)
    partner.deliver(partner.x)
    partner.types("resend x --reason TEXT")
    partner.types("resend x --reason TEXT")
    partner.deliver()
    assert partner.files.keys() == {"PAY_0001.csv", "PAY_0002.csv"}
    partner.types("resend x --reason TEXT")  # a wish of its own
    partner.deliver()
    assert "PAY_0003.csv" in partner.files
