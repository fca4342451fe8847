"""Payments for a bank that numbers files: outgoing/salaries.xml arrives as /inbox/SALARIES_000001.XML."""

import aws_cdk as cdk

from cdk_s3_to_sftp import Case, Companion, DeliveryRules, IfExists, S3ToSftp, Sequence, SftpServer

BANKS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"

app = cdk.App()
stack = cdk.Stack(app, "Payments")
rules = DeliveryRules(
    name="{stem}_{sequence:06d}{ext}",
    case=Case.UPPER,
    allowed_names=r"[A-Z]{1,20}_[0-9]{6}\.XML",
    temporary="{name}.partial",
    if_exists=IfExists.REFUSE,
    mode=0o640,
    sequence=Sequence(),
    companions=[
        Companion.document("{stem}.CTL", "{name};{bytes};{count}\r\n", before=True, encoding="ascii"),
        Companion.checksum("sha256"),
        Companion.marker("{stem}.DONE"),
    ],
    examples=["outgoing/salaries.xml"],
)
bank = SftpServer("sftp.bank.example", directory="/inbox", host_keys=[BANKS_KEY], rules=rules)
S3ToSftp(stack, "ToBank", server=bank, prefix="outgoing/", suffix=".xml")
app.synth()
