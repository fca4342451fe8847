"""How many streams are worth their cost for a large object."""

import math

from s3_to_sftp.sftp.upload_request import DEFAULT_TUNING, TransferTuning

WINDOW_BYTES = 2 * 1024 * 1024
"""OpenSSH's channel window: what one connection carries per round trip."""


def stream_count(*, size: int, round_trip: float, limit: int, tuning: TransferTuning = DEFAULT_TUNING) -> int:
    """Return how many streams are worth their cost for an object.

    Args:
        size: Bytes.
        round_trip: Seconds to the server and back.
        limit: Streams that the partner allows.
        tuning: When a further stream is worth its cost.
    """
    until_window_is_no_limit = math.ceil(tuning.aim_bytes_per_second * round_trip / WINDOW_BYTES)
    return max(1, min(limit, until_window_is_no_limit, size // tuning.min_bytes_per_stream))
