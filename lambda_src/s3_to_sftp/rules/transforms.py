"""What is done to the bytes of an object on their way, in order."""

import contextlib
from collections.abc import Sequence

from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.plan import PlannedObject, transformed_object
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.stream_transform import StreamTransform


def transform_of(rules: DeliveryRules, item: PlannedObject, facts: PlanFacts) -> StreamTransform:
    """Return one pass over the object through all transforms of the rules.

    Raises:
        DeliveryError: One of them cannot begin.
    """
    streams: list[StreamTransform] = []
    with contextlib.ExitStack() as begun:
        for each in rules.transforms:
            streams.append(each.stream(transformed_object(item, facts)))
            begun.callback(streams[-1].close)
        begun.pop_all()
    return _Chain(streams)


class _Chain:
    """Each transform is given what the one before it gives back."""

    def __init__(self, streams: Sequence[StreamTransform]) -> None:
        self._streams = streams

    def feed(self, data: bytes | memoryview) -> bytes:
        for each in self._streams:
            data = each.feed(data) if data else b""
        return bytes(data)

    def finish(self) -> bytes:
        rest = b""
        for each in self._streams:
            rest = (each.feed(rest) if rest else b"") + each.finish()
        return rest

    def close(self) -> None:
        for each in self._streams:
            each.close()
