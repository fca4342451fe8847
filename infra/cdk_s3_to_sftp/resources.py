"""The bucket, the secret and the log that the construct makes where it is given none."""

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

Never change this: CloudFormation writes a secret's value again when its text in the template changes. That
would wipe out the login in every stack that is updated.
"""


KEEP_VERSIONS_FOR = cdk.Duration.days(90)
"""By default: time to notice that something was deleted or overwritten by mistake."""

_UNFINISHED_UPLOADS_FOR = cdk.Duration.days(7)
"""What AWS suggests for its parts, which nobody sees and which are paid for
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpu-abort-incomplete-mpu-lifecycle-config.html).
"""


@dataclass(frozen=True, kw_only=True)
class DataProtection:
    """How what is made here is kept.

    Attributes:
        encryption_key: Encrypts it; None: a key that AWS manages.
        removal_policy: What becomes of what holds data when the stack is deleted.
    """

    encryption_key: kms.IKey | None
    removal_policy: cdk.RemovalPolicy

    def acknowledge_aws_managed_key(self, scope: Construct, suppression: Suppression) -> None:
        """Accept it for `scope` where there is no other key: with one, there is nothing to find."""
        if self.encryption_key is None:
            acknowledge(scope, suppression)


def make_bucket(
    scope: Construct, protection: DataProtection, *, keep_versions_for: cdk.Duration
) -> s3.Bucket:
    """Make a bucket: encrypted, versioned, private, TLS only, without old versions for ever.

    Args:
        scope: The construct that it belongs to.
        protection: How it is kept.
        keep_versions_for: How long a version is kept after it was replaced or deleted.
    """
    bucket = s3.Bucket(
        scope,
        "Bucket",
        encryption=s3.BucketEncryption.KMS if protection.encryption_key else s3.BucketEncryption.S3_MANAGED,
        encryption_key=protection.encryption_key,
        # Else every object costs a request to the key, when it is put and when it is read.
        bucket_key_enabled=True if protection.encryption_key else None,
        versioned=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        enforce_ssl=True,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="OldVersions",
                noncurrent_version_expiration=keep_versions_for,
                # The mark of a deletion stays behind when the last version is gone.
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
    """Make a secret to be filled once."""
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
    """Make the log."""
    log = logs.LogGroup(
        scope,
        "Log",
        retention=retention,
        encryption_key=protection.encryption_key,
        removal_policy=protection.removal_policy,
    )
    protection.acknowledge_aws_managed_key(log, suppressions.LOG_KEY)
    return log
