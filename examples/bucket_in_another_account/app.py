"""Statements for the bank: the bucket is in another account, whose owner gets two JSON files to deploy."""

import json
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import S3ToSftp, SftpServer, Trigger

BANKS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"
OURS = cdk.Environment(account="111122223333", region="eu-west-1")  # the Region must be the bucket's
OWNER, BUCKET = "444455556666", "finance-statements"

app = cdk.App()
stack = cdk.Stack(app, "ToBank", env=OURS)
statements = s3.Bucket.from_bucket_attributes(stack, "Statements", bucket_name=BUCKET, account=OWNER)

bank = SftpServer("sftp.bank.example", directory="/inbox", host_keys=[BANKS_KEY])
delivery = S3ToSftp(
    stack, "Delivery", server=bank, bucket=statements, prefix="out/", trigger=Trigger.EVENTBRIDGE
)

# The owner deploys this: a rule that forwards the bucket's events to this account.
forwarding = json.dumps(delivery.forwarding_template(statements), indent=2)
Path(app.outdir, "forwarding.json").write_text(forwarding)

# The owner adds these to the bucket policy. They name the function's role, so the deployment prints them.
allowed = [statement.to_statement_json() for statement in delivery.bucket_policy_statements(statements)]
cdk.CfnOutput(
    stack,
    "BucketPolicyStatements",
    value=stack.to_json_string(allowed),
    description=f"The owner of {BUCKET} adds this to the Statement of its bucket policy",
)

# Synth warns about the owner's steps until they are acknowledged. README.md describes them.
for warning in ("eventBridgeOfImportedBucket", "eventsOfForeignBucket", "policyOfForeignBucket"):
    cdk.Annotations.of(stack).acknowledge_warning(f"cdk-s3-to-sftp:{warning}", "The owner has deployed it.")
app.synth()
