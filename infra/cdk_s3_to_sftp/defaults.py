"""Default values that several modules of this package use.

The function has the same ones where it has a default, too; a test compares them.
"""

import aws_cdk as cdk

PORT = 22
MAX_CONNECTIONS = 2
MEMORY_MB = 512
STACK_NAME = "S3ToSftp"

REPLY_TIMEOUT = cdk.Duration.seconds(120)

RETRY_FOR_HOURS = 24
RETRY_FOR = cdk.Duration.hours(RETRY_FOR_HOURS)

RECEIPTS_FOR = cdk.Duration.days(400)
