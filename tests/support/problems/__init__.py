"""Problems between us and partners, each caused for real, with the cause that they must be told by."""

from tests.support.problems import files, handshake, host_keys, login, network, sftp_start

_STAGES = (network, handshake, host_keys, login, sftp_start, files)

PROBLEMS = [problem for stage in _STAGES for problem in stage.PROBLEMS]
"""All of them, in the order in which a delivery meets them."""
