"""The names of ours have the length that is compared with what a server takes."""

from __future__ import annotations

from s3_to_sftp.rules.name_lengths import LONGEST_HIDDEN
from s3_to_sftp.sftp.temporary_names import aside_name, names_of_attempt, temporary_path


def test_no_hidden_name_is_longer_than_is_said() -> None:
    temporary = temporary_path("a.csv", token="0" * 16)
    second = names_of_attempt(temporary)[1]
    names = [*names_of_attempt(temporary), *names_of_attempt(second), aside_name(second, 9999)]
    assert max(map(len, names)) == LONGEST_HIDDEN
