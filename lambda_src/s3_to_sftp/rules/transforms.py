"""What is done to the bytes of an object on their way, in order."""

import contextlib
from collections.abc import Mapping, Sequence

from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.plan import PlannedObject, transformed_object
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.transformed_object import SigningKeySource
from s3_to_sftp.stream_transform import StreamTransform


def transform_of(
    rules: DeliveryRules, item: PlannedObject, facts: PlanFacts, signing_key: SigningKeySource
) -> StreamTransform:
    """Return one pass over the object through all transforms of the rules.

    Args:
        rules: Of the object.
        item: The object.
        facts: What its plan depends on.
        signing_key: Returns the key that a rule names.

    Raises:
        DeliveryError: One of them cannot begin.
    """
    streams: list[StreamTransform] = []
    with contextlib.ExitStack() as begun:
        for each in rules.transforms:
            streams.append(each.stream(transformed_object(item, facts), signing_key))
            begun.callback(streams[-1].close)
        begun.pop_all()
    return _Chain(streams)


class _Chain:
    """Each transform is given what the one before it gives back."""

    def __init__(self, streams: Sequence[StreamTransform]) -> None:
        self._streams = streams

    @property
    def about(self) -> Mapping[str, str]:
        all_of_them: dict[str, list[str]] = {}
        for name, value in (item for each in self._streams for item in each.about.items()):
            all_of_them.setdefault(name, []).append(value)
        return {name: ", ".join(values) for name, values in all_of_them.items()}

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
