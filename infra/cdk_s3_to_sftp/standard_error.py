"""What a synth says while it bundles."""

import sys


def say(sentence: str) -> None:
    """Print to standard error: standard output belongs to the template."""
    print(sentence, file=sys.stderr)  # noqa: T201 -- there is no logger at synth
