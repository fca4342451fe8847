"""Checksums as partners compare them: hexadecimal, where S3 writes base64."""

import base64
import binascii


def hexadecimal(checksum: str) -> str:
    """Return a checksum of S3 in hexadecimal; text that is no base64 is returned as it is.

    S3 writes CRCs, SHA-1 and SHA-256 as base64 of the big-endian bytes
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).
    """
    try:
        return base64.b64decode(checksum, validate=True).hex()
    except (binascii.Error, ValueError):
        return checksum
