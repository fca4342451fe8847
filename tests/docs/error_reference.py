"""Writes docs/reference/errors.md from the error classes of the function and the causes that each may have.

python -m tests.docs.error_reference
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from s3_to_sftp import errors, outcomes
from s3_to_sftp.diagnosis.catalogue import ERRORS, STAGES, causes_of
from s3_to_sftp.errors import DeliveryError, Disposition
from tests.docs.troubleshooting import row

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"

HEAD = """\
# Errors

<!-- Written by `python -m tests.docs.error_reference`: change what it reads, or its own texts. -->

`error` of a log line, of a dead-lettered message and of an event is one of these names. The line's own
`reason` says what was received, and its `hint` says what to do, with the names and values of your case; this
page says what each name can mean. Signs of each cause, and what to write to the partner:
[troubleshooting](../guides/troubleshooting.md).

Capitals stand for what the function fills in.
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
    "RequestRefused": "by the status code: `retry` or `permanent`",
    "ResumeRefused": "by the status code: `retry` or `permanent`",
    "TargetNotAFile": "always `permanent`",
    "LedgerError": "`retry` or `permanent`",
}
"""Class -> its disposition, where each error has its own."""

SECTIONS: dict[str, ModuleType] = {
    "What can go wrong": errors,
    "No failure, but the end of an attempt": outcomes,
}

REMEDIES = {
    "ConfigurationError": (
        "Set the variable as the line says, and deploy. The construct checks all values at synth: with it, "
        "this is seen only where somebody has changed the function's configuration."
    ),
    "EventError": (
        "Only S3 should send to this queue, itself or through EventBridge or SNS. Look at the message in "
        "the dead-letter queue, and stop the one who sent it."
    ),
    "CredentialsError": (
        "Fill the secret with the command in the output `FillSecretCommand`, or let the function's role "
        "read it and use its KMS key, as the line says. Nothing needs to be deployed."
    ),
    "RemotePathRefused": "The line says why. Put the object again under another key.",
    "RuleRefused": (
        "The line names the rule and the value. Change the rule and deploy, then redrive the message; or "
        "put the object again under another key."
    ),
    "NameTaken": (
        "On a Windows server two keys may be one name. Put the object again under another key, or see "
        "[which key a file belongs to](ledger.md#which-key-a-file-belongs-to)."
    ),
    "ObjectGone": (
        "Put the object again if it is wanted. With a ledger this is recorded as `GONE`, and the message "
        "ends as `AlreadyGone`."
    ),
    "ObjectChanged": (
        "No action needed: the newer object has its own message. With a ledger this is recorded as "
        "`SUPERSEDED`, and the message ends as `Superseded`."
    ),
    "ObjectCorrupt": (
        "No action needed: the bytes were damaged between S3 and the function, and the object will be read "
        "again. Nothing of it got its final name."
    ),
    "HostKeyRefused": (
        "The line shows the offered key and its fingerprint. Verify the fingerprint with the partner out of "
        "band. Then `s3-to-sftp trust-host-key SHA256:... --reason TEXT` lets deliveries continue for a day "
        "at most, and prints the host keys to deploy, old and new."
    ),
    "LoginRefused": (
        "Put the right login into the secret. The function notices within minutes; no deployment is needed."
    ),
    "PasswordExpired": "Nothing was typed. Get a new password.",
    "SecondFactorRequired": "Nothing was typed. Get an account without a second factor.",
    "PartnerRefusesWrites": (
        "The cause is that of the last refusal. The others wait. Fix it with the partner; then they are "
        "delivered without further action."
    ),
    "RenameUnanswered": (
        "No action needed: the next attempt looks at what is really there. Where nothing can be seen, it "
        "ends as `OutcomeUnknown`."
    ),
    "ProtocolViolation": (
        "It will be retried on a new connection; tell the partner if it persists, with the line."
    ),
    "SizeMismatch": (
        "It will be retried. Ask the partner whether the disk is full, or who changes files there."
    ),
    "ResumeNotSupported": (
        "Either the server does not let files be resumed: ask the partner to allow it. Or the rules write "
        "files under their final names: give them a temporary one. More memory gives the function more speed."
    ),
    "RequestRefused": (
        "A refused RENAME leaves the whole file under its temporary name, where the next attempt starts."
    ),
    "ResumeRefused": "It will be retried, unless the server does not accept the name itself.",
    "TargetNotAFile": (
        "It is not touched. Ask the partner to move it. Where the server cannot replace a file in one step, "
        "it may also be a link."
    ),
    "TransformFailed": (
        "It will be retried from the beginning of the file. Give the function more memory if the line says "
        "that it had none left."
    ),
    "OutcomeUnknown": (
        "Ask the partner as the line says. If the file has arrived: `s3-to-sftp confirm KEY --reason TEXT`; "
        "if not: `s3-to-sftp resend KEY --reason TEXT`. `unknown_outcome` decides without asking."
    ),
    "EarlierRenamePending": "It will be retried; ask the partner whether one of its processes hangs.",
    "LedgerError": (
        "Where DynamoDB did not answer, it will be retried. Where the role lacks a permission, add it. "
        "Where an item is corrupt or a counter was changed, the line says which, and which command repairs "
        "it."
    ),
    "QueueError": (
        "The message comes back when its visibility timeout is over. If it persists, check that the "
        "function's role may send to both queues, and use their KMS key."
    ),
    "MovedAfterDelivery": (
        "The line has the command that copies the object back under its key; what was deleted has to be put "
        "again."
    ),
    "AfterDeliveryFailed": (
        "The file is not sent again. Allow the function's role what the line names, then redrive the message."
    ),
    "NoProgress": (
        "Ask the partner whether the server hangs, or removes files before they are complete; give the "
        "function more time (`timeout`) or memory. Then redrive the message."
    ),
    "LeaseHeld": "No action needed.",
    "SequenceHeld": (
        "No action needed while that object is being retried. If it was dead-lettered, redrive it; if it "
        "will never be delivered, [give its number up](../guides/operate.md#objects-wait-for-a-number)."
    ),
    "CircuitOpen": (
        "The line says why. No function connects until the stated time, or until the secret, the host keys "
        "or `SSH_DIR` have been changed."
    ),
    "WindowClosed": "No action needed. `s3-to-sftp resume --until TIME --reason TEXT` opens it for once.",
    "DropRateReached": "No action needed: it is sent when it is its turn.",
    "DeliveriesPaused": "The line says who, why and until when. `s3-to-sftp resume` resumes them.",
    "TooYoung": "No action needed.",
    "DeadlineTooClose": "No action needed: it will be retried at once.",
    "CheckpointSaved": "No action needed.",
    "Filtered": (
        "No action needed. To deliver it, change the rule, then `s3-to-sftp backfill --reason TEXT`; "
        "`s3-to-sftp resend KEY --even-if-filtered --reason TEXT` sends one as it is."
    ),
    "Skipped": "No action needed; `s3-to-sftp resend KEY --reason TEXT` tries it again.",
    "AlreadyDelivered": "No action needed: the event came more than once.",
    "FolderMarker": "No action needed: it has no content.",
    "AlreadyGone": "No action needed. Put the object again if it is wanted.",
    "Cancelled": "No action needed; `s3-to-sftp resend KEY --reason TEXT` sends it after all.",
    "Superseded": "No action needed: the events came in another order than the objects.",
}
"""Class -> what to know or to do besides the advice of its causes."""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_dispositions(), *_errors()])


