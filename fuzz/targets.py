"""The fuzz targets. Each one tries an input, and raises any error that callers do not expect."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from s3_to_sftp.credentials import Credentials, parse_secret
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.queue.message_part import part_of
from s3_to_sftp.s3.envelopes import is_from_queue, objects_in_message, objects_in_notification
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.connection import connect
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.ssh.connect import Timeouts
from s3_to_sftp.ssh.private_key import load_private_key
from s3_to_sftp.ssh.stream import Piece
from tests.support.faults.raw_server import PASSWORD, RawTransport, Script, listening, new_key, raw_server
from tests.support.lambda_events import eventbridge_event, s3_notification, s3_record
from tests.support.scripted_server import ScriptedServer

TIMEOUTS = Timeouts(connect=5, handshake=1, login=1, reply=1)
Said = list[str]
"""The texts of the errors that an input caused."""


@dataclass
class Target:
    """One fuzz target.

    Attributes:
        name: Under which its inputs are counted.
        attempt: Tries one input; returns the texts of errors.
        secrets: What must not appear in these texts.
    """

    name: str
    attempt: Callable[[random.Random], Said]
    secrets: Sequence[str] = field(default=())


@contextmanager
def expecting(said: Said) -> Iterator[None]:
    """Record the text of an error that callers expect; let any other error through."""
    try:
        yield
    except DeliveryError as error:
        said.append(f"{error} {error.reason} {error.hint} {error!r}")


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with a few of them changed, removed, repeated or inserted."""
    result = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        at, length = chance.randrange(len(result) + 1), chance.choice((1, 1, 4, 8, 64))
        match chance.randrange(6):
            case 0:
                result[at : at + length] = chance.randbytes(len(result[at : at + length]))
            case 1:
                del result[at : at + length]
            case 2:
                result[at:at] = result[at : at + length]
            case 3:
                result[at:at] = chance.randbytes(length)
            case 4:
                result[at : at + 4] = chance.choice(
                    (b"\xff" * 4, b"\x80\0\0\0", bytes(4), b"\x7f" + b"\xff" * 3)
                )
            case _:
                del result[at:]
    return bytes(result)


# --- SFTP replies ---


class _Mutating:
    """The stream of a healthy server, with a few bytes of its replies changed."""

    def __init__(self, server: ScriptedServer, chance: random.Random) -> None:
        self._server = server
        self._chance = chance

    def send(self, pieces: Sequence[Piece]) -> None:
        self._server.send(pieces)

    def recv(self) -> bytes:
        data = self._server.recv()
        return mutated(data, self._chance) if self._chance.random() < 0.5 else data

    def close(self) -> None:
        self._server.close()


async def _conversation(session: SftpSession) -> None:
    handle = await session.create("inbox/.part")
    await session.write(handle, 0, b"data", path="inbox/.part")
    await session.fstat(handle, path="inbox/.part")
    await session.close_file(handle, path="inbox/.part")
    await session.stat("inbox/.part")
    await session.exists("inbox/a")
    await session.rename("inbox/.part", "inbox/a")
    await session.home()


def conversation(chance: random.Random) -> Said:
    """Send a small file to a server whose replies are mutated."""
    said: Said = []
    with expecting(said):
        server = ScriptedServer()
        session = SftpSession(_Mutating(server, chance), server="sftp.partner.example:22")
        session.run_one(_conversation(session))
    return said


# --- SSH ---


def _random_message(chance: random.Random) -> Callable[[RawTransport], None]:
    kind = chance.choice(
        (*range(1, 8), *range(20, 42), *range(50, 62), 80, 81, 82, *range(90, 101), 192, 255)
    )
    fields = [
        chance.choice(
            (
                chance.randbytes(chance.choice((0, 1, 4, 40))),
                (2**32 - 1).to_bytes(4, "big"),
                len(PASSWORD).to_bytes(4, "big") + PASSWORD.encode(),
                b"\0\0\0\x04\xfc\xe4\xdf\xff",
                bytes(4),
                b"\1",
            )
        )
        for _ in range(chance.randrange(5))
    ]
    raw = mutated(chance.randbytes(chance.choice((16, 64, 300))), chance)

    def say(server: RawTransport) -> None:
        if chance.random() < 0.3:
            server.say_raw(raw)
        else:
            server.say(kind, *fields)
        server.close()

    return say


def connection(chance: random.Random) -> Said:
    """Log in to a server that sends random messages at some step, and hangs up."""
    said: Said = []
    say = _random_message(chance)
    script = Script()
    match chance.randrange(3):
        case 0:
            script.after_newkeys = say
        case 1:
            script.at_login = say
        case _:
            script.at_subsystem = lambda server, _channel: say(server)
    with raw_server(script) as running, expecting(said):
        connect(running.address, running.login, TIMEOUTS).close()
    return said


