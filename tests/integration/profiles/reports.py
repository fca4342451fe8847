"""Profiles of partners that take reports, feeds and claims."""

from __future__ import annotations

from dataclasses import replace

from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists
from s3_to_sftp.rules import profiles
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import Case as Letters
from tests.integration.profiles.cases import Case, Mutation
from tests.integration.profiles.payments import EXTRA_FILE, named
from tests.support.strict_partner.reports import Ddex, Google, WashingtonHca, WashingtonHcaTest

_CREATED = "{event_time:%Y%m%dT%H%M%S}"
_FEED = "reservewithgoogle.entity"
_DESCRIPTOR = (
    '{{{{"generation_timestamp": {{event_time:{time}}}, "name": "{feed}", "data_file": ["{file}"]}}}}'
)


def semaphore_first(plan: DeliveryPlan) -> DeliveryPlan:
    return replace(plan, companions=tuple(replace(each, is_before=True) for each in plan.companions))


def semaphore(name: str, content: str = "") -> dict[str, object]:
    return {"companions": (Companion(name=name, content=content),)}


def descriptor(*, name: str = "{stem}.filesetdesc.json", **values: str) -> dict[str, object]:
    content = _DESCRIPTOR.format(**{"time": "%s", "feed": _FEED, "file": "{path}", **values})
    return {"companions": (Companion.document(name, content, before=True),)}


DDEX = Case(
    document=lambda: Ddex(recipient="Label", sender="Shop", service="Premium"),
    rules=profiles.ddex_sales_report(recipient="Label", sender="Shop", service="Premium"),
    sent={"reports/2026-10_CH.tsv": b"HEAD\t1", "reports/2026-10_DE.tsv": b"HEAD\t2"},
    names=(
        "DSR_Label_Shop_Premium_2026-10_CH_1of1_20261128T100000.tsv",
        "DSR_Label_Shop_Premium_2026-10_CH_20261128T100000.ctrl",
        "DSR_Label_Shop_Premium_2026-10_DE_1of1_20261128T100000.tsv",
        "DSR_Label_Shop_Premium_2026-10_DE_20261128T100000.ctrl",
    ),
    mutations={
        "marker before data": Mutation(complaint="announces a report that is not", plan=semaphore_first),
        "marker missing": Mutation(
            complaint="has no semaphore", rules={"companions": ()}, at_end_of_day=True
        ),
        "marker with the counter": Mutation(
            complaint="announces a report that is not", rules=semaphore("{stem}.ctrl")
        ),
        "marker with the extension appended": Mutation(
            complaint="announces a report that is not", rules=semaphore("{name}.ctrl")
        ),
        "marker in capitals": Mutation(complaint="neither .tsv nor .ctrl", rules=semaphore("{stem}.CTRL")),
        "marker that is not empty": Mutation(
            complaint="is not empty", rules=semaphore(f"{{stem:.33}}_{_CREATED}.ctrl", "{bytes}")
        ),
        "wrong extension": Mutation(
            complaint="neither .tsv nor .ctrl",
            rules=named(f"DSR_Label_Shop_Premium_{{stem}}_1of1_{_CREATED}.txt"),
        ),
        "wrong case": Mutation(
            complaint="eight parts",
            rules={"case": Letters.LOWER, "allowed_names": None},
        ),
        "no counter": Mutation(
            complaint="eight parts", rules=named(f"DSR_Label_Shop_Premium_{{stem}}_{_CREATED}.tsv")
        ),
        "other sender": Mutation(
            complaint="eight parts",
            replaced=profiles.ddex_sales_report(recipient="Label", sender="Other", service="Premium"),
        ),
        "period of one digit": Mutation(
            complaint="wrong period", key="2026-1_CH.tsv", rules={"allowed_names": None}
        ),
        "no temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}"}),
        "visible temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}.partial"}),
    },
)

