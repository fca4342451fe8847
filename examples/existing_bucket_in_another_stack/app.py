"""Orders for the carrier: delivers a bucket that another stack of the app owns."""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import S3ToSftp, SftpServer

CARRIERS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"

app = cdk.App()

# The existing bucket. Versioning ensures that the announced bytes are sent, whatever is put in the meantime.
shop = cdk.Stack(app, "Shop")
orders = s3.Bucket(shop, "Orders", versioned=True, enforce_ssl=True)

delivery = cdk.Stack(app, "Delivery")
carrier = SftpServer("sftp.carrier.example", directory="/orders", host_keys=[CARRIERS_KEY])
S3ToSftp(delivery, "ToCarrier", server=carrier, bucket=orders, prefix="ready/")
app.synth()
