"""Names that are invalid on a Windows server are refused, with the reason, before a byte is sent."""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.deadline import Invocation
from s3_to_sftp.errors import Disposition, RemotePathRefused
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import Request
from s3_to_sftp.sftp.windows import is_windows, require_valid_name
from s3_to_sftp.state.receipt import Receipt
from tests.support.delivery_environment import DeliveryEnvironment
from tests.support.does_not_raise import does_not_raise
from tests.support.memory_s3 import MemoryS3
from tests.support.sftp_environment import MemoryConnection, SftpEnvironment
from tests.unit.delivery.test_batch import SIZES, deliver, delivery

WINDOWS = [
    "SSH-2.0-OpenSSH_for_Windows_9.5",
    "SSH-2.0-8.49 FlowSsh: Bitvise SSH Server (WinSSHD) 8.49",
    "SSH-2.0-WS_FTP-SSH_8.7.0",
    "SSH-2.0-MOVEit Transfer SFTP",
    "SSH-2.0-1.82_sshlib GlobalSCAPE",
    "SSH-2.0-CerberusFTPServer_13.2",
    "SSH-2.0-CompleteFTP_22.1.2",
]
OTHERS = ["SSH-2.0-OpenSSH_9.6", "SSH-2.0-AWS_SFTP_1.1", "SSH-2.0-Go", "SSH-2.0-mod_sftp", "SSH-2.0-x", ""]

HOSTILE = {
    "C:/x": "':'",
    "a.txt:stream": "':'",
    "\\x": "'\\\\\\\\'",
    "a\\b": "'\\\\\\\\'",
    "what?.csv": "'\\?'",
    "all*.csv": "'\\*'",
    "a<b": "'<'",
    "a>b": "'>'",
    'a"b': "'\"'",
    "a|b": "'\\|'",
    "CON": "device",
    "con.txt": "device",
    "Aux.tar.gz": "device",
    "out/NUL": "device",
    "PRN/x": "device",
    "COM1": "device",
    "lpt9.csv": "device",
    "COM\u00b9": "device",
    "CONIN$": "device",
    "CON .txt": "device",
    "report.": "cuts the end",
    "report.csv ": "cuts the end",
    "dir./x": "cuts the end",
    "...": "cuts the end",
}
HARMLESS = [
    "report.csv",
    "CONTRACT.csv",
    "COM10.txt",
    "com.txt",
    ".hidden",
    "a b",
    "x.con",
    "nul1",
    "Öl.csv",
    "COM",
]


@pytest.mark.parametrize("identification", WINDOWS)
def test_identification_of_a_windows_server_is_recognised(identification: str) -> None:
    assert is_windows(identification)


@pytest.mark.parametrize("identification", OTHERS)
def test_other_identifications_are_not_taken_for_windows(identification: str) -> None:
    assert not is_windows(identification)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("directory", ["", "inbox", "/C:/inbox", "C:/inbox/"])
def test_name_that_is_invalid_on_windows_is_refused(name: str, directory: str) -> None:
    path = f"{directory.rstrip('/')}/{name}" if directory else name
    with pytest.raises(RemotePathRefused, match=HOSTILE[name]) as raised:
        require_valid_name(path, directories=[directory] if directory else [])
    assert repr(path) in raised.value.reason
    assert raised.value.disposition is Disposition.PERMANENT


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.parametrize("directory", ["", "inbox", "/C:/inbox", "C:/inbox/"])
def test_valid_windows_name_is_accepted(name: str, directory: str) -> None:
    path = f"{directory.rstrip('/')}/{name}" if directory else name
    with does_not_raise():
        require_valid_name(path, directories=[directory] if directory else [])


def windows_env() -> SftpEnvironment:
    env = SftpEnvironment()
    serve = env.serve

    def on_windows(number: int, known: KnownServer | None = None) -> MemoryConnection:
        connection = serve(number, known)
        connection.session.is_windows = True
        return connection

    env.serve = on_windows  # type: ignore[method-assign] # another server
    return env


@pytest.mark.parametrize("size", SIZES)
def test_object_with_an_invalid_windows_name_is_not_sent(size: str) -> None:
    s3, env = MemoryS3({"a.txt:stream": SIZES[size], "b": SIZES[size]}), windows_env()
    env.disk.directories.add("inbox")
    with pytest.raises(RemotePathRefused, match="runs on Windows"):
        deliver(delivery(s3, env), s3.ref("a.txt:stream"))
    assert not env.connection(0).server.paths(Request.OPEN)
    deliver(delivery(s3, env), s3.ref("b"))
    assert set(env.files) == {"inbox/b"}


