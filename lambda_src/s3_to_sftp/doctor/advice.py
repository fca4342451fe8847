"""Advice of a cause, in a report: what is true of a delivery alone, or was typed just now, is left out."""

import re

from s3_to_sftp.configured_by import in_words_of_author

# An examination is over when it is over: nobody retries it.
_AT_END = re.compile(r"; it will be retried\.")
_RETRIED = re.compile(r"(?:^|(?<= ))It will be retried[^.:;]*(?:[:;] (?P<rest>\w)|\.)")
_SENTENCE = re.compile(r"(?<=[.!?]) (?=[^a-z]|s3-to-sftp)")
_THIS_COMMAND = ("s3-to-sftp doctor", "`s3-to-sftp doctor")
_WRITE = "doctor --write"


def without_retry(advice: str) -> str:
    """Return the advice without the promise that the delivery will be retried."""
    return _RETRIED.sub(lambda found: (found["rest"] or "").upper(), _AT_END.sub(".", advice)).strip()


def advice_of_report(advice: str, *, write: bool, author: str | None) -> str:
    """Return the advice as a report gives it.

    Args:
        advice: As an error of a delivery has it.
        write: Whether a file was to be put at the partner.
        author: See `in_words_of_author`.
    """
    sentences = [each.strip() for each in _SENTENCE.split(without_retry(advice))]
    kept = [each for each in sentences if each and not _is_of_this_command(each, write=write)]
    return in_words_of_author(" ".join(kept), author)


def _is_of_this_command(sentence: str, *, write: bool) -> bool:
    return sentence.startswith(_THIS_COMMAND) and (write or _WRITE not in sentence)
