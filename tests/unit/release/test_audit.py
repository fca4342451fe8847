"""The audit of the locks: a finding is an error, and a database that says nothing is no clean result."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from release import audit as audit_module
from release.audit import Audit, NoAnswer, audit, read, report
from release.project import REPOSITORY, NotReady

LOCK = "six==1.17.0 --hash=sha256:" + "0" * 64 + "\nzlib-ng==1.0.0 --hash=sha256:" + "1" * 64 + "\n"
VULNERABILITY = {
    "id": "PYSEC-0000-1",
    "summary": "Sixes are sevens.",
    "affected": [
        {
            "package": {"name": "six", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
        }
    ],
}

Answer = Callable[[str], dict[str, Any]]


@contextmanager
def database(answer: Answer) -> Iterator[tuple[str, ...]]:
    """Serve OSV's query API on loopback: a package's name -> what it answers. Yields pip-audit's options."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(answer(asked["package"]["name"])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield ("--vulnerability-service=osv", f"--osv-url=http://127.0.0.1:{server.server_port}/v1/query")
        server.shutdown()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "requirements.txt"
    path.write_text(LOCK)
    return path


@pytest.fixture
def nobody() -> Iterator[tuple[str, ...]]:
    """Options for a database at a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: connections are refused
        port = taken.getsockname()[1]
        yield ("--vulnerability-service=osv", f"--osv-url=http://127.0.0.1:{port}/v1/query")


def no_vulnerability(name: str) -> dict[str, Any]:
    return {}


def six_is_vulnerable(name: str) -> dict[str, Any]:
    return {"vulns": [VULNERABILITY]} if name == "six" else {}


def test_finding_names_the_library_the_vulnerability_and_the_fix(lock: Path) -> None:
    with database(six_is_vulnerable) as options:
        answer = audit(lock, [options])
    assert isinstance(answer, Audit)
    assert answer.audited == ("six", "zlib-ng")
    (sentence,) = answer.findings
    assert sentence.startswith("six 1.17.0 has PYSEC-0000-1, fixed in 2.0: ")
    assert list(report(lock, answer)) == [f"{lock}: 2 audited, 1 vulnerable", f"  {sentence}"]


def test_accepted_vulnerability_is_no_finding(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "ACCEPTED", {"PYSEC-0000-1": "we have no sevens"})
    with database(six_is_vulnerable) as options:
        answer = audit(lock, [options])
    assert isinstance(answer, Audit)
    assert answer.findings == ()


def test_no_answer_is_neither_an_error_nor_a_clean_result(lock: Path, nobody: tuple[str, ...]) -> None:
    answer = audit(lock, [nobody])
    assert isinstance(answer, NoAnswer)
    (line,) = report(lock, answer)
    assert line.startswith(f"{lock}: NOT AUDITED, no database answers here (")
    assert "refused" in answer.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("six==1.17.0\n", "does not contain a hash"),
        ("six===1 ==\n", "contains invalid specifier"),
        (None, "invalid requirements input"),
    ],
)
def test_lock_that_cannot_be_read_is_an_error(
    lock: Path, nobody: tuple[str, ...], text: str | None, said: str
) -> None:
    """It would look as if no database had answered, each week, and nothing would be audited any longer."""
    if text is None:
        lock.unlink()
    else:
        lock.write_text(text)
    with pytest.raises(NotReady, match=f"(?s){lock}.*{said}"):
        audit(lock, [nobody])


def test_second_database_is_asked_where_the_first_does_not_answer(
    lock: Path, nobody: tuple[str, ...]
) -> None:
    with database(no_vulnerability) as options:
        answer = audit(lock, [nobody, options])
    assert answer == Audit(audited=("six", "zlib-ng"), unknown=(), findings=())


def skipped(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "skip_reason": f"Dependency not found on PyPI: {name}"} for name in names]


def test_database_that_knows_nothing_of_a_lock_has_not_answered() -> None:
    """An index without vulnerabilities, such as a mirror, answers 404 to all: pip-audit exits with 0."""
    answer = read(json.dumps({"dependencies": skipped("six", "boto3")}), "No known vulnerabilities found")
    assert answer == NoAnswer("Dependency not found on PyPI: six")


def test_library_that_the_database_does_not_know_is_named() -> None:
    known = [{"name": "boto3", "version": "1.44.5", "vulns": []}]
    answer = read(json.dumps({"dependencies": known + skipped("six")}), "")
    assert answer == Audit(audited=("boto3",), unknown=("six",), findings=())
    assert "six" in " ".join(report(Path("lock"), answer))


def test_every_hash_lock_is_audited() -> None:
    """Those of `make lock`, which are the ones with hashes."""
    with_hashes = {
        path.relative_to(REPOSITORY)
        for folder in ("lambda_src", "local", "tests", "bench", "release")
        for path in (REPOSITORY / folder).rglob("*requirements*.txt")
        if "--hash=" in path.read_text()
    }
    assert set(audit_module.LOCKS) == with_hashes
