"""The examples, deployed unchanged except for the partner: their objects arrive."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pysequoia
import pytest

from local.deployment import App
from tests.support.e2e.stack_environment import StackEnvironment, wait_until
from tests.support.e2e.stacks import Stacks

EXAMPLES = Path(__file__).parents[2] / "examples"
APP = Path(__file__).parents[1] / "support" / "e2e" / "example_app.py"


Deploy = Callable[..., Stacks]


@pytest.fixture
def deploy(env: StackEnvironment, tmp_path: Path) -> Deploy:
    """Deploys an example and fills its secrets."""

    def deployed(name: str, *stacks: str, **about: str) -> Stacks:
        partner = {
            **about,
            "host": env.server.host,
            "port": env.server.port,
            "host_keys": list(env.server.host_keys),
        }
        App(
            command=f"{sys.executable} {APP} {EXAMPLES / name / 'app.py'}",
            assembly=env.asset.parent,  # with the bundle of the stock app, which is the same
            scratch=tmp_path / "cdk",
            variables={"LOCAL_PARTNER": json.dumps(partner)},
        ).deploy(env.cloud)
        example = Stacks(env, *stacks)
        example.fill_secrets()
        return example

    return deployed


def test_minimal_example_delivers(deploy: Deploy) -> None:
    example = deploy("minimal", "Invoices")
    example.put("ToBank", "outgoing/1.csv", b"invoice")
    assert example.arrived("inbox/outgoing/1.csv") == b"invoice"


def test_one_line_on_a_bucket_example_delivers_two_buckets(deploy: Deploy) -> None:
    example = deploy("one_line_on_a_bucket", "Accounting")
    example.put("Invoices", "1.pdf", b"invoice")
    example.put("Orders", "1.csv", b"order")
    assert example.arrived("invoices/1.pdf") == b"invoice"
    assert example.arrived("orders/1.csv") == b"order"


def test_existing_bucket_in_another_stack_example_delivers(deploy: Deploy) -> None:
    example = deploy("existing_bucket_in_another_stack", "Shop", "Delivery")
    example.put("Orders", "ready/1.csv", b"order")
    assert example.arrived("orders/ready/1.csv") == b"order"


def test_many_sources_one_partner_example_delivers(deploy: Deploy) -> None:
    example = deploy("many_sources_one_partner", "Audit")
    for bucket, key in (("Sales", "invoices/1.csv"), ("Payroll", "a b+1.csv"), ("Payroll", "1.pdf")):
        example.put(bucket, key, key.encode())
    for path, key in (
        ("sales/invoices/1.csv", "invoices/1.csv"),
        ("payroll/lists/a b+1.csv", "a b+1.csv"),
        ("payroll/slips/1.pdf", "1.pdf"),
    ):
        assert example.arrived(path) == key.encode()


def test_many_partners_one_bucket_example_delivers(deploy: Deploy) -> None:
    example = deploy("many_partners_one_bucket", "Lake", "ToBank", "ToInsurer")
    example.put("Bucket", "reports/a b+1.csv", b"report")
    assert example.arrived("inbox/reports/a b+1.csv") == b"report"
    assert example.arrived("from-us/reports/a b+1.csv") == b"report"


def test_customer_managed_keys_example_delivers(deploy: Deploy) -> None:
    example = deploy("customer_managed_keys", "Statements")
    example.put("Statements", "2026.pdf", b"statement")
    assert example.arrived("inbox/2026.pdf") == b"statement"


def test_bank_with_sequence_and_companions_example_delivers(deploy: Deploy) -> None:
    example = deploy("bank_with_sequence_and_companions", "Payments")
    inbox = example.directory("inbox")
    others = set(inbox.glob("*"))  # of the other stacks at this partner
    bodies = {name: f"<{name}/>".encode() for name in ("salaries", "pensions", "taxes")}
    for name, body in bodies.items():
        example.put("ToBank", f"outgoing/{name}.xml", body)
    wait_until(lambda: len({*inbox.glob("*.DONE")} - others) == len(bodies), "three markers", example.explain)
    data = sorted(inbox.glob("*.XML"), key=lambda path: path.stem[-6:])
    assert [path.stem[-6:] for path in data] == ["000001", "000002", "000003"]
    for path in data:
        body = bodies[path.stem[:-7].lower()]
        assert path.read_bytes() == body
        assert path.stat().st_mode & 0o777 == 0o640
        assert path.with_suffix(".CTL").read_bytes() == f"{path.name};{len(body)};1\r\n".encode()
        digest = hashlib.sha256(body).hexdigest()
        assert (inbox / f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n"
    # What an attempt that was ended has left is removed behind the marker.
    wait_until(lambda: len({*inbox.iterdir()} - others) == 4 * len(bodies), "nothing else", example.explain)


def test_retailer_with_markers_and_archive_example_delivers(deploy: Deploy) -> None:
    example = deploy("retailer_with_markers_and_archive", "Reports")
    example.put("ToLabel", "reports/2026-10/drafts/CH.tsv", b"draft")
    example.put("ToLabel", "reports/2026-10/CH.tsv", b"sales")
    assert example.arrived("reports/2026-10_CH.tsv") == b"sales"
    assert example.arrived("reports/2026-10_CH.ctrl") == b""
    wanted = {"delivered/reports/2026-10/CH.tsv": b"sales", "reports/2026-10/drafts/CH.tsv": b"draft"}
    wait_until(lambda: example.objects("ToLabel") == wanted, "the report in the archive", example.explain)
    assert not example.directory("reports/drafts_CH.tsv").exists()


def test_bank_with_sequence_and_pgp_example_delivers(deploy: Deploy) -> None:
    bank, we = (pysequoia.Tsk.generate(name) for name in ("bank", "we"))
    key = str(bank.extract_certificate())
    example = deploy("bank_with_sequence_and_pgp", "EncryptedPayments", open_pgp_key=key)
    example.fill_secret("SigningKey", str(we))
    bodies = {name: f"<{name}/>".encode() * 1000 for name in ("salaries", "pensions")}
    for name, body in bodies.items():
        example.put("ToBank", f"outgoing/{name}.xml", body)
    inbox = example.directory("inbox")
    wait_until(lambda: len(list(inbox.glob("*.PGP.DONE"))) == len(bodies), "two markers", example.explain)
    data = sorted(inbox.glob("*.PGP"), key=lambda path: path.name[-14:])
    assert [path.name[-14:] for path in data] == ["000001.XML.PGP", "000002.XML.PGP"]
    for path in data:
        sent = path.read_bytes()
        read = pysequoia.decrypt(sent, bank.decryptor(), lambda _ids: [we.extract_certificate()])
        assert gzip.decompress(bytes(read.bytes)) == bodies[path.name.partition("_")[0].lower()]
        assert [each.certificate for each in read.valid_sigs] == [we.extract_certificate().fingerprint]
        digest = hashlib.sha256(sent).hexdigest()
        assert (inbox / f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n"
    for name in bodies:
        wait_until(
            lambda name=name: example.tags("ToBank", f"outgoing/{name}.xml") == {"delivered": "yes"},
            "the tag of a delivered object",
            example.explain,
        )
