"""The bucket, the secret and the log group that the construct creates by default."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge
from cdk_s3_to_sftp.suppressions import Suppression

LOGIN_PLACEHOLDER = {"username": "REPLACE-ME", "password": "", "private_key": "", "passphrase": ""}
"""What the secret holds until somebody fills it.

Never change this: CloudFormation rewrites a secret's value when its text in the template changes. That would
erase the login in every stack that is updated.
"""


KEEP_VERSIONS_FOR = cdk.Duration.days(90)
"""Default: time to notice that something was deleted or overwritten by mistake."""

_UNFINISHED_UPLOADS_FOR = cdk.Duration.days(7)
"""AWS's suggestion for parts of incomplete uploads, which are invisible and billed
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpu-abort-incomplete-mpu-lifecycle-config.html). """


@dataclass(frozen=True, kw_only=True)
class DataProtection:
    """How created resources are protected.

    Attributes:
        encryption_key: The key that encrypts them. None: an AWS managed key.
        removal_policy: What happens to resources that hold data when the stack is deleted.
    """

    encryption_key: kms.IKey | None
    removal_policy: cdk.RemovalPolicy

    def acknowledge_aws_managed_key(self, scope: Construct, suppression: Suppression) -> None:
        """Acknowledge the finding for `scope`, unless there is a customer managed key."""
        if self.encryption_key is None:
            acknowledge(scope, suppression)


def make_bucket(
    scope: Construct, protection: DataProtection, *, keep_versions_for: cdk.Duration
) -> s3.Bucket:
    """Create a bucket: encrypted, versioned, private, TLS only, with old versions that expire.

    Args:
        scope: The construct that the resource belongs to.
        protection: The encryption key and the removal policy.
        keep_versions_for: How long a version is kept after it was replaced or deleted.
    """
    bucket = s3.Bucket(
        scope,
        "Bucket",
        encryption=s3.BucketEncryption.KMS if protection.encryption_key else s3.BucketEncryption.S3_MANAGED,
        encryption_key=protection.encryption_key,
        # Otherwise every object costs a KMS request when it is written and when it is read.
        bucket_key_enabled=True if protection.encryption_key else None,
        versioned=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        enforce_ssl=True,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="OldVersions",
                noncurrent_version_expiration=keep_versions_for,
                # A delete marker remains after the last version has expired.
                expired_object_delete_marker=True,
                abort_incomplete_multipart_upload_after=_UNFINISHED_UPLOADS_FOR,
            )
        ],
        removal_policy=protection.removal_policy,
    )
    acknowledge(
        bucket, suppressions.BUCKET_ACCESS_LOG, suppressions.BUCKET_REPLICA, suppressions.NOTIFICATIONS_POLICY
    )
    protection.acknowledge_aws_managed_key(bucket, suppressions.BUCKET_KEY)
    return bucket


def make_secret(scope: Construct, protection: DataProtection) -> secretsmanager.Secret:
    """Create a secret to be filled once."""
    plain = cdk.SecretValue.unsafe_plain_text  # nothing of the placeholder is secret
    secret = secretsmanager.Secret(
        scope,
        "Credentials",
        description="SFTP login: username, password, private_key, passphrase (empty: not used)",
        secret_object_value={name: plain(value) for name, value in LOGIN_PLACEHOLDER.items()},
        encryption_key=protection.encryption_key,
        removal_policy=protection.removal_policy,
    )
    acknowledge(secret, suppressions.SECRET_ROTATION)
    protection.acknowledge_aws_managed_key(secret, suppressions.SECRET_KEY)
    return secret


def make_log(
    scope: Construct, protection: DataProtection, *, retention: logs.RetentionDays | None
) -> logs.LogGroup:
    """Create the log group."""
    log = logs.LogGroup(
        scope,
        "Log",
        retention=retention,
        encryption_key=protection.encryption_key,
        removal_policy=protection.removal_policy,
    )
    protection.acknowledge_aws_managed_key(log, suppressions.LOG_KEY)
    return log