def error_classes(module: ModuleType | None = None) -> list[type[DeliveryError]]:
    """Return the classes that an error may have, in the order of their tree; all, or those of one module."""

    def below(kind: type[DeliveryError]) -> Iterator[type[DeliveryError]]:
        for each in kind.__subclasses__():
            if each.__module__ in {errors.__name__, outcomes.__name__}:
                if not each.__name__.startswith("_"):
                    yield each
                yield from below(each)

    return [each for each in below(DeliveryError) if module is None or each.__module__ == module.__name__]


def kinds_below(kind: type[DeliveryError]) -> list[type[DeliveryError]]:
    """Return the classes of which this one is the base."""
    return [each for each in error_classes() if each is not kind and issubclass(each, kind)]


def _dispositions() -> Iterator[str]:
    yield "## Dispositions\n"
    yield "`disposition` says what happens to the message of the object:\n"
    yield "| `disposition` | what happens to the message |"
    yield "|---|---|"
    yield from (f"| `{each.value}` | {DISPOSITIONS[each]} |" for each in Disposition)
    yield ""


def _errors() -> Iterator[str]:
    for title, module in SECTIONS.items():
        yield f"## {title}\n"
        for each in error_classes(module):
            yield from _error(each)


def _error(kind: type[DeliveryError]) -> Iterator[str]:
    name, below = kind.__name__, kinds_below(kind)
    yield f"### `{name}`\n"
    yield " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split()) + "\n"
    if name in REMEDIES:
        yield f"**What to do:** {REMEDIES[name]}\n"
    if below:
        listed = ", ".join(f"[`{each.__name__}`](#{each.__name__.lower()})" for each in below)
        yield f"More exactly: {listed}.\n"
    yield f"Disposition: {NOT_OF_THE_CLASS.get(name, f'`{kind.disposition.value}`')}.\n"
    if name in (of_class := {each.__name__: causes for each, causes in ERRORS.items()}):
        yield "| cause | what is wrong | what to do |"
        yield "|---|---|---|"
        for cause in of_class[name]:
            linked = f"[`{cause.name}`](../guides/troubleshooting.md#{_anchor_of(cause.name)})"
            yield row(linked, cause.summary, cause.advice)
        yield ""


def _anchor_of(cause: str) -> str:
    """Return the anchor of the stage that a cause belongs to, as forges make anchors of headings."""
    (title,) = (title for title, stage in STAGES.items() if cause in {each.name for each in causes_of(stage)})
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -").replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page())