GOOGLE = Case(
    document=lambda: Google(feeds=[_FEED]),
    rules=profiles.google_feed_descriptor(feed=_FEED),
    sent={"feeds/offers.json": b"{}", "feeds/entities.json": b"[]"},
    names=(
        "offers_1795860000.filesetdesc.json",
        "offers_1795860000.json",
        "entities_1795860000.filesetdesc.json",
        "entities_1795860000.json",
    ),
    mutations={
        "descriptor after data": Mutation(
            complaint="no descriptor lists",
            plan=lambda plan: replace(
                plan, companions=tuple(replace(each, is_before=False) for each in plan.companions)
            ),
        ),
        "descriptor missing": Mutation(complaint="no descriptor lists", rules={"companions": ()}),
        "descriptor with another extension": Mutation(
            complaint="not the extension .json", rules=descriptor(name="{stem}.json.desc")
        ),
        "descriptor of another file": Mutation(
            complaint="no descriptor lists", rules=descriptor(file="other.json")
        ),
        "descriptor of another feed": Mutation(
            complaint="unknown feed", replaced=profiles.google_feed_descriptor(feed="google.offer")
        ),
        "descriptor with another time": Mutation(
            complaint="no time in seconds", rules=descriptor(time="%Y%m%d")
        ),
        "reused name": Mutation(
            complaint="was used already", again=True, rules={"if_exists": IfExists.REPLACE}
        ),
        "wrong extension": Mutation(
            complaint="not the extension .json", rules=named("{stem}_{event_time:%s}.txt")
        ),
        "wrong case": Mutation(
            complaint="not the extension .json",
            plan=lambda plan: replace(plan, file=replace(plan.file, path=plan.file.path.upper())),
        ),
        "no temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}"}),
        "other directory": Mutation(
            complaint="not in /", rules={"name": "outbox/{stem}_{event_time:%s}.json"}
        ),
        "extra file": Mutation(
            complaint="not the extension .json",
            rules={
                "companions": (
                    *profiles.google_feed_descriptor(feed=_FEED).companions,
                    *EXTRA_FILE["companions"],
                )
            },
        ),
    },
)

_CLAIM = "PROD/HIPAA_Inbound/HIPAA.101721500.{event_time:%m%d%Y%H%M}_{stem}"

HCA = Case(
    document=lambda: WashingtonHca(trading_partner="101721500"),
    rules=profiles.wa_hca_837(trading_partner="101721500"),
    sent={"claims/P_1.dat": b"ISA*00", "claims/P_2.edi": b"ISA*01"},
    names=("HIPAA.101721500.112820260200_P_1.dat", "HIPAA.101721500.112820260200_P_2.dat"),
    mutations={
        "wrong extension": Mutation(complaint="no .dat file", rules=named(f"{_CLAIM}.txt")),
        "wrong case": Mutation(complaint="no .dat file", rules=named(f"{_CLAIM}.DAT")),
        "no extension": Mutation(complaint="no .dat file", rules=named(_CLAIM)),
        "tree for tests": Mutation(
            complaint="not in /PROD/HIPAA_Inbound",
            replaced=profiles.wa_hca_837(trading_partner="101721500", test=True),
        ),
        "directory for acknowledgements": Mutation(
            complaint="not in /PROD/HIPAA_Inbound", rules=named("PROD/HIPAA_Ack/{name}")
        ),
        "other trading partner": Mutation(
            complaint="not of the trading partner", replaced=profiles.wa_hca_837(trading_partner="1")
        ),
        "no time": Mutation(
            complaint="no time", rules=named("PROD/HIPAA_Inbound/HIPAA.101721500.{stem}.dat")
        ),
        "year before month": Mutation(
            complaint="no time",
            rules=named("PROD/HIPAA_Inbound/HIPAA.101721500.{event_time:%Y%m%d%H%M}_{stem}.dat"),
        ),
        "no temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}"}),
        "visible temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}.partial"}),
        "extra file": Mutation(complaint="no .dat file", rules=EXTRA_FILE),
    },
)

HCA_TEST = Case(
    document=lambda: WashingtonHcaTest(trading_partner="101721500"),
    rules=profiles.wa_hca_837(trading_partner="101721500", test=True),
    sent={"claims/P_1.dat": b"ISA*00"},
    names=("HIPAA.101721500.112820260200_P_1.dat",),
    mutations={},
)
