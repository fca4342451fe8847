"""Papers for the auditor: two departments, three directories; one partner, one login, one queue."""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import S3ToSftp, SftpServer

AUDITORS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"

app = cdk.App()
stack = cdk.Stack(app, "Audit")
sales = s3.Bucket(stack, "Sales", versioned=True, enforce_ssl=True)
payroll = s3.Bucket(stack, "Payroll", versioned=True, enforce_ssl=True)

auditor = SftpServer("sftp.auditor.example", host_keys=[AUDITORS_KEY])
to_auditor = S3ToSftp(stack, "ToAuditor", server=auditor, sources=[])
to_auditor.add_source(sales, prefix="invoices/", directory="/sales")
to_auditor.add_source(payroll, suffix=".csv", directory="/payroll/lists")
to_auditor.add_source(payroll, suffix=".pdf", directory="/payroll/slips")
app.synth()
