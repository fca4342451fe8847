"""Policy statements for resources whose policies the app cannot change."""

from typing import Any

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.delivery_sources import DeliverySources
from cdk_s3_to_sftp.regions_and_accounts import forwarding_template
from cdk_s3_to_sftp.source_registry import identity


class ExternalPolicies(DeliverySources):
    """Statements to add to the policies of imported roles, queues, buckets and keys."""

    @property
    def role_policy_statements(self) -> list[iam.PolicyStatement]:
        """Statements for a role that CDK cannot change: what it is allowed, and its code denied."""
        return list(self._permissions.statements)

    @property
    def dead_letter_queue_policy_statements(self) -> list[iam.PolicyStatement]:
        """What the policy of an imported dead-letter queue must contain, so that EventBridge can use it."""
        return list(self._queue_policies.for_dead_letter_queue)

    @checks_types
    def bucket_policy_statements(self, bucket: s3.IBucket) -> list[iam.PolicyStatement]:
        """Return what the policy of a bucket in another account must contain to let its objects be read.

        Raises:
            InvalidArgument: It is not a source.
        """
        watched = [*self._sources, *self._former_sources]
        sources = [source for source in watched if identity(source.bucket) == identity(bucket)]
        if not sources:
            raise InvalidArgument("bucket", f"must be a source of {self.node.path}, got {bucket.node.path}")
        tagged = [source for source in sources if self._reads_tags(source)]
        after = {source: self._after_delivery(source).action for source in sources}
        return self._permissions.bucket_policy_statements(sources, tagged=tagged, after=after)

    @checks_types
    def forwarding_template(self, bucket: s3.IBucket) -> dict[str, Any]:
        """Return the template that the owner of a bucket in another account deploys to forward its events.

        A CloudFormation template (a rule and its role); `json.dumps` turns it into a file.

        Raises:
            InvalidArgument: It is not a source.
        """
        self.bucket_policy_statements(bucket)
        return forwarding_template(self, bucket)

    @checks_types
    def key_policy_statements(self, key: kms.IKey) -> list[iam.PolicyStatement]:
        """Return what the policy of an imported key must contain, so that what it encrypts can be used.

        Empty for a key that is not used, and for a key of the app, whose policy is changed directly.
        """
        return self._permissions.key_policy_statements(key)
