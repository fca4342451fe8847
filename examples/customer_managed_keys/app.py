"""Statements for the bank, with our own keys: one for the bucket, one for all that the delivery stores."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import S3ToSftp, SftpServer

BANKS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"

app = cdk.App()
stack = cdk.Stack(app, "Statements")

# Import an existing bucket together with its key: from_bucket_attributes(encryption_key=...).
statements = s3.Bucket(
    stack,
    "Statements",
    encryption_key=kms.Key(stack, "StatementsKey", enable_key_rotation=True),
    bucket_key_enabled=True,
    versioned=True,
    enforce_ssl=True,
)
bank = SftpServer("sftp.bank.example", directory="/inbox", host_keys=[BANKS_KEY])
S3ToSftp(
    stack,
    "ToBank",
    server=bank,
    bucket=statements,
    encryption_key=kms.Key(stack, "DeliveryKey", enable_key_rotation=True),
)
app.synth()
