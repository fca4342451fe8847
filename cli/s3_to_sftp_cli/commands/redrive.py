"""`s3-to-sftp redrive`: dead letters back into the queue, one kind at a time."""

from collections import Counter
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from s3_to_sftp_cli.context import Context, dry_run_option, shared_options
from s3_to_sftp_cli.dead_letters import DeadLetter, DeadLetterQueue, Selection, require_selection
from s3_to_sftp_cli.errors import ExitCode, Interrupted
from s3_to_sftp_cli.object_dead_letters import what_copies_share
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.pace import Pace, Rate
from s3_to_sftp_cli.sizes import count_text

_PER_SECOND = 50.0
"""No more than the partner can take: the function sends what its connections carry, the rest waits."""


@click.command("redrive")
@click.option(
    "--error",
    type=NOT_EMPTY,
    metavar="WORD",
    help="Only this error, server's status or request, e.g. PERMISSION_DENIED.",
)
@click.option("--reason", type=NOT_EMPTY, metavar="TEXT", help="Only those whose reason holds this text.")
@click.option(
    "--key", type=NOT_EMPTY, metavar="PATTERN", help="Only objects whose key matches, e.g. '2026/11/*.csv'."
)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option(
    "--max-rate",
    type=Rate(),
    default=_PER_SECOND,
    show_default=True,
    metavar="N",
    help="Messages per second.",
)
@dry_run_option
@shared_options
def redrive_command(
    context: Context,
    error: str | None,
    reason: str | None,
    key: str | None,
    max_rate: float,
    *,
    everything: bool,
    dry_run: bool,
) -> int:
    """Redrive dead letters to the queue: their objects will be retried.

    Fix the cause first; --dry-run shows the kinds. Where several messages are about one object version, one
    is sent, and then its copies are deleted. Interrupted, it can be repeated: nothing is lost, and the
    ledger delivers no object twice.
    """
    selection = Selection(error=error, reason=reason, key=key)
    if not dry_run:
        require_selection(selection, everything=everything)
    queue_url, dead_letter_url = context.delivery.require_queues()
    letters = DeadLetterQueue(context.aws.client("sqs"), dead_letter_url)
    run = _Run(letters, selection, queue_url=None if dry_run else queue_url, pace=Pace(max_rate))
    try:
        run.all(context)
    except BaseException as error:
        if run.sent:  # what was done before the error
            _show(context, run, dry_run=dry_run, interrupted=True)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted from None
        raise
    _show(context, run, dry_run=dry_run, interrupted=False)
    return ExitCode.OK if run.matched or not (error or reason or key) else ExitCode.NOT_FOUND


class _Run:
    """One pass over the dead-letter queue.

    Attributes:
        matched: Kinds of those that are meant, and how many of each.
        kept: The same of the others.
        copies: Kinds of those that are meant, and that one which was sent back makes unnecessary.
        sent: Messages that were sent back.
        came_back: Kinds of those that were sent back in this pass and have failed again meanwhile.
    """

    def __init__(
        self, letters: DeadLetterQueue, selection: Selection, *, queue_url: str | None, pace: Pace
    ) -> None:
        self._letters = letters
        self._selection = selection
        self._queue_url = queue_url
        self._pace = pace
        self.matched: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.came_back: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.sent = 0
        self._seen: set[str | tuple[str, ...]] = set()

    def all(self, context: Context) -> None:
        """Go through all messages, and show how far it is."""
        console = context.output.messages
        with (
            Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
            self._letters.all_letters() as letters,
        ):
            bar = progress.add_task("dead letters", total=self._letters.count() or None)
            for letter in letters:
                self._one(letter)
                progress.advance(bar)

    def _one(self, letter: DeadLetter) -> None:
        if not self._selection.matches(letter):
            self.kept[letter.kind] += 1
            return
        shared = what_copies_share(letter)
        if shared in self._seen and (self._queue_url is None or self._letters.is_known_older(letter)):
            if self._queue_url is not None:
                self._letters.delete(letter)  # one like it is in the queue
            self.copies[letter.kind] += 1
            return
        if self._queue_url is not None:
            if not self._seen.isdisjoint((letter.body, shared)):
                self.came_back[letter.kind] += 1
                return
            self._pace.wait()
            self._letters.send_back(letter, self._queue_url)
            self.sent += 1
        self._seen |= {letter.body} if shared is None else {letter.body, shared}
        self.matched[letter.kind] += 1


def _show(context: Context, run: _Run, *, dry_run: bool, interrupted: bool) -> None:
    def show(console: Console) -> None:
        matched = run.matched.total()
        if not matched and not run.kept:
            console.print("The dead-letter queue is empty.")
            return
        verb = "would be sent back" if dry_run else "sent back"
        console.print(f"{count_text(matched if dry_run else run.sent, 'message')} {verb}")
        _show_kinds(console, run.matched)
        if run.copies:
            gone = "would be deleted" if dry_run else "deleted"
            console.print(f"{count_text(run.copies.total(), 'message')} of the same objects {gone}")
            _show_kinds(console, run.copies)
        if run.came_back:
            console.print(f"{count_text(run.came_back.total(), 'message')} failed again at once and stay")
            _show_kinds(console, run.came_back)
        if run.kept:
            console.print(f"{count_text(run.kept.total(), 'message')} stay")
            _show_kinds(console, run.kept)

    data: dict[str, Any] = {
        "dry_run": dry_run,
        "interrupted": interrupted,
        "sent": run.sent,
        "matched": _kinds(run.matched),
        "copies": _kinds(run.copies),
        "came_back": _kinds(run.came_back),
        "kept": _kinds(run.kept),
    }
    context.output.result("redrive", data, show)


def _show_kinds(console: Console, kinds: Counter[str]) -> None:
    for kind, count in kinds.most_common():
        console.print(f"  {count:>6,}  {kind}", markup=False)


def _kinds(kinds: Counter[str]) -> list[dict[str, Any]]:
    return [{"kind": kind, "messages": count} for kind, count in kinds.most_common()]
