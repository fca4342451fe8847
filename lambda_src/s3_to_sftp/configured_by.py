"""Names settings in hints in the way in which the function was configured."""

import os
import re

VARIABLE = "CONFIGURED_BY"
"""Names the tool that has set the other variables; if it is missing, they were set by hand."""

CONSTRUCT, PARTNER_FILE, TEMPLATE = "construct", "partner.toml", "template"

_ARGUMENTS = {
    "SSH_HOST": "SftpServer(host=...)",
    "SSH_PORT": "SftpServer(port=...)",
    "SSH_DIR": "SftpServer(directory=...)",
    "SSH_HOST_KEY": "SftpServer(host_keys=...)",
    "SSH_CIPHERS": "SftpServer(ciphers=...)",
    "SSH_ALGORITHMS": "SftpServer(algorithms=...)",
    "SSH_REPLY_TIMEOUT": "SftpServer(reply_timeout=...)",
    "SSH_CONNECT_TIMEOUT": "SftpServer(connect_timeout=...)",
    "SSH_MAX_BYTES_PER_SECOND": "SftpServer(max_megabytes_per_second=...)",
    "SSH_MAX_CONNECTIONS": "max_connections",
}
"""Variable -> argument of the construct. A variable without an argument keeps its name."""

_KEYS = {"SSH_HOST", "SSH_PORT", "SSH_DIR", "SSH_HOST_KEY", "SSH_MAX_CONNECTIONS"}
"""Variables that have a key in partner.toml."""

_PARAMETERS = {
    "SSH_HOST": "Host",
    "SSH_PORT": "Port",
    "SSH_DIR": "Directory",
    "SSH_HOST_KEY": "HostKey",
    "SSH_MAX_CONNECTIONS": "MaxConnections",
}
"""Variable -> parameter of the CloudFormation template. The other variables have none."""

_NAME = re.compile(r"\bSSH_[A-Z_]*[A-Z]\b")


def in_words_of_author(hint: str, author: str | None = None) -> str:
    """Return the hint with each variable replaced by the name of the setting behind it.

    Args:
        hint: What a person can do.
        author: The tool that has configured the function; None: as this process's environment says.
    """
    author = os.environ.get(VARIABLE) if author is None else author
    if author == CONSTRUCT:
        return _NAME.sub(lambda name: _ARGUMENTS.get(name[0], name[0]), hint)
    if author == PARTNER_FILE:
        return _NAME.sub(lambda name: _key(name[0]), hint)
    if author == TEMPLATE:
        return _NAME.sub(lambda name: _parameter(name[0]), hint)
    return hint


def _key(variable: str) -> str:
    if variable not in _KEYS:
        return _ARGUMENTS.get(variable, variable)
    key = "max_connections" if variable == "SSH_MAX_CONNECTIONS" else variable.lower()
    return f"{key} in {PARTNER_FILE}"


def _parameter(variable: str) -> str:
    return f"the parameter {_PARAMETERS[variable]}" if variable in _PARAMETERS else variable
