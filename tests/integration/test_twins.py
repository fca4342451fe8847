"""A twin says what the server said whose measurement it replays: the same conversation, the same statuses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.twin import start_twin
from s3_to_sftp.measured_server import MeasuredServer
from s3_to_sftp.sftp.protocol import Status
from tests.support.conversation import Conversation, session_of
from tests.support.measured_servers import SERVERS, Place, measure, place_of, stored
from tests.support.partner import client_for, contents_below, send
from tests.support.sources import GatheringSource


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def real(kind: str, tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "real"
    folder.mkdir()
    with SERVERS[kind](folder) as place:
        yield place


@pytest.fixture
def twin_root(tmp_path: Path) -> Path:
    folder = tmp_path / "twin"
    folder.mkdir()
    return folder


def conversation_at(place: Place) -> list[tuple[str, int]]:
    with session_of(place.address, place.login) as session:
        return Conversation(session, place.directory).run()


def test_same_conversation_has_the_same_statuses(kind: str, real: Place, twin_root: Path) -> None:
    known, now = stored(kind), measure(real)
    if now.identification != known.identification:
        pytest.skip(f"the file is of {known.identification}, here runs {now.identification}")
    with start_twin(twin_root, known) as server:
        of_twin = conversation_at(place_of(server))
    assert of_twin == conversation_at(real)
    assert len(of_twin) > 60


def test_twin_of_a_twin_is_the_same(kind: str, twin_root: Path) -> None:
    known = stored(kind)
    with start_twin(twin_root, known) as server:
        again = measure(place_of(server))
    for name in (
        "identification",
        "sftp_version",
        "extensions",
        "limits",
        "answers",
        "takes_mode",
        "takes_time",
        "open_files",
        "longest_name",
        "ignores_case",
        "keeps_second_handle",
    ):
        assert getattr(again, name) == getattr(known, name), name


def test_twin_offers_only_algorithms_of_the_server(kind: str, twin_root: Path) -> None:
    known = stored(kind)
    with start_twin(twin_root, known) as server:
        again = measure(place_of(server))
    for what in ("key exchange", "ciphers", "MACs"):
        offered = [name for name in again.algorithms[what] if not name.startswith(("ext-info", "kex-strict"))]
        assert offered
        assert set(offered) <= set(known.algorithms[what])


def test_file_of_some_megabytes_arrives_at_each_twin(kind: str, twin_root: Path) -> None:
    content = os.urandom(3 * 1024 * 1024 + 1)
    with start_twin(twin_root, stored(kind)) as server:
        client = client_for(server, max_connections=2)
        send(client, GatheringSource(content), "/a.bin")
        client.close()
    assert contents_below(twin_root) == {"a.bin": content}


def strict(**changed: object) -> MeasuredServer:
    known = stored("openssh")
    answers = {**known.answers, **changed.pop("answers", {})}  # type: ignore[dict-item] # a test's own
    return replace(known, answers=answers, **changed)  # type: ignore[arg-type] # a test's own


@pytest.mark.parametrize(
    "measured",
    [
        pytest.param(strict(answers={"set_mode": 8, "set_time": 3}, takes_mode=False), id="attributes"),
        pytest.param(strict(takes_mode=False, takes_time=False), id="attributes that are ignored"),
        pytest.param(strict(answers={"rename_across_directories": 4}), id="directories"),
        pytest.param(strict(open_files=2, answers={"open_one_more": 3}), id="open files"),
        pytest.param(strict(longest_name=64, answers={"create_too_long": 4}), id="names"),
        pytest.param(strict(ignores_case=True), id="case"),
        pytest.param(strict(keeps_second_handle=False), id="handles"),
        pytest.param(
            strict(answers={"rename_over_existing": 11, "posix_rename_over_existing": 4}), id="replacing"
        ),
        pytest.param(
            strict(
                answers=dict.fromkeys(
                    ("rename", "rename_missing", "rename_over_existing", "rename_across_directories"), 8
                )
            ),
            id="the extension alone renames",
        ),
        pytest.param(strict(answers={"posix_rename_across_directories": 4}), id="directories, extension"),
        pytest.param(strict(extensions={}, limits=None), id="no extensions"),
    ],
)
def test_quirks_are_replayed(measured: MeasuredServer, twin_root: Path) -> None:
    with start_twin(twin_root, measured) as server:
        again = measure(place_of(server))
    expected = dict(measured.answers)
    if not measured.extensions:
        expected |= {name: None for name in expected if name == "fsync" or name.startswith("posix_rename")}
    assert again.answers == expected
    for name in ("takes_mode", "open_files", "longest_name", "ignores_case", "keeps_second_handle", "limits"):
        wanted = getattr(measured, name)
        assert getattr(again, name) == wanted, name


def test_directory_that_takes_no_files_takes_none(twin_root: Path) -> None:
    (twin_root / "locked").mkdir()
    measured = strict(writable={"/locked": False})
    with start_twin(twin_root, measured) as server:
        place = place_of(server)
        with session_of(place.address, place.login) as session:
            conversation = Conversation(session, "/locked")
            conversation._put("a", b"")
            assert conversation.said == [("create a", Status.PERMISSION_DENIED)]
