"""`s3-to-sftp list`: the deliveries of an account and region."""

from collections.abc import Iterator, Sequence

import click
from rich.console import Console
from rich.text import Text

from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.discovery import find_all
from s3_to_sftp_cli.errors import ExitCode
from s3_to_sftp_cli.layout import labelled, printable

_TITLES = ("function", "partner", "directory", "sources")


@click.command("list")
@shared_options
def list_command(context: Context) -> int:
    """List the deliveries of this account and region."""
    found = list(find_all(context.aws))

    def show(console: Console) -> None:
        if not found:
            console.print("There is no delivery in this account and region.")
            return
        rows = []
        for each in found:
            sources = ", ".join(f"{source.bucket}/{source.prefix}*{source.suffix}" for source in each.sources)
            rows.append([printable(cell) for cell in (each.function, each.server, each.directory, sources)])
        for line in list_lines(rows, width=console.width if console.is_terminal else None):
            console.print(line)

    rows = [{**each.as_json(), "sources": [vars(source) for source in each.sources]} for each in found]
    context.output.result("list", {"deliveries": rows}, show)
    return ExitCode.OK if found else ExitCode.NOT_FOUND


def list_lines(rows: Sequence[Sequence[str]], *, width: int | None) -> Iterator[Text]:
    """Yield a line for each delivery, or where one is too long a paragraph: names are copied, and never cut.

    Args:
        rows: Of each delivery what `_TITLES` says.
        width: Columns of the terminal; None: it is none, and lines may be of any length.
    """
    table = [_TITLES, *rows]
    columns = [max(len(row[number]) for row in table) for number in range(len(_TITLES))]
    if width is None or sum(columns) + 2 * len(columns) - 2 <= width:
        for row in table:
            cells = (cell.ljust(column) for cell, column in zip(row, columns, strict=True))
            yield Text("  ".join(cells).rstrip())
        return
    for number, row in enumerate(rows):
        if number:
            yield Text()
        yield Text(row[0], style="bold")
        for title, cell in zip(_TITLES[1:], row[1:], strict=True):
            if cell:
                yield labelled(title, [Text(cell)], width=width)
