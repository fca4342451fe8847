"""What the profiles take, and what they return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules import profiles
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.plan import PlannedObject, plan
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.profiles import Period

ADYEN = {"platform": "Shop1", "file_type": "Modification"}
DDEX = {"sender": "Shop", "service": "Premium"}
RULES = {
    "worldpay_account_updater": profiles.worldpay_account_updater(),
    "valitor_clearing": profiles.valitor_clearing(),
    "valitor_clearing, tests": profiles.valitor_clearing(test=True),
    "valitor_clearing, metadata": profiles.valitor_clearing(file_id="{metadata[file-id]}"),
    "adyen_batch": profiles.adyen_batch(**ADYEN),
    "paygears_ach": profiles.paygears_ach(),
    "bcb_bulk_payments": profiles.bcb_bulk_payments(),
    **{f"ddex_sales_report, {each}": profiles.ddex_sales_report(**DDEX, period=each) for each in Period},
    "google_feed_descriptor": profiles.google_feed_descriptor(feed="reservewithgoogle.entity"),
    "wa_hca_837": profiles.wa_hca_837(trading_partner="101721500"),
    "wa_hca_837, tests": profiles.wa_hca_837(trading_partner="101721500", test=True),
}
NOON = PlanFacts(event_time=1_795_867_200, delivery_time=1_795_867_200, size=3, sequence=1)

of_each = pytest.mark.parametrize("rules", RULES.values(), ids=RULES)


def planned(rules: DeliveryRules, key: str, facts: PlanFacts = NOON) -> str:
    return plan(rules, PlannedObject(bucket="b", key=key), facts).file.path


@of_each
def test_profile_names_its_source(rules: DeliveryRules) -> None:
    assert "https://" in rules.source


@of_each
def test_every_example_has_a_plan(rules: DeliveryRules) -> None:
    names = [planned(rules, key) for key in rules.examples]
    assert len(set(names)) == len(rules.examples)


@of_each
def test_profile_reaches_the_function_as_it_is(rules: DeliveryRules) -> None:
    written = RulesDocument(partner=rules, sources={}).as_text()
    assert RulesDocument.from_text(written).partner == rules


@of_each
def test_a_single_rule_of_a_profile_can_be_replaced(rules: DeliveryRules) -> None:
    changed = replace(rules, max_name_length=99)
    assert changed.max_name_length == 99
    assert replace(changed, max_name_length=rules.max_name_length) == rules


@pytest.mark.parametrize(
    ("profile", "arguments", "complaint"),
    [
        (profiles.worldpay_account_updater, {"max_name_length": 0}, "max_name_length must be 1-255, got 0"),
        (
            profiles.valitor_clearing,
            {"file_id": "001"},
            "file_id must have a field such as {stem}, got '001': each file has another id",
        ),
        (profiles.valitor_clearing, {"file_id": "{sequence:03d}"}, "unknown field {sequence}"),
        (profiles.valitor_clearing, {"file_id": 1}, "file_id must be a text with fields in braces, got 1"),
        (profiles.valitor_clearing, {"file_type": ".otf"}, "file_type must be an extension without its dot"),
        (profiles.valitor_clearing, {"test": "yes"}, "test must be True or False, got 'yes'"),
        (profiles.adyen_batch, {**ADYEN, "platform": "shop_1"}, "platform must be up to 64 letters"),
        (profiles.adyen_batch, {**ADYEN, "platform": "{tag[x]}"}, "platform must be up to 64 letters"),
        (profiles.adyen_batch, {**ADYEN, "file_type": ""}, "file_type must be letters and digits"),
        (profiles.adyen_batch, {**ADYEN, "first_number": -1}, "start must be 0-"),
        (profiles.paygears_ach, {"pattern": "("}, "allowed_names must be a regular expression"),
        (profiles.paygears_ach, {"replace_rejected": 1}, "replace_rejected must be True or False, got 1"),
        (profiles.ddex_sales_report, {**DDEX, "sender": "A_B"}, "sender must be up to 40 letters"),
        (profiles.ddex_sales_report, {**DDEX, "service": ""}, "service must be up to 40 letters"),
        (profiles.ddex_sales_report, {**DDEX, "recipient": "a b"}, "recipient must be empty, or up to 40"),
        (
            profiles.ddex_sales_report,
            {**DDEX, "period": "month"},
            "Period.MONTH, Period.WEEK, Period.DAY, got 'month'",
        ),
        (profiles.google_feed_descriptor, {"feed": 'a.b"'}, "feed must be a feed's name"),
        (profiles.wa_hca_837, {"trading_partner": "P1"}, "trading_partner must be the id's digits, got 'P1'"),
        (profiles.wa_hca_837, {"trading_partner": 1}, "trading_partner must be the id's digits, got 1"),
        (profiles.wa_hca_837, {"trading_partner": "1", "test": None}, "test must be True or False, got None"),
    ],
)
def test_wrong_argument_is_refused_with_a_sentence(
    profile: Callable[..., DeliveryRules], arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidRule) as refused:
        profile(**arguments)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("rules", "key", "rule"),
    [
        (RULES["worldpay_account_updater"], "Shop 1.xml", "allowed_names"),
        (RULES["worldpay_account_updater"], "Shop.prg.xml", "allowed_names"),
        (RULES["worldpay_account_updater"], f"{'a' * 125}.xml", "max_name_length"),
        (RULES["valitor_clearing"], "1.otf", "allowed_names"),
        (RULES["valitor_clearing"], "900.otf", "allowed_names"),
        (RULES["valitor_clearing, tests"], "899.otf", "allowed_names"),
        (RULES["paygears_ach"], "2026_11_28_a.csv", "allowed_names"),
        (RULES["paygears_ach"], "2026_1_2_A.csv", "allowed_names"),
        # Digits, but not those of ASCII.
        (RULES["paygears_ach"], "٢٠٢٦_11_28_A.csv", "allowed_names"),
        (RULES["ddex_sales_report, month"], "2026-Q4_CH.tsv", "allowed_names"),
        (RULES["ddex_sales_report, month"], "2026-11_CHE.tsv", "allowed_names"),
        (RULES["google_feed_descriptor"], 'a"b.json', "allowed_names"),
        (RULES["wa_hca_837"], "P 1.dat", "allowed_names"),
    ],
)
def test_key_without_a_name_for_this_partner_is_refused(rules: DeliveryRules, key: str, rule: str) -> None:
    with pytest.raises(RuleRefused) as refused:
        planned(rules, key)
    assert refused.value.rule == rule


@pytest.mark.parametrize(
    ("rules", "key", "path"),
    [
        # 23:30 in UTC is the afternoon before in Washington, and the same evening in Iceland.
        (RULES["wa_hca_837"], "P_1.edi", "PROD/HIPAA_Inbound/HIPAA.101721500.112820261530_P_1.dat"),
        (RULES["valitor_clearing"], "001.otf", "61128001.otf"),
        (RULES["worldpay_account_updater"], "a/b/Shop.1.xml", "Shop.1.asc"),
        (RULES["adyen_batch"], "refunds.csv", "Shop1_1_Modification.csv"),
        (
            RULES["ddex_sales_report, quarter"],
            "2026-Q4_CH.tsv",
            "DSR__Shop_Premium_2026-Q4_CH_1of1_20261128T233000.tsv",
        ),
        (RULES["google_feed_descriptor"], "offers.json", "offers_1795908600.json"),
    ],
)
def test_names_are_as_the_documents_say(rules: DeliveryRules, key: str, path: str) -> None:
    assert planned(rules, key, replace(NOON, event_time=1_795_908_600)) == path


@pytest.mark.parametrize("period", Period)
def test_semaphore_of_a_report_leaves_out_the_counter(period: Period) -> None:
    rules = profiles.ddex_sales_report(**DDEX, recipient="Label", period=period)
    (key,) = rules.examples
    made = plan(rules, PlannedObject(bucket="b", key=key), NOON)
    (semaphore,) = made.companions
    assert semaphore.path == made.file.path.replace("_1of1", "").replace(".tsv", ".ctrl")
    assert semaphore.content == b""
    assert not semaphore.is_before


def test_file_types_of_a_platform_share_their_numbers() -> None:
    other = profiles.adyen_batch(platform="Shop1", file_type="Payout")
    assert other.sequence == RULES["adyen_batch"].sequence
    assert profiles.adyen_batch(platform="Shop2", file_type="Payout").sequence != other.sequence


def test_corrected_file_may_replace_a_rejected_one_on_request() -> None:
    assert profiles.paygears_ach().if_exists is IfExists.REFUSE
    assert profiles.paygears_ach(replace_rejected=True).if_exists is IfExists.REPLACE
