"""What the command prints: text for people, or JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from s3_to_sftp_cli.streams import takes_all

VERSION = 1
"""Of every JSON document. Fields are added without a new version; none is renamed or removed within one."""


@dataclass
class Output:
    """Where results go.

    Attributes:
        as_json: Whether to print JSON documents only.
        console: For results, on stdout; without colour where it is no terminal, or NO_COLOR is set.
        messages: For progress, questions and errors, on stderr.
    """

    as_json: bool = False
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    messages: Console = field(default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True))

    def result(self, command: str, data: Mapping[str, Any], show: Callable[[Console], None]) -> None:
        """Print one result.

        Args:
            command: Name of the command; the JSON document has a schema of this name.
            data: Its fields in JSON.
            show: Prints the same for people.
        """
        if self.as_json:
            self.line({"version": VERSION, "command": command, **data})
        else:
            show(self.console)

    def rows(
        self, command: str, rows: Iterable[Mapping[str, Any]], show: Callable[[Mapping[str, Any]], None]
    ) -> int:
        """Print rows as they come, in bounded memory: JSON Lines, or what `show` prints of each.

        Returns:
            How many.
        """
        count = 0
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the last one counts
            if self.as_json:
                self.line({"version": VERSION, "command": command, **row})
            else:
                show(row)
        return count

    def line(self, document: Mapping[str, Any]) -> None:
        """Print one JSON document on a line of its own."""
        escaped = not takes_all(sys.stdout.encoding)
        sys.stdout.write(json.dumps(document, ensure_ascii=escaped, default=_as_json) + "\n")

    def note(self, text: str) -> None:
        """Tell people what is going on; programs that read stdout do not see it."""
        self.messages.print(text, markup=False)


def _as_json(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
