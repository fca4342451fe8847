"""Writes docs/guides/troubleshooting.md from the causes and the error classes of the function.

python -m tests.docs.troubleshooting
"""

from __future__ import annotations

import inspect
import string
from collections.abc import Iterator
from pathlib import Path

from s3_to_sftp import errors, outcomes
from s3_to_sftp.diagnosis.catalogue import ERRORS, STAGES, causes_of
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.errors import DeliveryError, Disposition

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
3. `error` is [one of these classes](#errors). `disposition` says [what happens to the
   message](#dispositions): most failures need no action on the message, because it is retried.

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

DISPOSITIONS = {
    Disposition.RETRY: "It is sent to the queue again with backoff; dead-lettered when `retry_for` is over.",
    Disposition.PERMANENT: "It is dead-lettered at once, with `reason` and `hint`.",
    Disposition.PARTNER: "As `retry`; in addition the circuit breaker may open, since every other object "
    "would fail, too.",
    Disposition.WAIT: "It is deferred to a time that the error knows; this uses up no tries.",
    Disposition.CONTINUE: "The next invocation resumes at the checkpoint.",
    Disposition.DONE: "Nothing is left to do; it is deleted.",
}

NOT_OF_THE_CLASS = {
    "RequestRefused": "by its status code",
    "ResumeRefused": "by its status code",
    "TargetNotAFile": "always `permanent`",
    "LedgerError": "`retry` or `permanent`",
}
"""Class -> its disposition, where each error has its own."""

MORE = {
    "HostKeyRefused": "The line shows the offered key and its fingerprint. Verify the fingerprint with the "
    "partner "
    "out of band. Then `s3-to-sftp trust-host-key SHA256:... --reason TEXT` lets deliveries go on for a day "
    "at "
    "most, and prints what to deploy: the new `ssh_host_key` (a list of old and new during a rotation).",
    "LoginRefused": "Put the right login into the secret. The function notices within minutes; no deployment "
    "is "
    "needed.",
    "PasswordExpired": "Nothing was typed. Get a new password.",
    "SecondFactorRequired": "Nothing was typed. Get an account without a second factor.",
    "CircuitOpen": "The line says why. No function connects until the stated time, or until the secret, the "
    "host "
    "keys or `SSH_DIR` have been changed.",
    "DeliveriesPaused": "The line says who, why and until when. `s3-to-sftp resume` resumes them.",
    "LeaseHeld": "No action needed.",
    "TransformFailed": "It will be retried from the beginning of the file. Give the function more memory if "
    "the line says that it had none left.",
    "OutcomeUnknown": "Ask the partner as the line says. If the file has arrived: `s3-to-sftp confirm KEY "
    "--reason "
    "TEXT`; if not: `s3-to-sftp resend KEY --reason TEXT`. `unknown_outcome` decides without asking.",
    "TargetNotAFile": "It is not touched. Ask the partner to move it. Where the server cannot replace a file "
    "in one "
    "step, it may also be a link.",
    "EarlierRenamePending": "It will be retried; ask the partner whether one of its processes hangs.",
    "RemotePathRefused": "The line says why. Put the object again under another key.",
    "NameTaken": "On a Windows server two keys may be one name. Put the object again under another key, or "
    "see "
    "[which key a file belongs to](../reference/ledger.md#which-key-a-file-belongs-to).",
    "ResumeNotSupported": "Either the server does not let files be resumed: ask the partner to allow it. Or "
    "the rules write files under their final names: give them a temporary one. More memory gives the "
    "function more speed.",
    "ResumeRefused": "It will be retried, unless the server does not accept the name itself.",
    "RequestRefused": "A refused RENAME leaves the whole file under its temporary name, where the next "
    "attempt "
    "starts.",
    "PartnerRefusesWrites": "The cause is that of the last refusal. The others wait. Fix it with the "
    "partner; then "
    "they are delivered without further action.",
    "ObjectGone": "With a ledger this is recorded as `GONE`, and the message ends as `AlreadyGone`.",
    "ObjectChanged": "With a ledger this is recorded as `SUPERSEDED`, and the message ends as `Superseded`.",
}
"""Class -> what there is to know or to do besides its causes."""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_causes(), *_dispositions(), *_errors()])


def _causes() -> Iterator[str]:
    yield "## Causes\n"
    for title, stage in STAGES.items():
        those = causes_of(stage)
        yield f"### {title}\n"
        yield "| cause | sign | the first sentence | what to do |"
        yield "|---|---|---|---|"
        yield from (_row(f"`{each.name}`", each.sign, each.summary, each.advice) for each in those)
        yield ""
        for_partner = [each for each in those if each.to_partner]
        if for_partner:
            yield "To the partner:\n"
            yield from (f"- `{each.name}`: {_text(each.to_partner)}" for each in for_partner)
            yield ""


def _dispositions() -> Iterator[str]:
    yield "## Dispositions\n"
    yield "| `disposition` | what happens to the message |"
    yield "|---|---|"
    yield from (f"| `{each.value}` | {DISPOSITIONS[each]} |" for each in Disposition)
    yield ""


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    yield "`error` of a log line, of a dead-lettered message and of an event is one of these names.\n"
    yield "| error | meaning | causes | `disposition` |"
    yield "|---|---|---|---|"
    for each in error_classes():
        meaning = " ".join((inspect.getdoc(each) or "").partition("\n\n")[0].split())
        listed = ", ".join(f"`{cause.name}`" for cause in _causes_of_class(each))
        disposition = NOT_OF_THE_CLASS.get(each.__name__, f"`{each.disposition.value}`")
        more = MORE.get(each.__name__, "")
        meaning = f"{meaning} {more}".strip()
        yield f"| `{each.__name__}` | {meaning} | {listed} | {disposition} |"
    yield ""


def error_classes() -> list[type[DeliveryError]]:
    """Return the classes that an error may have, in the order of their tree."""

    def below(kind: type[DeliveryError]) -> Iterator[type[DeliveryError]]:
        for each in kind.__subclasses__():
            if each.__module__ in {errors.__name__, outcomes.__name__}:
                if not each.__name__.startswith("_"):
                    yield each
                yield from below(each)

    return list(below(DeliveryError))


def _causes_of_class(kind: type[DeliveryError]) -> tuple[Cause, ...]:
    return ERRORS.get(kind, ())


def _row(*cells: str) -> str:
    return f"| {' | '.join(map(_text, cells))} |"


def _text(template: str) -> str:
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
