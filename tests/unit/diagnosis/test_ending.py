"""How a connection ended, from the exception that tells."""

from __future__ import annotations

import socket
import struct

import pytest

from s3_to_sftp.diagnosis.server_messages import Ending
from s3_to_sftp.ssh.packetizer import Packetizer


def end_of_file_because_of(error: Exception) -> EOFError:
    end = EOFError()
    end.__cause__ = error
    return end


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (EOFError(), Ending.CLOSED),
        (end_of_file_because_of(BrokenPipeError()), Ending.CLOSED),
        (end_of_file_because_of(ConnectionResetError()), Ending.RESET),
        (ConnectionResetError(), Ending.RESET),
        (BrokenPipeError(), Ending.RESET),
        (TimeoutError(), Ending.SILENT),
        (ValueError(), None),
    ],
)
def test_ending_of_an_error(error: Exception, ending: Ending | None) -> None:
    assert Ending.of(error) is ending


@pytest.mark.parametrize("resets", [True, False])
def test_failed_write_tells_a_reset_from_a_close(*, resets: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    if resets:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    packetizer = Packetizer(ours)
    theirs.close()

    def write() -> None:
        for _ in range(100):  # the first one may arrive before anybody answers it
            packetizer.write_all(b"SSH-2.0-us\r\n")

    with ours, pytest.raises(EOFError) as raised:
        write()
    assert Ending.of(raised.value) is (Ending.RESET if resets else Ending.CLOSED)
