"""What identifies the configuration with which the partner is asked."""

import hashlib

from s3_to_sftp.server import Server


def identify_configuration(server: Server, directory: str, login_version: str) -> str:
    """Identify what a person can fix when the partner refuses the login; shows nothing of the login.

    Args:
        server: With the pinned host keys.
        directory: Remote directory.
        login_version: Of the secret.
    """
    named = repr((server, directory, login_version))
    return hashlib.sha256(named.encode()).hexdigest()[:16]
