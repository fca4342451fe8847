"""Rules of partners that take reports, feeds and claims."""

import re
from enum import StrEnum

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.invalid import require_type
from s3_to_sftp.rules.profiles.assigned import require_flag, require_match


class Period(StrEnum):
    """Which time a sales report is about, and how its name says it."""

    YEAR = "year"
    """2026"""
    QUARTER = "quarter"
    """2026-Q4"""
    MONTH = "month"
    """2026-11"""
    WEEK = "week"
    """2026-W48"""
    DAY = "day"
    """2026-11-28"""


_PERIODS = {
    Period.YEAR: (4, "[0-9]{4}"),
    Period.QUARTER: (7, "[0-9]{4}-Q[1-4]"),
    Period.MONTH: (7, "[0-9]{4}-[0-9]{2}"),
    Period.WEEK: (8, "[0-9]{4}-W[0-9]{2}"),
    Period.DAY: (10, "[0-9]{4}-[0-9]{2}-[0-9]{2}"),
}
_PART_OF_A_NAME = "[A-Za-z0-9.-]{1,40}"
_CREATED = "{event_time:%Y%m%dT%H%M%S}"


def ddex_sales_report(
    *, sender: str, service: str, recipient: str = "", period: Period = Period.MONTH
) -> DeliveryRules:
    """Return the rules of DDEX sales reports: the report, then an empty semaphore file of nearly its name.

    An object's name is the period and the territory, as in `reports/2026-11_CH.tsv`; the rest of the file's
    name is added. The semaphore has the report's name without `1of1`, and the extension `.ctrl`. A report is
    one file. The recipient deletes the semaphore when it has fetched the report.

    Args:
        sender: Name or DDEX party id of the sender.
        service: What the report is about, such as a tier of the service.
        recipient: Name or party id of the recipient. By default none: the report has several recipients.
        period: Which time a report is about.
    """
    part = "up to 40 letters, digits, '.' and '-'"
    require_match("sender", sender, _PART_OF_A_NAME, wanted=part)
    require_match("service", service, _PART_OF_A_NAME, wanted=part)
    require_match("recipient", recipient, f"({_PART_OF_A_NAME})?", wanted=f"empty, or {part}")
    require_type(
        "period", period, Period, wanted=f"one of {', '.join(f'Period.{each.name}' for each in Period)}"
    )
    before = f"DSR_{recipient}_{sender}_{service}_"
    length, form = _PERIODS[period]
    until_territory = len(before) + length + len("_CH")
    return DeliveryRules(
        name=f"{before}{{stem}}_1of1_{_CREATED}.tsv",
        # The lengths are fixed, so that cutting the stem leaves out `1of1` and what follows it.
        companions=(Companion.marker(f"{{stem:.{until_territory}}}_{_CREATED}.ctrl"),),
        allowed_names=rf"{re.escape(before)}{form}_[A-Z]{{2}}_1of1_[0-9]{{8}}T[0-9]{{6}}\.tsv",
        examples=(f"{_EXAMPLES[period]}_CH.tsv",),
        source=(
            "DDEX, Digital Sales Report Message Suite, Part 1, 8.1 and 8.3: https://dsr1.ddex.net/"
            "digital-sales-report-message-suite%253A-part-1-architecture/8-transfer-of-sales-report-messages"
        ),
    )


_EXAMPLES = {
    Period.YEAR: "2026",
    Period.QUARTER: "2026-Q4",
    Period.MONTH: "2026-11",
    Period.WEEK: "2026-W48",
    Period.DAY: "2026-11-28",
}


def google_feed_descriptor(*, feed: str) -> DeliveryRules:
    """Return the rules of Google's generic SFTP server: a descriptor that lists the data, then the data.

    `offers.json` becomes `offers_1795824000.json` (the time of the object, in seconds since 1970), and its
    descriptor `offers_1795824000.filesetdesc.json`. The descriptor has the data's path: where the server or
    source has a remote directory, it is written without '/' in front. A feed is one file.

    Args:
        feed: Name of the feed, such as `reservewithgoogle.action.v2`.
    """
    require_match(
        "feed", feed, r"[a-z0-9]+(\.[a-z0-9_]+)+", wanted="a feed's name, as 'reservewithgoogle.entity'"
    )
    content = (
        f'{{{{"generation_timestamp": {{event_time:%s}}, "name": "{feed}", "data_file": ["{{path}}"]}}}}\n'
    )
    return DeliveryRules(
        name="{stem}_{event_time:%s}.json",
        companions=(Companion.document("{stem}.filesetdesc.json", content, before=True),),
        allowed_names=r"[A-Za-z0-9_-]+_[0-9]+\.json",
        # Names are never reused.
        if_exists=IfExists.REFUSE,
        examples=("action.json",),
        source=(
            "Google, Actions Center, Using the Generic SFTP Server: https://developers.google.com/"
            "actions-center/verticals/reservations/redirect/reference/tutorials/generic-sftp"
        ),
    )


def wa_hca_837(*, trading_partner: str, test: bool = False) -> DeliveryRules:
    """Return the rules of claims for the Washington State Health Care Authority: `.dat` files in two trees.

    Files go to `PROD/HIPAA_Inbound` or `TEST/HIPAA_Inbound`, which exist, below where the login starts. The
    name is made of the partner's id, the time of the object, and the stem of its key. Acknowledgements and
    refused files are in other directories. These rules follow notes about the Authority's guide.

    Args:
        trading_partner: The id that the Authority assigned.
        test: Whether files are for tests.
    """
    require_match("trading_partner", trading_partner, "[0-9]{1,20}", wanted="the id's digits")
    require_flag("test", test)
    tree = "TEST" if test else "PROD"
    return DeliveryRules(
        name=f"{tree}/HIPAA_Inbound/HIPAA.{trading_partner}.{{event_time:%m%d%Y%H%M}}_{{stem}}.dat",
        time_zone="America/Los_Angeles",
        allowed_names=rf"HIPAA\.{trading_partner}\.[0-9]{{12}}_[A-Za-z0-9_-]+\.dat",
        examples=("P_1.dat",),
        source=(
            "Washington State HCA, 837 testing, as noted by EDI Academy: "
            "https://ediacademy.com/blog/837-institutional-healthcare-claim-testing-notes/"
        ),
    )
