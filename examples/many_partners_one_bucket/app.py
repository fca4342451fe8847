"""Reports for two partners, who both get every object under reports/ in a bucket of another stack."""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import S3ToSftp, SftpServer, Trigger

BANKS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"
INSURERS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMIfBq2U4imGMWRZOzBc/ARp/FQdEJIp/kfKsHz2x+I9"
PARTNERS = {
    "Bank": SftpServer("sftp.bank.example", directory="/inbox", host_keys=[BANKS_KEY]),
    "Insurer": SftpServer("sftp.insurer.example", directory="/from-us", host_keys=[INSURERS_KEY]),
}

app = cdk.App()
lake = s3.Bucket(cdk.Stack(app, "Lake"), "Bucket", versioned=True, enforce_ssl=True)

# Each partner has its own stack, login, queue and ledger: a problem with one does not affect the other.
for name, server in PARTNERS.items():
    S3ToSftp(
        cdk.Stack(app, f"To{name}"),
        "Delivery",
        server=server,
        bucket=lake,
        prefix="reports/",
        trigger=Trigger.EVENTBRIDGE,
    )
app.synth()