@pytest.mark.parametrize("size", SIZES)
def test_invalid_windows_name_is_delivered_to_other_servers(size: str) -> None:
    s3, env = MemoryS3({"a.txt:stream": SIZES[size]}), SftpEnvironment()
    env.disk.directories.add("inbox")
    deliver(delivery(s3, env), s3.ref("a.txt:stream"))
    assert set(env.files) == {"inbox/a.txt:stream"}


# --- different names of one file ---


@pytest.fixture
def harness(ledger_table: Any) -> DeliveryEnvironment:
    harness = DeliveryEnvironment(ledger_table)
    harness.env = windows_env()
    harness.env.disk.directories.add("inbox")
    return harness


@pytest.mark.parametrize("size", SIZES)
def test_key_that_maps_to_the_file_of_another_key_is_refused(harness: DeliveryEnvironment, size: str) -> None:
    harness.s3.objects |= {"Öl/Report.csv": SIZES[size], "öl/REPORT.CSV": SIZES[size][::-1]}
    first, second = harness.ref("Öl/Report.csv"), harness.ref("öl/REPORT.CSV")
    assert isinstance(deliver_one(harness, first), Receipt)
    refused = deliver_one(harness, second)
    assert isinstance(refused, RemotePathRefused)
    assert "s3://bucket/Öl/Report.csv" in refused.reason
    assert harness.env.files == {"inbox/Öl/Report.csv": SIZES[size]}
    assert harness.temporaries(second) == set()
    harness.s3.objects["Öl/Report.csv"] = b"newer"
    assert isinstance(deliver_one(harness, harness.ref("Öl/Report.csv", sequencer="0B")), Receipt), (
        "its own file"
    )


def test_keys_that_map_to_different_files_are_both_delivered(harness: DeliveryEnvironment) -> None:
    harness.s3.objects |= {"straße": b"1", "strasse": b"2"}
    assert isinstance(deliver_one(harness, harness.ref("straße")), Receipt)
    assert isinstance(deliver_one(harness, harness.ref("strasse")), Receipt)


def test_letters_without_their_own_uppercase_form_map_to_different_files(
    harness: DeliveryEnvironment,
) -> None:
    harness.s3.objects |= {"\u0131": b"1", "i": b"2", "\u017f": b"3", "s": b"4"}
    for key in ("\u0131", "i", "\u017f", "s"):
        assert isinstance(deliver_one(harness, harness.ref(key)), Receipt)


def test_refused_name_leaves_no_temporary_name_in_the_ledger(harness: DeliveryEnvironment) -> None:
    harness.s3.objects |= {"CON.txt": b"x"}
    ref = harness.ref("CON.txt")
    assert isinstance(deliver_one(harness, ref), RemotePathRefused)
    assert harness.temporaries(ref) == set()


def test_other_servers_distinguish_upper_and_lower_case(harness: DeliveryEnvironment) -> None:
    harness.env = SftpEnvironment(disk=harness.env.disk)
    harness.s3.objects |= {"A": b"1", "a": b"2"}
    for key in ("A", "a"):
        assert isinstance(deliver_one(harness, harness.ref(key)), Receipt)
    assert harness.env.files == {"inbox/A": b"1", "inbox/a": b"2"}


def test_file_claim_applies_to_one_server_and_login(harness: DeliveryEnvironment) -> None:
    ledger = harness.ledger.function("f")
    harness.s3.objects |= {"A": b"1", "a": b"2"}
    upper, lower = (
        ledger.acquire(
            harness.ref(key), remote_path=key, temporary=f".{key}", until=harness.ledger.clock() + 9
        )
        for key in ("A", "a")
    )
    ledger.claim_file(upper, "A", account="u@here:22")
    ledger.claim_file(upper, "A", account="u@here:22")
    ledger.claim_file(lower, "A", account="u@there:22")
    with pytest.raises(RemotePathRefused):
        ledger.claim_file(lower, "A", account="u@here:22")


def deliver_one(harness: DeliveryEnvironment, ref: ObjectRef) -> Receipt | Exception:
    ((_, outcome),) = deliver_all(harness.function(), [ref], Invocation(harness.deadline()))
    return outcome
