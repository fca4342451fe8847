"""Tags resources with their partner."""

import re

import aws_cdk as cdk
from constructs import IConstruct

from cdk_s3_to_sftp.arguments import is_token

PARTNER_TAG = "s3-to-sftp:partner"
"""Key of the tag on every created resource that supports tags."""

_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9 _.:/=+@-]")
"""Characters that not every service accepts in the value of a tag.

https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
"""

_LONGEST_VALUE = 256


def tag_with_partner(scope: IConstruct, host: str) -> None:
    """Tag the resources created in `scope` with the partner's host. Passed-in resources are not tagged."""
    value = host if is_token(host) else _NOT_IN_TAGS.sub("_", host)[:_LONGEST_VALUE]
    cdk.Tags.of(scope).add(PARTNER_TAG, value)
