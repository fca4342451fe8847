"""The error of an object that the partner's rules do not allow."""

from s3_to_sftp.errors import RemotePathRefused

__all__ = ["RemotePathRefused", "RuleRefused"]


class RuleRefused(RemotePathRefused):
    """The partner's rules give the object no name, or one that they do not allow.

    Attributes:
        rule: The rule.
        value: What it was applied to.
    """

    def __init__(self, rule: str, reason: str, *, value: str, hint: str) -> None:
        super().__init__(reason, hint=hint)
        self.rule = rule
        self.value = value
