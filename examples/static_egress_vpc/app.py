"""Payments for a bank and statements for its auditor, who both allow only our one address."""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import S3ToSftp, SftpServer, StaticEgress

BANKS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"
AUDITORS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMIfBq2U4imGMWRZOzBc/ARp/FQdEJIp/kfKsHz2x+I9"

app = cdk.App()
stack = cdk.Stack(app, "Payments")

# The output `Addresses` shows the address, which is retained even when the stack is deleted. Any number of
# partners share the network and its cost.
egress = StaticEgress(stack, "Egress", ports=[22, 2222])

bucket = s3.Bucket(stack, "Bucket", versioned=True, enforce_ssl=True)
PARTNERS = {
    "payments/": SftpServer("sftp.bank.example", directory="/inbox", host_keys=[BANKS_KEY]),
    "statements/": SftpServer("sftp.auditor.example", port=2222, host_keys=[AUDITORS_KEY]),
}
for prefix, server in PARTNERS.items():
    S3ToSftp(
        stack,
        f"To-{server.host}",
        server=server,
        bucket=bucket,
        prefix=prefix,
        vpc=egress.vpc,
        vpc_subnets=egress.vpc_subnets,
        security_groups=egress.security_groups,
    )
app.synth()
