"""Invoices for the bank: outgoing/a.csv in a new bucket arrives as /inbox/outgoing/a.csv."""

import aws_cdk as cdk

from cdk_s3_to_sftp import S3ToSftp, SftpServer

BANKS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"

app = cdk.App()
stack = cdk.Stack(app, "Invoices")
bank = SftpServer("sftp.bank.example", directory="/inbox", host_keys=[BANKS_KEY])
S3ToSftp(stack, "ToBank", server=bank, prefix="outgoing/")
app.synth()
