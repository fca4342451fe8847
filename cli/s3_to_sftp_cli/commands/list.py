"""`s3-to-sftp list`: the deliveries of an account and region."""

import click
from rich.console import Console
from rich.table import Table

from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.discovery import find_all
from s3_to_sftp_cli.errors import ExitCode


@click.command("list")
@shared_options
def list_command(context: Context) -> int:
    """List the deliveries of this account and region."""
    found = list(find_all(context.aws))

    def show(console: Console) -> None:
        if not found:
            console.print("There is no delivery in this account and region.")
            return
        table = Table(box=None, pad_edge=False)
        for title in ("function", "partner", "directory", "sources"):
            table.add_column(title, overflow="fold")
        for each in found:
            sources = ", ".join(f"{source.bucket}/{source.prefix}*{source.suffix}" for source in each.sources)
            table.add_row(each.function, each.server, each.directory, sources)
        console.print(table)

    rows = [{**each.as_json(), "sources": [vars(source) for source in each.sources]} for each in found]
    context.output.result("list", {"deliveries": rows}, show)
    return ExitCode.OK if found else ExitCode.NOT_FOUND
