"""The parameters of the CloudFormation template, and their allowed values."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import aws_cdk as cdk
from constructs import Construct

from cdk_s3_to_sftp.defaults import MAX_CONNECTIONS, PORT

CONNECTIONS = (*range(1, 11), 12, 16, 20, 24, 32, 48, 64, 96, 128)
"""Allowed numbers of connections. Others would have the same effect as the next lower even number."""

_LONGEST_HOST = 228
"""Characters. The function's description contains the host name, and Lambda allows 256 characters."""

_LONGEST_KEY_OF_S3 = 1024


@dataclass(frozen=True)
class Parameter:
    """One parameter of the template.

    Attributes:
        label: What the console calls it.
        description: What it is, and an example.
        constraint: What a value must be, as CloudFormation shows it for a value that does not match
            `pattern`.
        pattern: A regular expression of what is allowed, in the syntax that Java and Python share.
        settings: Other arguments of `CfnParameter`.
    """

    label: str
    description: str
    _: KW_ONLY
    constraint: str
    pattern: str | None = None
    settings: dict[str, Any]

    def add_to(self, scope: Construct, name: str) -> cdk.CfnParameter:
        """Add it to the template."""
        return cdk.CfnParameter(
            scope,
            name,
            description=self.description,
            allowed_pattern=self.pattern,
            constraint_description=self.constraint,
            **self.settings,
        )


_TEXT: dict[str, Any] = {"type": "String"}
_OPTIONAL: dict[str, Any] = {**_TEXT, "default": ""}

PARAMETERS = {
    "Host": Parameter(
        "Host of the SFTP server",
        "Name or address of the partner's SFTP server, such as sftp.partner.example.",
        pattern=(
            r"^(?!.*[^.]{64})([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|"
            r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$"
        ),
        constraint=(
            "must be a bare name or address such as sftp.partner.example: no sftp://, no user@, no :port, no "
            f"path, at most {_LONGEST_HOST} characters."
        ),
        settings={**_TEXT, "min_length": 1, "max_length": _LONGEST_HOST},
    ),
    "Port": Parameter(
        "Port",
        "TCP port of the SFTP server.",
        constraint="must be a number from 1 to 65535.",
        settings={"type": "Number", "default": PORT, "min_value": 1, "max_value": 65535},
    ),
    "HostKey": Parameter(
        "Public host key",
        "Public host key of the server: type and key, such as 'ssh-ed25519 AAAA...'. Several are separated "
        "by commas. Print them with 'ssh-keyscan -p PORT HOST', take the second and the third word of a "
        "line, and verify the fingerprint with the partner out of band.",
        pattern=(
            r"^(@cert-authority [^ ]+ )?(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) "
            r"AAAA[A-Za-z0-9+/]{60,}={0,2}$"
        ),
        constraint=(
            "must be type and key of a public key, such as 'ssh-ed25519 AAAA...', without host name and "
            "comment; several are separated by commas."
        ),
        settings={"type": "CommaDelimitedList"},
    ),
    "Directory": Parameter(
        "Remote directory",
        "Remote directory for all objects, such as /inbox; an object's key is its path below. Empty: the "
        "login directory.",
        pattern=r"^([^~ \x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^ \x00-\x1f\x7f])?)?$",
        constraint="must be a remote path such as /inbox. SFTP does not expand '~'.",
        settings={**_OPTIONAL, "max_length": 1024},
    ),
    "MaxConnections": Parameter(
        "Connections",
        "How many connections the partner allows at a time. From 4 on, large objects use several "
        "connections: only for servers that support parallel writes to one file, as OpenSSH does. 1 "
        "reserves a concurrency of 1, which counts against the account's limit.",
        constraint=f"must be one of {', '.join(map(str, CONNECTIONS))}.",
        settings={
            **_TEXT,
            "default": str(MAX_CONNECTIONS),
            "allowed_values": [str(number) for number in CONNECTIONS],
        },
    ),
    "Prefix": Parameter(
        "Prefix of the objects",
        "Deliver only objects whose key has this prefix, such as outgoing/. Empty: all of the bucket.",
        # Excludes keys that cannot be delivered, what S3 compares literally, and policy variables of IAM.
        pattern=r"^(?!(.*/)?\.{0,2}/)(?!.*\$\{)[^*\x00-\x1f\x7f]*$",
        constraint="must not begin with '/', nor contain '*', '${', '//', './' or '../'.",
        settings={**_OPTIONAL, "max_length": _LONGEST_KEY_OF_S3},
    ),
    "ExistingSecretArn": Parameter(
        "Existing secret",
        "Complete ARN of a Secrets Manager secret that holds the login as JSON: username, password, "
        "private_key, passphrase. Empty: a secret is created, and the output FillSecretCommand fills it.",
        pattern=r"^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^ *?]+-[A-Za-z0-9]{6})?$",
        constraint="must be the complete ARN of a secret, with the six characters at its end.",
        settings=_OPTIONAL,
    ),
    "ExistingSecretKeyArn": Parameter(
        "KMS key of the existing secret",
        "ARN of the customer managed KMS key that encrypts the existing secret. Empty: the AWS managed key "
        "encrypts it, or there is no existing secret.",
        pattern=r"^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$",
        constraint="must be the ARN of a KMS key (not of an alias).",
        settings=_OPTIONAL,
    ),
    "AlarmTopicArn": Parameter(
        "SNS topic for alarms",
        "ARN of the SNS topic that alarms are published to. Empty: nobody is notified.",
        pattern=r"^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+)?$",
        constraint="must be the ARN of an SNS topic, as 'aws sns list-topics' prints it.",
        settings=_OPTIONAL,
    ),
    "BundleBucket": Parameter(
        "Bucket with function.zip",
        "Bucket in this Region that function.zip was uploaded to.",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        constraint="must be the name of a bucket: no s3://, no path.",
        settings=_TEXT,
    ),
    "BundleKey": Parameter(
        "Key of function.zip",
        "Key of function.zip in that bucket. CloudFormation updates the function's code only when the key "
        "changes, so each version of the code needs its own.",
        pattern=r"^[^/](.*[^/])?$",
        constraint="must be the key of an object: no s3://, no bucket.",
        settings={**_TEXT, "max_length": _LONGEST_KEY_OF_S3},
    ),
}
"""In the order of the console."""

GROUPS = {
    "SFTP server": ("Host", "Port", "HostKey", "Directory", "MaxConnections"),
    "Objects": ("Prefix",),
    "Login": ("ExistingSecretArn", "ExistingSecretKeyArn"),
    "Alarms": ("AlarmTopicArn",),
    "Code of the function": ("BundleBucket", "BundleKey"),
}
"""Heading -> parameters."""


def interface() -> dict[str, Any]:
    """Return the metadata `AWS::CloudFormation::Interface`, by which the console groups the parameters."""
    return {
        "ParameterGroups": [
            {"Label": {"default": heading}, "Parameters": list(names)} for heading, names in GROUPS.items()
        ],
        "ParameterLabels": {name: {"default": each.label} for name, each in PARAMETERS.items()},
    }
