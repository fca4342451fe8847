"""Rules of partners whose onboarding documents are public, ready to use.

Each function keeps what its document says about names, order, companions, temporary names, existing names and
permissions. What the partner assigns (ids, prefixes, the first number) is passed in. `dataclasses.replace`
changes a single rule of the result.
"""

from s3_to_sftp.rules.profiles.payments import (
    adyen_batch,
    bcb_bulk_payments,
    paygears_ach,
    valitor_clearing,
    worldpay_account_updater,
)
from s3_to_sftp.rules.profiles.reports import Period, ddex_sales_report, google_feed_descriptor, wa_hca_837

__all__ = [
    "Period",
    "adyen_batch",
    "bcb_bulk_payments",
    "ddex_sales_report",
    "google_feed_descriptor",
    "paygears_ach",
    "valitor_clearing",
    "wa_hca_837",
    "worldpay_account_updater",
]
