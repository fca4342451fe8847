"""Profiles of processors and banks."""

from __future__ import annotations

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.rules import profiles
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import Case as Letters
from s3_to_sftp.rules.sequence import Sequence
from tests.integration.profiles.cases import Case, Mutation
from tests.support.strict_partner.payments import Adyen, Bcb, PayGears, Valitor, Worldpay

PAYMENTS = b"<Document><CstmrCdtTrfInitn></CstmrCdtTrfInitn></Document>"
EXTRA_FILE = {"companions": (Companion.marker("{name}.done"),)}


def named(name: str) -> dict[str, object]:
    """Return the rules of another name, without the expression that would refuse it."""
    return {"name": name, "allowed_names": None}


WORLDPAY = Case(
    document=Worldpay,
    rules=profiles.worldpay_account_updater(),
    sent={"out/Shop_261128.xml": b"<cnpRequest/>", "out/Shop_261129.prg": b"<cnpRequest id='2'/>"},
    names=("Shop_261128.asc", "Shop_261129.asc"),
    mutations={
        "no temporary name": Mutation(
            complaint="without the extension .prg",
            rules={"temporary": "{name}", "require_attributes": False},
        ),
        "hidden temporary name": Mutation(complaint="without the extension .prg", rules={"temporary": None}),
        "wrong temporary name": Mutation(
            complaint="without the extension .prg", rules={"temporary": "{name}.partial"}
        ),
        "temporary name in capitals": Mutation(
            complaint="without the extension .prg", rules={"temporary": "{stem}.PRG"}
        ),
        "other name": Mutation(complaint="another name than", rules={"temporary": "{stem}{token}.prg"}),
        "wrong extension": Mutation(
            complaint="not the extension .asc", rules={"name": "{stem}.xml", "allowed_names": None}
        ),
        "wrong case": Mutation(
            complaint="not the extension .asc",
            rules={"case": Letters.UPPER, "allowed_names": None},
        ),
        "space": Mutation(complaint="has a space", key="Shop 1.xml", rules={"allowed_names": None}),
        "name too long": Mutation(
            complaint="more than 128", key=f"{'a' * 125}.xml", rules={"max_name_length": 250}
        ),
        "no mode": Mutation(complaint="mode 644, not 664", rules={"mode": None, "require_attributes": False}),
        "wrong mode": Mutation(complaint="mode 660, not 664", rules={"mode": 0o660}),
        "extra file": Mutation(complaint="done has not the extension .asc", rules=EXTRA_FILE),
    },
)

VALITOR = Case(
    document=lambda: Valitor(today="61128"),
    rules=profiles.valitor_clearing(),
    sent={"clearing/001.otf": b"header 001", "clearing/899.otf": b"header 899"},
    names=("61128001.otf", "61128899.otf"),
    mutations={
        "no temporary name": Mutation(complaint="without .partial", rules={"temporary": "{name}"}),
        "hidden temporary name": Mutation(complaint="without .partial", rules={"temporary": None}),
        "wrong temporary name": Mutation(complaint="without .partial", rules={"temporary": "{name}.part"}),
        "replaced extension": Mutation(
            complaint="not the same without .partial", rules={"temporary": "{stem}.partial"}
        ),
        "wrong extension": Mutation(
            complaint="not the extension .otf", rules=named("{event_time:%1y%m%d}{stem}.txt")
        ),
        "wrong case": Mutation(
            complaint="not the extension .otf",
            rules={"case": Letters.UPPER, "allowed_names": None},
        ),
        "year of two digits": Mutation(
            complaint="date YMMDD and three digits", rules=named("{event_time:%y%m%d}{stem}.otf")
        ),
        "day before month": Mutation(complaint="not of today", rules=named("{event_time:%1y%d%m}{stem}.otf")),
        "missing zero padding": Mutation(
            complaint="date YMMDD and three digits", key="1.otf", rules={"allowed_names": None}
        ),
        "test file in production": Mutation(
            complaint="other environment", key="901.otf", replaced=profiles.valitor_clearing(test=True)
        ),
        "overwritten name": Mutation(
            complaint="was there already", again=True, rules={"if_exists": IfExists.REPLACE}
        ),
        "extra file": Mutation(complaint="not the extension .otf", rules=EXTRA_FILE),
    },
)

VALITOR_TEST = Case(
    document=lambda: Valitor(today="61128", test=True),
    rules=profiles.valitor_clearing(test=True),
    sent={"901.otf": b"header 901", "999.otf": b"header 999"},
    names=("61128901.otf", "61128999.otf"),
    mutations={},
)

