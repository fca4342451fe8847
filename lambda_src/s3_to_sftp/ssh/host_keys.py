"""Pinned host keys: which algorithms to ask for, and whether the offered key is one of them."""

import base64
import hashlib

import paramiko

from s3_to_sftp.algorithm_rule import SHA1_SIGNATURE
from s3_to_sftp.diagnosis import host_key
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.errors import HostKeyRefused
from s3_to_sftp.server import Server
from s3_to_sftp.ssh.algorithms import CERTIFICATE_SUFFIX
from s3_to_sftp.ssh.certificates import AUTHORITY, problem_with_host, valid_until

# An RSA key is one key with several signature algorithms (RFC 8332).
_ALGORITHMS_OF_TYPE = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", SHA1_SIGNATURE)}


def algorithms_for(host_keys: tuple[str, ...], *, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Return the host key algorithms to negotiate, so that the server shows a key of a pinned type.

    A server with several keys would otherwise show its favourite, which need not be the pinned one.

    Args:
        host_keys: The pinned keys, `type base64`, or `@cert-authority patterns type base64`.
        offered: What the SSH library can do, best first.
    """
    keys, authorities = _sorted_out(host_keys)
    types = [key.split()[0] for key in keys]
    wanted = {algorithm for kind in types for algorithm in _ALGORITHMS_OF_TYPE.get(kind, (kind,))}
    # A certificate may be of a key of any type, whatever the type of the authority's own.
    # One that signs with SHA-1 is not taken: nobody who has an authority needs it.
    modern = [algorithm for algorithm in offered if algorithm != SHA1_SIGNATURE]
    of_certificates = [f"{algorithm}{CERTIFICATE_SUFFIX}" for algorithm in modern if authorities]
    return (*of_certificates, *(algorithm for algorithm in offered if algorithm in wanted))


def check(key: paramiko.PKey, server: Server) -> None:
    """Require the key that the server has proved to own to be a pinned one.

    Raises:
        HostKeyRefused: It is not, or none is pinned. Shows the offered key, ready to paste.
    """
    keys, authorities = _sorted_out(server.host_keys)
    pinned = {_normal(line) for line in keys}
    if pasteable(key) in pinned:
        return
    certificate = getattr(key, "public_blob", None)
    if certificate is not None:
        problem = problem_with_host(certificate.key_blob, server.host, authorities)
        if not problem:
            return
        raise _refused(key, host_key.CERTIFICATE, server=server, host=server.host, problem=problem)
    if not server.host_keys:
        raise _refused(key, host_key.NOT_PINNED, server=server)
    shown = ", ".join(sorted(map(_fingerprint_of_line, pinned))) or "only authorities"
    raise _refused(key, host_key.CHANGED, server=server, pinned=shown)


def pasteable(key: paramiko.PKey) -> str:
    """Return the key as `type base64`, the form in which it is pinned."""
    return f"{key.get_name()} {key.get_base64()}"


def fingerprint(key: paramiko.PKey) -> str:
    """Return the fingerprint as ssh-keygen and ssh print it: `SHA256:...`."""
    return fingerprint_of(key.asbytes())


def pinned_fingerprints(server: Server) -> tuple[str, ...] | None:
    """Return the fingerprints of the pinned keys; None: an authority is pinned, which may sign any key."""
    keys, authorities = _sorted_out(server.host_keys)
    return None if authorities else tuple(_fingerprint_of_line(line) for line in keys)


def certified_until(key: paramiko.PKey) -> float | None:
    """Return when the certificate of a server's key ends, in seconds since 1970; None: it has none."""
    certificate = getattr(key, "public_blob", None)
    if certificate is None:
        return None
    encoded = base64.b64encode(certificate.key_blob).decode()
    return valid_until(f"{certificate.key_type} {encoded}")


def _refused(key: paramiko.PKey, cause: Cause, **names: object) -> HostKeyRefused:
    line, shown = pasteable(key), fingerprint(key)
    error = cause.error(HostKeyRefused, "", line=line, fingerprint=shown, **names)
    error.offered, error.fingerprint = line, shown
    return error


def _sorted_out(host_keys: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the pinned keys of servers, and those of authorities."""
    authorities = tuple(line for line in host_keys if line.split()[0] == AUTHORITY)
    return tuple(line for line in host_keys if line not in authorities), authorities


def _normal(line: str) -> str:
    return " ".join(line.split()[:2])


def _fingerprint_of_line(line: str) -> str:
    try:
        return fingerprint_of(base64.b64decode(line.split()[1], validate=True))
    except ValueError:  # not shown: what is no public key may be a part of a private one
        return "a line that is not a key"


def fingerprint_of(blob: bytes) -> str:
    """Return the fingerprint of a key as it is on the wire (RFC 4253, section 6.6): `SHA256:...`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