def greeting(chance: random.Random) -> Said:
    """Connect to a server whose banner and KEXINIT are mutated."""
    said: Said = []
    first = mutated(b"SSH-2.0-OpenSSH_9.6\r\n" + _key_exchange_init(), chance)

    def serve(sock: socket.socket) -> None:
        with suppress(OSError):
            sock.sendall(first)
            sock.shutdown(socket.SHUT_WR)

    key = new_key()
    login = Credentials(username="partner", password=PASSWORD)
    with listening(serve) as port, expecting(said):
        server = Server(host="127.0.0.1", port=port, host_keys=(f"{key.get_name()} {key.get_base64()}",))
        connect(server, login, TIMEOUTS).close()
    return said


def _key_exchange_init() -> bytes:
    lists = paramiko.Message()
    lists.add_byte(bytes([20]))
    lists.add_bytes(bytes(16))
    for names in ("curve25519-sha256@libssh.org", "ssh-ed25519", *["aes128-gcm@openssh.com"] * 2):
        lists.add_string(names)
    for names in (*["hmac-sha2-256"] * 2, *["none"] * 2, "", ""):
        lists.add_string(names)
    lists.add_bytes(bytes(5))
    payload = lists.asbytes()
    padding = 8 - (5 + len(payload)) % 8 + 8
    return (1 + len(payload) + padding).to_bytes(4, "big") + bytes([padding]) + payload + bytes(padding)


# --- events ---

_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e400,
    2**70,
    "",
    "\0",
    "\ud800",
    "%FF",
    "%",
    "../a",
    "a" * 2000,
    [],
    {},
    [None],
    [[]],
)


def _damaged(value: Any, chance: random.Random) -> Any:
    if chance.random() < 0.08:
        return chance.choice(_ODD)
    if isinstance(value, dict):
        return {name: _damaged(part, chance) for name, part in value.items() if chance.random() > 0.03}
    if isinstance(value, list):
        return [_damaged(part, chance) for part in value] * chance.choice((1, 1, 1, 2))
    return value


def event(chance: random.Random) -> Said:
    """Parse an S3 event of which parts are missing or replaced."""
    said: Said = []
    record = s3_record("bucket", "in/red flower.jpg", size=7)
    whole = chance.choice((s3_notification(record, record), eventbridge_event("bucket", "in/ü.csv")))
    body = json.dumps(_damaged(whole, chance))
    if chance.random() < 0.3:
        body = mutated(body.encode(), chance).decode("utf-8", "replace")
    with expecting(said):
        for ref in objects_in_message(body):
            part_of(body, ref)
            str(ref)
    with suppress(ValueError), expecting(said):
        parsed = json.loads(body)
        is_from_queue(parsed)
        objects_in_notification(parsed)
    return said


# --- keys and secrets ---

PASSPHRASE = "a-passphrase-of-a-test"


def _keys() -> list[str]:
    kinds = (
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    )
    encryptions = (serialization.NoEncryption(), serialization.BestAvailableEncryption(PASSPHRASE.encode()))
    formats = (serialization.PrivateFormat.OpenSSH, serialization.PrivateFormat.PKCS8)
    return [
        key.private_bytes(serialization.Encoding.PEM, file_format, encryption).decode()
        for key in kinds
        for file_format in formats
        for encryption in encryptions
    ]


def _key_target() -> Target:
    texts = _keys()
    lines = [line for text in texts for line in text.splitlines()[1:-1] if len(line) > 40]

    def attempt(chance: random.Random) -> Said:
        said: Said = []
        text = mutated(chance.choice(texts).encode(), chance).decode("latin-1")
        if chance.random() < 0.2:
            text = text.replace("\n", chance.choice(("\\n", "\r", "\r\n", " ", "")))
        with expecting(said):
            load_private_key(text, passphrase=chance.choice(("", PASSPHRASE, "wrong")))
        secret = json.dumps({"username": "u", "password": PASSPHRASE, "private_key": text})
        with expecting(said):
            parse_secret(mutated(secret.encode(), chance).decode("utf-8", "replace"), name="secret")
        return said

    return Target("keys", attempt, secrets=(PASSPHRASE, *lines))


def targets() -> list[Target]:
    """Return all targets."""
    return [
        Target("conversations", conversation),
        Target("connects", connection, secrets=(PASSWORD,)),
        Target("greetings", greeting, secrets=(PASSWORD,)),
        Target("events", event),
        _key_target(),
    ]