ADYEN = Case(
    document=lambda: Adyen(platform="Shop1", types=["Modification"], next_number=41),
    rules=profiles.adyen_batch(platform="Shop1", file_type="Modification", first_number=41),
    sent={"a.csv": b"FH,1", "b.csv": b"FH,2", "c.csv": b"FH,3"},
    names=("Shop1_41_Modification.csv", "Shop1_42_Modification.csv", "Shop1_43_Modification.csv"),
    mutations={
        "gap in the sequence": Mutation(complaint="43 leaves a gap: 42 is next", again=True, number=43),
        "repeated number": Mutation(
            complaint="number 41 was used already",
            again=True,
            number=41,
            rules={"if_exists": IfExists.REPLACE},
        ),
        "wrong first number": Mutation(
            complaint="1 was used already", rules={"sequence": Sequence(name="Shop1")}
        ),
        "zero padding": Mutation(
            complaint="0041 is not written as a number", rules=named("Shop1_{sequence:04d}_Modification.csv")
        ),
        "no number": Mutation(
            complaint="not PLATFORM_NUMBER_TYPE",
            rules={**named("Shop1_{stem}_Modification.csv"), "sequence": None},
        ),
        "wrong case": Mutation(
            complaint="not the extension .csv",
            rules={"case": Letters.UPPER, "allowed_names": None},
        ),
        "other platform": Mutation(
            complaint="unknown platform",
            replaced=profiles.adyen_batch(platform="Shop2", file_type="Modification", first_number=41),
        ),
        "other file type": Mutation(
            complaint="unknown file type",
            replaced=profiles.adyen_batch(platform="Shop1", file_type="Payout", first_number=41),
        ),
        "wrong extension": Mutation(
            complaint="not the extension .csv", rules=named("Shop1_{sequence}_Modification.txt")
        ),
        "visible temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}.partial"}),
        "extra file": Mutation(complaint="not the extension .csv", rules=EXTRA_FILE),
    },
)

PAYGEARS = Case(
    document=PayGears,
    rules=profiles.paygears_ach(),
    sent={"ach/2026_11_28_1.csv": b"261128,ABC", "ach/2026_11_28_A.csv": b"261128,DEF"},
    names=("2026_11_28_1.csv", "2026_11_28_A.csv"),
    mutations={
        "overwritten name": Mutation(
            complaint="was accepted already", again=True, rules={"if_exists": IfExists.REPLACE}
        ),
        "wrong extension": Mutation(
            complaint="not the extension .csv", key="2026_11_28_1.txt", rules={"allowed_names": None}
        ),
        "wrong case": Mutation(
            complaint="not allowed",
            rules={"allowed_names": None, "case": Letters.LOWER},
            key="2026_11_28_A.csv",
        ),
        "missing zero padding": Mutation(
            complaint="not YYYY_MM_DD", key="2026_1_2_A.csv", rules={"allowed_names": None}
        ),
        "number of two digits": Mutation(
            complaint="not YYYY_MM_DD", key="2026_11_28_10.csv", rules={"allowed_names": None}
        ),
        "other separator": Mutation(
            complaint="not YYYY_MM_DD", rules=named("{event_time:%Y-%m-%d}_{stem:.1}.csv")
        ),
        "key as the name": Mutation(complaint="not in /", rules={"name": "outbox/{name}"}),
        "no temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}"}),
        "visible temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}.partial"}),
        "extra file": Mutation(complaint="not the extension .csv", rules=EXTRA_FILE),
    },
)

BCB = Case(
    document=Bcb,
    rules=profiles.bcb_bulk_payments(),
    directory="/input",
    sent={"salaries.xml": PAYMENTS, "suppliers.xml": PAYMENTS + b"\n"},
    names=("salaries.xml", "suppliers.xml"),
    mutations={
        "temporary name in another directory": Mutation(
            complaint="cannot be renamed to another directory", rules={"temporary": "/archive/.{token}{name}"}
        ),
        "no temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}"}),
        "visible temporary name": Mutation(complaint="visible before", rules={"temporary": "{name}.partial"}),
        "mode": Mutation(complaint="cannot be set", rules={"mode": 0o640}),
        "modification time": Mutation(complaint="cannot be set", rules={"preserve_time": True}),
        "bytes out of order": Mutation(complaint="does not begin where", tail_first=True),
        "overwritten name": Mutation(
            complaint="is a duplicate",
            again=True,
            rules={"if_exists": IfExists.REPLACE},
            data=PAYMENTS + b" ",
        ),
        "the same payments": Mutation(complaint="are duplicates", again=True, key="other.xml"),
        "other directory": Mutation(complaint="not in /input", directory="/archive"),
        "extra file": Mutation(complaint="not pain.001", rules=EXTRA_FILE),
    },
)
