"""Draws docs/sequence.svg: one object, from its notification to its receipt.

python -m docs.draw_sequence
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.drawing import arrow, box, picture, words

PICTURE = Path(__file__).with_name("sequence.svg")

WIDTH = 940
_TOP, _HEAD, _STEP = 20, 46, 50
"""Pixels: above the names, the height of the names, and from one step to the next."""

PARTICIPANTS = {"S3": 90, "SQS queue": 265, "Function": 450, "Ledger": 635, "SFTP server": 835}
"""Who takes part -> where."""


@dataclass(frozen=True)
class Step:
    """One arrow, or what the function does by itself.

    Attributes:
        calls: What is asked for on the wire, in this order; a test compares it with a real delivery.
    """

    sender: str
    receiver: str
    text: str
    calls: tuple[str, ...] = ()
    look: tuple[str, ...] = ()


STEPS = (
    Step("S3", "SQS queue", "notification"),
    Step("SQS queue", "Function", "batch of messages"),
    Step("Function", "Ledger", "acquire the lease", ("update_item",)),
    Step("Function", "SFTP server", "OPEN temporary name", ("OPEN",)),
    Step("S3", "Function", "exactly that version, in ranges", ("get_object",), ("bytes",)),
    Step("Function", "SFTP server", "WRITE ..., then size, CLOSE", ("WRITE", "FSTAT", "CLOSE"), ("bytes",)),
    Step("Function", "Function", "compare with the checksum that S3 has stored"),
    Step("Function", "Ledger", "commit: names, size", ("update_item",)),
    Step("Function", "SFTP server", "RENAME to the final name", ("RENAME",)),
    Step("Function", "Ledger", "receipt", ("update_item",)),
    Step("Function", "SQS queue", "message deleted"),
)


def draw() -> str:
    """Return the picture."""
    bottom = _TOP + _HEAD + _STEP * len(STEPS) + 24
    return picture(
        WIDTH,
        bottom + 20,
        title="The way of one object",
        description=" ".join(f"{each.sender} to {each.receiver}: {each.text}." for each in STEPS),
        drawn=[line for lines in (_participants(bottom), _steps()) for line in lines],
    )


def _participants(bottom: int) -> Iterator[str]:
    for name, x in PARTICIPANTS.items():
        look = {"Function": "ours", "SFTP server": "theirs"}.get(name, "")
        yield f'<path class="line optional" d="M{x} {_TOP + _HEAD}V{bottom}"/>'
        yield box(x - 70, _TOP, 140, _HEAD, *filter(None, [look]))
        yield words(x, _TOP + 28, name, size=15, bold=True)


def _steps() -> Iterator[str]:
    for number, step in enumerate(STEPS):
        y = _TOP + _HEAD + _STEP * (number + 1)
        one, other = PARTICIPANTS[step.sender], PARTICIPANTS[step.receiver]
        if one == other:
            yield box(one - 172, y - 26, 344, 34, "ours")
            yield words(one, y - 4, f"{number + 1}. {step.text}")
            continue
        yield arrow(((one, y), (other, y)), *step.look)
        yield words((one + other) / 2, y - 9, f"{number + 1}. {step.text}", look="over")


if __name__ == "__main__":
    PICTURE.write_text(draw())
