"""Every key has its own remote path, never outside the directory."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.errors import RemotePathRefused
from s3_to_sftp.remote_path import SourceDirectory, directory_of, never_delivered, remote_path
from s3_to_sftp.sftp.temporary_names import temporary_path

# Hostile keys: dangerous parts occur more often than by chance.
KEYS = st.lists(
    st.one_of(st.sampled_from(["..", ".", "", "/", "a", "\\", "\n", "\0", "ü", " ", "\ud800"]), st.text()),
    min_size=1,
    max_size=6,
).map("/".join)
DIRECTORIES = st.sampled_from(["", "/", "inbox", "/inbox", "/inbox/", "in/box", "/in/box//"])


def path_or_none(directory: str, key: str) -> str | None:
    try:
        return remote_path(directory=directory, key=key)
    except RemotePathRefused:
        return None


@given(DIRECTORIES, KEYS, KEYS)
def test_different_keys_never_share_a_path(directory: str, one: str, other: str) -> None:
    path = path_or_none(directory, one)
    if path is not None and one != other:
        assert posixpath.normpath(path) != posixpath.normpath(path_or_none(directory, other) or "")


@given(DIRECTORIES, KEYS)
def test_no_key_leaves_the_directory(directory: str, key: str) -> None:
    path = path_or_none(directory, key)
    if path is not None:
        base = posixpath.normpath("/login/" + directory if not directory.startswith("/") else directory)
        there = posixpath.normpath(posixpath.join("/login", path))
        assert posixpath.commonpath([base, there]) == base != there


@given(DIRECTORIES, KEYS)
def test_every_accepted_path_can_be_encoded(directory: str, key: str) -> None:
    path = path_or_none(directory, key)
    if path is not None:
        path.encode()
        temporary_path(path, token="t").encode()
        assert path.isprintable() or not any(ord(character) < 32 for character in path)


@pytest.mark.parametrize(
    ("directory", "path"),
    [
        ("", "a/b.csv"),
        ("inbox", "inbox/a/b.csv"),
        ("inbox/", "inbox/a/b.csv"),
        ("/inbox", "/inbox/a/b.csv"),
        ("/", "/a/b.csv"),
        ("//", "/a/b.csv"),
    ],
)
def test_key_is_the_path_below_the_directory(directory: str, path: str) -> None:
    assert remote_path(directory=directory, key="a/b.csv") == path


@pytest.mark.parametrize(
    "key",
    [
        "a b+ü(1)&%41.csv",
        "🚀",
        " ",
        "...",
        "..a",
        "a..",
        "-rf",
        "~",
        "~$a.docx",
        "a/~/b",
        "\u05d0\u200f.txt",
        "x" * 255,
        "ü" * 127,
    ],
)
def test_unusual_but_harmless_key_is_kept_unchanged(key: str) -> None:
    assert remote_path(directory="inbox", key=key) == f"inbox/{key}"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("..", "leave the remote directory"),
        ("../a", "leave the remote directory"),
        ("a/../../b", "leave the remote directory"),
        ("a/..", "leave the remote directory"),
        ("./a", "leave the remote directory"),
        ("/a", "empty name"),
        ("a//b", "empty name"),
        ("a/", "empty name"),
        ("/", "empty name"),
        ("a\nb", "control character"),
        ("a\0b", "control character"),
        ("a\x7fb", "control character"),
        ("a\tb/c", "control character"),
        ("a\x9bb", "control character"),
        ("a\x85", "control character"),
        ("a\u2028b", "control character"),
        ("invoice\u202efdp.exe", "reorders text"),
        ("a\u2066b/c", "reorders text"),
        ("x" * 256, "longer than 255 bytes"),
        ("ü" * 128, "longer than 255 bytes"),
        ("a/" + "🚀" * 64 + "/b", "longer than 255 bytes"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_dangerous_key_is_refused_with_a_reason(key: str, why: str) -> None:
    with pytest.raises(RemotePathRefused, match=why) as raised:
        remote_path(directory="inbox", key=key)
    assert repr(key) in str(raised.value)


@pytest.mark.parametrize("key", ["~/a", "~root/a", "~root/b/c"])
def test_leading_tilde_is_refused_only_without_a_directory(key: str) -> None:
    with pytest.raises(RemotePathRefused, match="would leave the directory of the login"):
        remote_path(directory="", key=key)
    assert remote_path(directory="inbox", key=key) == f"inbox/{key}"


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        ("/", ""),
        ("/in/", ""),
        ("in//", ""),
        ("../", ""),
        ("in/./", ""),
        ("", "/"),
        ("", "//a"),
        ("", "/../a"),
        ("a\n", ""),
    ],
)
def test_filter_without_deliverable_keys_is_detected(prefix: str, suffix: str) -> None:
    assert never_delivered(prefix=prefix, suffix=suffix)


@given(KEYS, KEYS, KEYS)
def test_detected_filter_matches_no_deliverable_key(prefix: str, middle: str, suffix: str) -> None:
    if never_delivered(prefix=prefix, suffix=suffix):
        assert path_or_none("inbox", prefix + middle + suffix) is None


@pytest.mark.parametrize(
    ("prefix", "suffix"), [("", ""), ("in", ""), ("in/", ".csv"), (".", "."), ("in/..", "a"), ("", "/a.csv")]
)
def test_filter_with_deliverable_keys_is_accepted(prefix: str, suffix: str) -> None:
    assert never_delivered(prefix=prefix, suffix=suffix) == ""


def test_temporary_name_is_hidden_in_the_same_directory() -> None:
    path = temporary_path("in/box/report.csv", token="0123")
    assert posixpath.dirname(path) == "in/box"
    assert posixpath.basename(path).startswith(".")


@pytest.mark.parametrize("path", ["a", "/a", "d/a"])
def test_temporary_name_differs_between_attempts(path: str) -> None:
    assert temporary_path(path, token="1") != temporary_path(path, token="2")


def test_temporary_name_differs_between_files() -> None:
    assert temporary_path("d/a", token="1") != temporary_path("d/b", token="1")


@given(st.text(min_size=1, max_size=255))
def test_temporary_name_is_shorter_than_64_bytes(name: str) -> None:
    path = path_or_none("", name)
    if path is not None:
        assert len(posixpath.basename(temporary_path(path, token="0" * 16)).encode()) < 64


@pytest.mark.parametrize("key", ["..\\b", "a\\..\\..\\b", "a/b\\..\\..", "a\\../b"])
def test_key_that_would_leave_the_directory_on_windows_is_refused(key: str) -> None:
    with pytest.raises(RemotePathRefused, match="Windows"):
        remote_path(directory="/inbox", key=key)


SOURCES = [
    SourceDirectory(bucket="b", prefix="in/", directory="/in"),
    SourceDirectory(bucket="b", prefix="in/deep/", directory="/deep"),
    SourceDirectory(bucket="b", prefix="data/", suffix=".csv", directory="/csv"),
    SourceDirectory(bucket="b", prefix="data/", suffix=".xml", directory="/xml"),
    SourceDirectory(bucket="c", directory="/all-of-c"),
]


@pytest.mark.parametrize(
    ("bucket", "key", "directory"),
    [
        ("b", "in/a", "/in"),
        ("b", "in/deep/a", "/deep"),  # the longest prefix wins
        ("b", "data/a.csv", "/csv"),
        ("b", "data/a.xml", "/xml"),
        ("b", "data/a.txt", "/inbox"),
        ("b", "out/a", "/inbox"),
        ("b", "in", "/inbox"),
        ("c", "in/a", "/all-of-c"),
        ("d", "in/a", "/inbox"),
    ],
)
def test_directory_is_that_of_the_source_or_the_default(bucket: str, key: str, directory: str) -> None:
    for sources in (SOURCES, SOURCES[::-1]):
        assert directory_of(bucket, key, sources, otherwise="/inbox") == directory
