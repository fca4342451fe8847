"""The login that the function has: whether it can be read and used, and what the partner must know of it."""

from datetime import UTC, datetime

from s3_to_sftp.credentials import Credentials, CredentialSource, SecretCredentials
from s3_to_sftp.doctor.checklist import Finding
from s3_to_sftp.doctor.request import CURRENT, PREVIOUS, SecretVersionMissing
from s3_to_sftp.ssh.authentication import private_key_of
from s3_to_sftp.ssh.certificates import valid_until
from s3_to_sftp.ssh.host_keys import fingerprint, pasteable
from s3_to_sftp.untrusted_text import never_show, quoted

_WARN_DAYS = 10
_LONGEST_SECONDS = 253_402_300_799
"""The year 9999. A certificate without an end has a later one."""


def _how_to_put(stage: str, source: CredentialSource) -> str:
    if not isinstance(source, SecretCredentials):
        return "The login is in the environment of the function: put it into a secret (SSH_SECRET_ARN)."
    if stage == PREVIOUS:
        return "There is one as soon as the secret has changed once."
    return (
        f"Put one with `aws secretsmanager put-secret-value --secret-id {source.arn} "
        f"--version-stages {stage} --secret-string file://login.json`."
    )


class SecretCheck:
    """Reads the login once.

    Args:
        source: Where it comes from.

    Attributes:
        login: What was read; None: nothing usable.
        version: Of the secret; empty where the login is in the environment.
        certificate_until: When the certificate of its key ends, seconds since 1970; None: it has none.
    """

    def __init__(self, source: CredentialSource) -> None:
        self._source = source
        self.login: Credentials | None = None
        self.version = ""
        self.certificate_until: float | None = None

    def read(self, stage: str) -> Finding:
        """Read the login of a staging label, and parse its key.

        Raises:
            CredentialsError: It cannot be read or used.
        """
        login = self._read(stage)
        never_show(login.password, login.passphrase, login.private_key)
        held = ["password"] if login.password else []
        key = private_key_of(login)
        advice, warning = "", ""
        if key is not None:
            held.insert(0, f"key {key.get_name()} {fingerprint(key)}")
            advice = f"Public key line to send to the partner: {pasteable(key)}"
            warning = self._warning(login)
        self.login = login
        which = "" if stage == CURRENT else f"{stage}: "
        text = f"{which}user {quoted(login.username)!r}, {' and '.join(held)}"
        return Finding(text=text, warning=warning, advice=advice)

    def stage_beside(self) -> str:
        """Return the stage whose login deliveries may use where this one is refused; empty: there is none."""
        other = self._source.other_than(self.login) if self.login else None
        return other.stage if other else ""

    def _read(self, stage: str) -> Credentials:
        if stage == CURRENT:
            login = self._source.refreshed()
            self.version = self._source.version
            return login
        found = self._source.at_stage(stage) if isinstance(self._source, SecretCredentials) else None
        if found is not None:
            self.version = found.version
            return found.login
        raise SecretVersionMissing(
            f"The secret has no version {stage}.", hint=_how_to_put(stage, self._source)
        )

    def _warning(self, login: Credentials) -> str:
        """Return that the certificate ends soon; empty: it does not."""
        if not login.certificate:
            return ""
        self.certificate_until = valid_until(login.certificate)
        if self.certificate_until is None:
            return ""
        ends = datetime.fromtimestamp(min(self.certificate_until, _LONGEST_SECONDS), UTC)
        days = (ends - datetime.now(UTC)).days
        if days >= _WARN_DAYS:
            return ""
        return f"the certificate of the key ends in {days} days ({ends:%Y-%m-%d})"
