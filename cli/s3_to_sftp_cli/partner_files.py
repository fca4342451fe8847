"""What the ledger knows of a version's files at the partner, where rules order and number them."""

from collections.abc import Iterator, Mapping
from typing import Any

from s3_to_sftp.errors import LedgerError, RuleRefused
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.recorded_plan import plan_of_file
from s3_to_sftp.state.items import VersionItem
from s3_to_sftp.state.ledger import OF_DATA, Commit
from s3_to_sftp.state.receipt import sent_details
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import typed
from s3_to_sftp_cli.ledger import LedgerReader, Record
from s3_to_sftp_cli.object_name import typed_object, typed_pattern
from s3_to_sftp_cli.sequences import Sequence, read_sequences, version_of


def number_given_up(ledger: LedgerReader, record: Record) -> Sequence | None:
    """Return the sequence whose last number the next object gets if this one is cancelled; None: none.

    Raises:
        CliError: Something with the number may be at the partner: another object must not get it.
        ClientError, BotoCoreError: The table refused, or did not answer.
    """
    version = version_of(record)
    if not version.plan:
        return None
    for sequence in read_sequences(ledger):
        if sequence.holder is not None and sequence.holder.is_version(record):
            if version.may_be_seen:
                raise _number_in_use(record, version, sequence)
            return sequence
    return None


def has_lost_number(ledger: LedgerReader, record: Record) -> bool:
    """Return whether files may be at the partner with a number that is no longer that of the version.

    Raises:
        CliError: The item is corrupt.
        ClientError, BotoCoreError: The table refused, or did not answer.
    """
    version = version_of(record)
    if not version.plan or not version.may_be_seen:
        return False
    try:
        number = PlanFacts.from_text(version.plan).sequence
    except ValueError:  # whatever was planned
        return False
    return number is not None and not any(each.has(record) for each in read_sequences(ledger))


def _number_in_use(record: Record, version: VersionItem, taken: Sequence) -> CliError:
    key, files = typed_object(record), ", ".join(files_at_partner(version)) or "some were begun"
    next_step = {
        "UNKNOWN": f"Ask the partner, then `s3-to-sftp confirm {key} --reason TEXT` or "
        f"`s3-to-sftp resend {key} --reason TEXT`.",
        "FAILED": f"When the cause is fixed, `s3-to-sftp redrive --key {typed_pattern(record)}` completes "
        "it.",
    }.get(record.state, f"`s3-to-sftp retry {key}` completes it.")
    give_up = f"`s3-to-sftp sequence {typed(taken.name)} --set {taken.number + 1} --reason TEXT`"
    return CliError(
        f"{record.key} has number {taken.number} of the sequence {taken.name!r}, and files with this "
        f"number may be at the partner: {files}. Cancelled, the next object would get the number again.",
        hint=f"{next_step} To let the others go on, and leave number {taken.number} to this object: "
        f"{give_up}. To give the object up, cancel it after that.",
        code=ExitCode.CONFLICT,
    )


def files_at_partner(version: VersionItem) -> Iterator[str]:
    """Yield the files of the version that are at the partner, or may be, in words."""
    for file in (*((version.commit,) if version.commit else ()), *version.steps.values()):
        if file.is_renamed:
            yield f"{file.remote_path!r} is there"
        elif file.rename_unanswered or file.temporary == file.remote_path:
            yield f"{file.remote_path!r} may be there"


def confirmed_file(record: Record) -> tuple[str, Mapping[str, Any]] | None:
    """Return the file that an operator confirms, and what the version's item holds then.

    Only the function knows what else the rules want of the object. So it completes the object, and begins
    with the next file.

    Args:
        record: A version whose outcome is unknown.

    Returns:
        None: it was sent without rules, and nothing is left to do.

    Raises:
        CliError: The item is corrupt, or does not say which file it is about.
    """
    version = version_of(record)
    if not version.plan or version.commit is None:
        return None
    is_open = {name: step for name, step in version.steps.items() if _is_open(step)}
    if _is_open(version.commit):
        is_open[""] = version.commit
    # The reason of OutcomeUnknown names the file; with a single one it is that.
    named = {
        name: file for name, file in is_open.items() if f"RENAME to {file.remote_path!r} " in record.reason
    }
    asked = named if named or len(is_open) != 1 else is_open
    if len(asked) != 1:
        raise CliError(
            f"The ledger does not say which file of {record.key} is unknown: there is nothing to confirm.",
            hint=f"`s3-to-sftp resend {typed_object(record)} --reason TEXT` sends it again.",
            code=ExitCode.CONFLICT,
        )
    ((name, file),) = asked.items()
    return file.remote_path, _with_confirmed(record, name)


def details_of_confirmed(record: Record) -> Mapping[str, Any]:
    """Return what the receipt says besides: what was sent in place of the object's bytes, and by which rules.

    Raises:
        CliError: The item is corrupt.
    """
    version = version_of(record)
    commit = version.commit
    if commit is None:
        return {}
    try:
        number = plan_of_file(commit).number if commit.plan else None
    except LedgerError as error:
        raise CliError(error.reason, hint=error.hint, code=ExitCode.CONFLICT) from None
    companions = {name: file for name, file in version.steps.items() if name not in OF_DATA}
    beside = [file.remote_path for file in companions.values() if file.is_renamed]
    return {
        **(sent_details(commit.sent) if commit.sent is not None else {}),
        **({"sequence": number} if number is not None else {}),
        **({"companions": beside} if beside else {}),
    }


def is_refused_beside_its_data(record: Record) -> bool:
    """Return whether the data is at the partner, and rules that were changed since give it no companions."""
    is_refused = record.state == "FAILED" and record.error == RuleRefused.__name__
    return is_refused and version_of(record).has_data_at_partner


def _is_open(file: Commit) -> bool:
    return file.rename_unanswered and not file.is_renamed


def _with_confirmed(record: Record, step: str) -> Mapping[str, Any]:
    commit, steps = dict(record.item["commit"]), dict(record.item.get("steps") or {})
    if step:
        steps[step] = {**steps[step], "is_renamed": True}
    else:
        commit |= {"is_renamed": True, "evidence": "confirmed"}
    commit["rename_unanswered"] |= commit["is_renamed"]  # as when only the receipt is missing
    state = "COMMITTING" if commit["rename_unanswered"] else "STAGED"
    return {"state": state, "commit": commit, "steps": steps}
