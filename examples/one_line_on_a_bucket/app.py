"""Invoices and orders for the bank: a line on each bucket, and one delivery for both."""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import DeliverToSftp, SftpServer

BANKS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"

app = cdk.App()
stack = cdk.Stack(app, "Accounting")
bank = SftpServer("sftp.bank.example", host_keys=[BANKS_KEY])

invoices = s3.Bucket(stack, "Invoices", versioned=True, enforce_ssl=True)
invoices.with_(DeliverToSftp("ToBank", server=bank, directory="/invoices"))

# The same id and the same partner: another source of the delivery above.
orders = s3.Bucket(stack, "Orders", versioned=True, enforce_ssl=True)
orders.with_(DeliverToSftp("ToBank", server=bank, directory="/orders", suffix=".csv"))
app.synth()
