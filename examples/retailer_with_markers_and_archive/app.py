"""Sales reports for a label: a marker follows each report, which is then moved to an archive."""

import aws_cdk as cdk

from cdk_s3_to_sftp import AfterDelivery, Companion, DeliveryRules, Filter, S3ToSftp, SftpServer

LABELS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"

app = cdk.App()
stack = cdk.Stack(app, "Reports")
rules = DeliveryRules(
    name="{part[-2]}_{name}",
    companions=[Companion.marker("{stem}.ctrl")],
    only=Filter(min_bytes=1, suffixes=[".tsv", ".tsv.gz"], exclude=["*/drafts/*"]),
    after_delivery=AfterDelivery.move(prefix="delivered/"),
    examples=["reports/2026-10/CH.tsv", "reports/2026-10/DE.tsv.gz"],
)
label = SftpServer("sftp.label.example", directory="/reports", host_keys=[LABELS_KEY], rules=rules)
S3ToSftp(stack, "ToLabel", server=label, prefix="reports/")
app.synth()
