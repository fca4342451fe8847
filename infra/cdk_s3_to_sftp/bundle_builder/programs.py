"""Runs installers and interpreters, without those settings of the user that could change the bundle."""

import os
import subprocess
from collections.abc import Sequence

# A user's settings may decide where packages come from. How and where they are installed is fixed here:
# `user`, `prefix` or `require-virtualenv` would make pip fail, `constraint` or `dry-run` would change the
# result.
PIP_SOURCES = (
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "cert",
    "client-cert",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
    "resume-retries",
    "keyring-provider",
    "cache-dir",
    "no-cache-dir",
    "use-feature",
    "use-deprecated",
)
_UV_SOURCES = (
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX",
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_INSECURE_HOST",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "UV_KEYRING_PROVIDER",
    "UV_CREDENTIALS_DIR",
    "UV_HTTP",
    "UV_REQUEST_TIMEOUT",
    "UV_CACHE_DIR",
    "UV_NO_CACHE",
    "UV_OFFLINE",
    "UV_CONFIG_FILE",
    "UV_NO_CONFIG",
)


def answers(command: Sequence[str], **variables: str) -> bool:
    """Return whether a command is there and succeeds."""
    try:
        return run(command, **variables).returncode == 0
    except OSError:
        return False


def run(command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these variables, and without those of the user's that could affect the bundle."""
    kept = {name: value for name, value in os.environ.items() if not _changes_bundle(name)}
    return subprocess.run(  # noqa: S603 -- installers and interpreters, by our own argument lists
        command, env=kept | variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _changes_bundle(variable: str) -> bool:
    """Return whether a variable of the user's could affect the bundle, or make an installer fail."""
    if variable.startswith("PIP_"):
        return variable != "PIP_CONFIG_FILE" and variable[4:].lower().replace("_", "-") not in PIP_SOURCES
    if variable.startswith("UV_"):
        return not variable.startswith(_UV_SOURCES)
    return variable.startswith("PYTHON")
