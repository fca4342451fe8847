"""What rules with OpenPGP need: a layer, keys that can be used, and the secrets of those that sign."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IConstruct

from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.arguments import is_token
from cdk_s3_to_sftp.bundling import Bundling, openpgp_layer_code
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.open_pgp import OpenPgp, SecretOfKey
from s3_to_sftp.rules.open_pgp_keys import UnusableKey, recipients_of

_WARN_BEFORE = timedelta(days=30)
_SUFFIX_OF_ARN = 7
"""Characters that Secrets Manager adds to a secret's name in its complete ARN: a hyphen and six others."""


def transforms_of(rules: Sequence[DeliveryRules]) -> Iterator[OpenPgp]:
    """Yield those of all rules."""
    for each in rules:
        yield from (transform for transform in each.transforms if isinstance(transform, OpenPgp))


def signing_secrets(rules: Sequence[DeliveryRules]) -> list[str | SecretOfKey]:
    """Return the secrets of keys that sign, each once, in the order of the rules.

    Raises:
        InvalidRule: One is the name that the construct gives, and no secret.
    """
    for each in transforms_of(rules):
        if isinstance(each.sign_with, str) and not is_token(each.sign_with) and ":" not in each.sign_with:
            raise InvalidRule(
                "sign_with",
                f"must be a secret (ISecret), or the ARN of one (arn:aws:secretsmanager:...), got "
                f"{each.sign_with!r}",
            )
    found = {
        _arn(each.sign_with): each.sign_with for each in transforms_of(rules) if each.sign_with is not None
    }
    return list(found.values())


def with_names_of_secrets(rules: DeliveryRules, secrets: Sequence[str | SecretOfKey]) -> DeliveryRules:
    """Return the rules as the function reads them: a secret has a name in place of an ARN.

    An ARN may be known only at deployment, and a file is written at synth.
    """
    names = {_arn(secret): f"key-{number}" for number, secret in enumerate(secrets, start=1)}
    return replace(
        rules,
        transforms=[
            replace(each, sign_with=names[_arn(each.sign_with)])
            if isinstance(each, OpenPgp) and each.sign_with is not None
            else each
            for each in rules.transforms
        ],
    )


def arns_of(secrets: Sequence[str | SecretOfKey]) -> str:
    """Return the value of SSH_SIGNING_KEYS: the ARNs, of which the first is that of key-1."""
    return ",".join(map(_arn, secrets))


def check_keys(scope: IConstruct, rules: DeliveryRules, *, now: datetime | None = None) -> None:
    """Refuse rules whose public keys cannot be used today, and warn of those that will expire soon.

    Raises:
        InvalidRule: A key cannot be used, is there twice, or cannot be checked here.
    """
    now = now or datetime.now(UTC)
    for transform in transforms_of([rules]):
        if not transform.encrypt_to:
            continue
        try:
            recipients = recipients_of(transform.encrypt_to, now=now)
        except UnusableKey as unusable:
            key = f"the key {unusable.fingerprint}".rstrip()
            raise InvalidRule(
                "encrypt_to", f"must be public keys that can be used, and {key} {unusable}"
            ) from None
        except ImportError as error:
            raise InvalidRule(
                "encrypt_to",
                f"cannot be checked, since pysequoia cannot be imported here ({error}): reinstall it",
            ) from None
        _refuse_repeated([each.fingerprint for each in recipients])
        for each in recipients:
            if each.ends is not None and each.ends <= now + _WARN_BEFORE:
                warn(
                    scope,
                    "openPgpKeyExpires",
                    f"The public key {each.fingerprint} in the rule encrypt_to expires on "
                    f"{each.ends:%Y-%m-%d}. From then on objects are dead-lettered: ask the partner for the "
                    "key that they will use, and deploy it.",
                )


def _refuse_repeated(fingerprints: Sequence[str]) -> None:
    """Refuse a key that is there twice: where it was pasted again, another recipient's is missing."""
    for number, fingerprint in enumerate(fingerprints, start=1):
        first = fingerprints.index(fingerprint) + 1
        if first < number:
            raise InvalidRule(
                "encrypt_to",
                f"must be different keys, got {fingerprint} as the keys {first} and {number}: write the key "
                "of the other recipient, or leave it out",
            )


class OpenPgpLayer(Construct):
    """The layer with the library, for a function whose rules encrypt or sign."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 -- what every construct calls it
        *,
        function: lambda_.Function,
        architecture: lambda_.Architecture,
        runtime: lambda_.Runtime,
        bundling: Bundling,
    ) -> None:
        super().__init__(scope, id)
        function.add_layers(
            lambda_.LayerVersion(
                self,
                "Library",
                code=openpgp_layer_code(architecture=architecture, runtime=runtime, bundling=bundling),
                compatible_architectures=[architecture],
                compatible_runtimes=[runtime],
                description="OpenPGP for the rules of a partner: pysequoia",
            )
        )


def secret_in(
    scope: Construct, given: str | SecretOfKey, known: Mapping[str, secretsmanager.ISecret]
) -> secretsmanager.ISecret:
    """Return the secret that a rule names; an ARN is imported into the scope, once."""
    arn = _arn(given)
    if arn in known:
        return known[arn]
    if not isinstance(given, str):
        secret: secretsmanager.ISecret = given  # type: ignore[assignment]  # what has a secret_arn is one
        return secret
    name = f"SigningKey{len(known) + 1}"
    if len(given) > _SUFFIX_OF_ARN and given[-_SUFFIX_OF_ARN] == "-":
        return secretsmanager.Secret.from_secret_complete_arn(scope, name, given)
    return secretsmanager.Secret.from_secret_partial_arn(scope, name, given)


def _arn(secret: str | SecretOfKey | None) -> str:
    return secret if isinstance(secret, str) else secret.secret_arn if secret is not None else ""
