"""What `resend` and `retry` send, and tell."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from s3_to_sftp_cli.context import Context
from s3_to_sftp_cli.errors import ExitCode, Interrupted
from s3_to_sftp_cli.layout import wrapped
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.operator_messages import Request, Sender
from s3_to_sftp_cli.partner_attempt import what_all_wait_for
from s3_to_sftp_cli.questions import confirm
from s3_to_sftp_cli.sizes import count_text, size_text

_FOLLOW = "Follow it with `s3-to-sftp status`."


class Sending:
    """What `resend` and `retry` send, and tell. As a context it also tells what an error has interrupted."""

    def __init__(
        self,
        context: Context,
        request: Request,
        *,
        count: int,
        size: int,
        dry_run: bool,
        done_before: int = 0,
        numbered: int = 0,
        outcome: str = "",
    ) -> None:
        """Prepare it.

        Args:
            context: The delivery.
            request: Whose messages are sent.
            count: Object versions that it is about.
            size: Their bytes, as far as the ledger knows them.
            dry_run: Whether nothing is sent.
            done_before: Object versions that were sent with this id before.
            numbered: Those that were delivered with a number of a sequence, and take another one.
            outcome: What came of the only one of them.
        """
        self._context = context
        self._request = request
        self._count = count
        self._size = size
        self._dry_run = dry_run
        self._done_before = done_before
        self._numbered = numbered
        self._outcome = outcome
        self._sent = 0
        self._has_told_id = False

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Tell what was sent before an error; without one the caller tells it."""
        if error is None or not self._sent:
            return
        self.tell(interrupted=True)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(
                f"the same command with `--id {self._request.id}` sends the rest, and only that"
            ) from None

    @property
    def _about(self) -> str:
        # Of what was recorded by an earlier release the size may not be known.
        return count_text(self._count, "object") + (f", {size_text(self._size)}" if self._size else "")

    @property
    def _about_numbers(self) -> str:
        those = "it takes" if self._count == 1 else f"{count_text(self._numbered, 'object')} of them take"
        return f"{those} another number of the sequence: the one of the receipt is not used again"

    def count_all(self, sent: Iterable[object]) -> None:
        """Count what is sent, one by one."""
        for _ in sent:
            self._sent += 1

    def send_all(self, sender: Sender, chosen: Callable[[], Iterable[Record]], *, ask: bool) -> None:
        """Send a message for each version that was chosen, after a question where one is due."""
        output, rest = self._context.output, self._count - self._sent
        if rest <= 0 or self._dry_run:
            return
        if ask:
            output.note(f"{self._about} to {self._context.delivery.target}")
            if self._numbered:
                output.note(self._about_numbers)
            confirm(self._context, f"Send {'it' if self._count == 1 else 'them'} again")
        if ask or self._count > 1:
            output.note(f"id {self._request.id}: --id continues an interrupted command")
            self._has_told_id = True
        sent = sender.send(chosen(), self._request)
        if rest == 1 or not output.messages.is_terminal or output.as_json:
            self.count_all(sent)
            return
        columns = (TextColumn("sent"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=output.messages, transient=True) as progress:
            self.count_all(progress.track(sent, total=rest))

    def tell(self, *, interrupted: bool = False) -> int:
        """Print what was done; return the exit code."""
        context, request = self._context, self._request
        waits = what_all_wait_for(context) if self._sent and not interrupted else ""

        def show(console: Any) -> None:
            if self._done_before:
                done = count_text(self._done_before, "object")
                console.print(f"{request.action}: {done} already sent with the id {request.id}", markup=False)
                if self._outcome:
                    console.print(self._outcome, markup=False)
            if self._numbered and self._count:
                console.print(wrapped(self._about_numbers, width=console.width))
            if interrupted:
                part = f"{self._sent:,} of {count_text(self._count, 'object')}"
                console.print(f"{request.action}: {part} in the queue", markup=False)
            elif not self._count:
                console.print(f"There is nothing {'else ' * bool(self._done_before)}to send.", markup=False)
            elif self._dry_run:
                console.print(f"would send {self._about} to {context.delivery.target}", markup=False)
            else:
                id_ = "" if self._has_told_id else f" (id {request.id})"
                console.print(f"{request.action}: {self._about} in the queue{id_}", markup=False)
                console.print(wrapped(waits or _FOLLOW, width=console.width))

        result = {
            "delivery": context.delivery.as_json(),
            "id": request.id,
            "objects": self._count,
            "bytes": self._size,
            "sent": self._sent,
            "done_before": self._done_before,
            "numbered": self._numbered,
            "interrupted": interrupted,
            "dry_run": self._dry_run,
        }
        context.output.result(request.action, result, show)
        return ExitCode.OK if self._count or self._done_before else ExitCode.NOT_FOUND
