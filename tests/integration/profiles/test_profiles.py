"""Each profile against a partner that keeps to its document: it accepts what is sent, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules import profiles
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from tests.integration.profiles.cases import Case, Mutation
from tests.integration.profiles.payments import ADYEN, BCB, PAYGEARS, VALITOR, VALITOR_TEST, WORLDPAY
from tests.integration.profiles.reports import DDEX, GOOGLE, HCA, HCA_TEST
from tests.support.plan_client import NOW, PlanClient, plan_client
from tests.support.rules_delivery import RulesDelivery, rules_delivery
from tests.support.strict_partner import StrictPartner, start_strict_partner

CASES = {
    "worldpay_account_updater": WORLDPAY,
    "valitor_clearing": VALITOR,
    "adyen_batch": ADYEN,
    "paygears_ach": PAYGEARS,
    "bcb_bulk_payments": BCB,
    "ddex_sales_report": DDEX,
    "google_feed_descriptor": GOOGLE,
    "wa_hca_837": HCA,
}
FOR_TESTS = {"valitor_clearing for tests": VALITOR_TEST, "wa_hca_837 for tests": HCA_TEST}
MUTATIONS = [(name, kind) for name, case in CASES.items() for kind in case.mutations]

Deliver = Callable[[DeliveryRules, str, bytes], None]


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """The profile that the test is about."""
    found: Case = (CASES | FOR_TESTS)[request.param]
    return found


@pytest.fixture
def partner(case: Case, tmp_path: Path) -> Iterator[StrictPartner]:
    """The partner of the profile."""
    with start_strict_partner(tmp_path, case.document()) as running:
        yield running


@pytest.fixture
def client(case: Case, partner: StrictPartner) -> Iterator[PlanClient]:
    """Executes plans at the partner."""
    with plan_client(partner.server) as connected:
        connected.directory = case.directory
        yield connected


@pytest.fixture
def function(case: Case, partner: StrictPartner, ledger_table: Any) -> Iterator[RulesDelivery]:
    """Delivers to the partner as in Lambda."""
    with rules_delivery(partner.server, ledger_table, now=NOW) as running:
        running.directory = case.directory
        yield running


@pytest.fixture(params=["client", "function"])
def deliver(request: pytest.FixtureRequest) -> Deliver:
    """Delivers an object to the partner: the steps of its plan and nothing else, and as in Lambda."""
    way: PlanClient | RulesDelivery = request.getfixturevalue(request.param)
    return way.deliver


@pytest.mark.parametrize("case", CASES | FOR_TESTS, indirect=True)
def test_partner_accepts_what_the_profile_sends(case: Case, partner: StrictPartner, deliver: Deliver) -> None:
    for key, data in case.sent.items():
        deliver(case.rules, key, data)
    partner.end_of_day()

    assert partner.complaints == []
    assert partner.names == list(case.names)
    assert set(case.sent.values()) <= {file.data for file in partner.arrivals}


@pytest.mark.parametrize(("case", "kind"), MUTATIONS, indirect=["case"])
def test_partner_refuses_what_differs(
    case: Case, kind: str, partner: StrictPartner, client: PlanClient
) -> None:
    mutation = case.mutations[kind]
    if mutation.again:
        client.deliver(case.rules, *first(case))
        assert partner.complaints == []

    is_refused = send_mutated(case, mutation, client)
    refusals = list(partner.complaints)
    partner.end_of_day()

    assert re.search(mutation.complaint, "".join(partner.complaints[:1])), partner.complaints
    assert is_refused == bool(refusals) == (not mutation.at_end_of_day)


def send_mutated(case: Case, mutation: Mutation, client: PlanClient) -> bool:
    """Return whether the partner has refused a step."""
    key, data = first(case)
    rules = mutation.replaced or replace(case.rules, **mutation.rules)
    client.tail_first = mutation.tail_first
    client.directory = mutation.directory or case.directory
    try:
        client.deliver(
            rules,
            mutation.key or key,
            data if mutation.data is None else mutation.data,
            change=mutation.plan,
            number=mutation.number,
        )
    except PermissionError:
        return True
    return False


def first(case: Case) -> tuple[str, bytes]:
    return next(iter(case.sent.items()))


@pytest.mark.parametrize(
    "case",
    [
        name
        for name, each in CASES.items()
        if each.rules.if_exists is IfExists.REFUSE and each.rules.sequence is None
    ],
    indirect=True,
)
def test_second_object_of_a_name_is_not_sent(case: Case, partner: StrictPartner, deliver: Deliver) -> None:
    key, data = first(case)
    deliver(case.rules, key, data)
    names = list(partner.names)

    with pytest.raises((FileExistsError, RuleRefused)):
        deliver(case.rules, key, data + b" ")

    assert partner.names == names
    assert partner.complaints == []


def test_every_profile_has_a_partner_that_refuses_seven_mutations() -> None:
    assert set(CASES) == set(profiles.__all__) - {"Period"}
    assert min(len(case.mutations) for case in CASES.values()) >= 7
