"""Writes docs/guides/troubleshooting.md from the causes that the function knows.

python -m tests.docs.troubleshooting
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path

from s3_to_sftp.diagnosis.catalogue import STAGES, causes_of

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "troubleshooting.md"

HEAD = """\
# Troubleshooting

<!-- Written by `python -m tests.docs.troubleshooting`: change what it reads, or its own texts. -->

Every failure is one log line with `error`, `reason`, `hint` and `disposition`, and counts in the metric
`Failed` (namespace `S3ToSftp`).

1. `reason` begins with the cause, in the words of [the tables below](#causes), and then quotes what the
   server or AWS said.
2. `hint` is what to do. Where only the partner can do it, the text below the table is ready to be pasted into
   a mail.
3. `error` is [one of these classes](../reference/errors.md). `disposition` says [what happens to the
   message](../reference/errors.md#dispositions): most failures need no action on the message, because it is
   retried.

`s3-to-sftp doctor` examines every step and says the same, before the first delivery or now: see
[the command](../reference/cli.md#doctor).

Capitals stand for what the function fills in. Settings have their names as environment variables here; the
hint uses the name of the argument, of the key in `partner.toml` or of the parameter. An upload that the
partner refuses stays in S3: nothing is lost.

The message attributes `reason` and `hint` say why a message is in the dead-letter queue. Fix the cause, then
redrive with the command in the output `RedriveCommand`. The messages are the original ones. What is in
flight, failed or unknown just now: [the ledger](../reference/ledger.md). Who is notified:
[monitoring](monitoring.md).
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_causes()])


def _causes() -> Iterator[str]:
    yield "## Causes\n"
    for title, stage in STAGES.items():
        those = causes_of(stage)
        yield f"### {title}\n"
        yield "| cause | sign | the first sentence | what to do |"
        yield "|---|---|---|---|"
        yield from (row(f"`{each.name}`", each.sign, each.summary, each.advice) for each in those)
        yield ""
        for_partner = [each for each in those if each.to_partner]
        if for_partner:
            yield "To the partner:\n"
            yield from (f"- `{each.name}`: {as_markdown(each.to_partner)}" for each in for_partner)
            yield ""


def row(*cells: str) -> str:
    """Return a row of a table whose cells are texts of causes."""
    return f"| {' | '.join(map(as_markdown, cells))} |"


def as_markdown(template: str) -> str:
    """Return a text of a cause with its fields in capitals, fit for a cell of a table."""
    shown = "".join(
        before + (f"**{name.upper()}**" if name else "")
        for before, name, _, _ in string.Formatter().parse(_escaped(template))
    )
    return shown.replace("_**", "**")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page())
