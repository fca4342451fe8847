"""Encrypted payments for a bank: outgoing/salaries.xml arrives as /inbox/SALARIES_000001.XML.PGP."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager

from cdk_s3_to_sftp import (
    AfterDelivery,
    Case,
    Companion,
    DeliveryRules,
    Gzip,
    IfExists,
    OpenPgp,
    S3ToSftp,
    Sequence,
    SftpServer,
)

BANKS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"
BANKS_PGP_KEY = Path(__file__).with_name("bank.asc").read_text()

app = cdk.App()
stack = cdk.Stack(app, "EncryptedPayments")
our_key = secretsmanager.Secret(stack, "SigningKey", description="Our OpenPGP key, which signs payments")
rules = DeliveryRules(
    name="{stem}_{sequence:06d}{ext}.pgp",
    case=Case.UPPER,
    allowed_names=r"[A-Z]{1,20}_[0-9]{6}\.XML\.PGP",
    temporary="{name}.partial",
    if_exists=IfExists.REFUSE,
    sequence=Sequence(),
    transforms=[Gzip(), OpenPgp(encrypt_to=[BANKS_PGP_KEY], sign_with=our_key)],
    companions=[Companion.checksum("sha256"), Companion.marker("{name}.DONE")],
    after_delivery=AfterDelivery.tag({"delivered": "yes"}),
    examples=["outgoing/salaries.xml"],
)
bank = SftpServer("sftp.bank.example", directory="/inbox", host_keys=[BANKS_KEY], rules=rules)
S3ToSftp(stack, "ToBank", server=bank, prefix="outgoing/", suffix=".xml")
app.synth()
