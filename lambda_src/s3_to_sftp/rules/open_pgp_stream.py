"""OpenPGP as a stream transform: pysequoia in a child process, fed by pipes.

In this process pysequoia would hold the interpreter's lock during the whole file, and reads from paths only.
The child streams: its memory, and that of the pipes, does not grow with the file.
"""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from s3_to_sftp.errors import RuleRefused, TransformFailed
from s3_to_sftp.rules.open_pgp import OpenPgp
from s3_to_sftp.rules.open_pgp_keys import SigningKey, UnusableKey, recipients_of
from s3_to_sftp.untrusted_text import quoted

_PROGRAM = Path(__file__).with_name("open_pgp_child.py")
_PIECE = 65536
"""Bytes: what a pipe of Linux holds (pipe(7))."""
_PATIENCE_SECONDS = 120.0
"""How long the child may neither take nor give a byte. It needs microseconds for one piece."""
_MOST_SAID = 4096
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""Python may need them to start. The credentials of the function stay here."""
_REPORT = "It will be retried. If it happens again, report it with this text."


class OpenPgpStream:
    """One pass of a file through OpenPGP: a `StreamTransform`.

    Memory: what is fed and what comes out of it, two pipes of 64 KB, and the child.

    Attributes:
        encrypted_to: Fingerprints of the recipients, in upper-case hex, for the receipt.
        signed_by: Fingerprint of the key that signs; empty where nothing is signed.
    """

    def __init__(
        self,
        rule: OpenPgp,
        *,
        signing_key: SigningKey | None = None,
        now: datetime | None = None,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        """Check the keys, and start the child.

        Args:
            rule: What to do.
            signing_key: What the secret of `sign_with` holds; needed if the rule has one.
            now: For keys that expire; by default the time of the clock.
            patience: Seconds that the child may take for nothing.

        Raises:
            RuleRefused: A recipient's key cannot be used, such as an expired one.
            TransformFailed: The child cannot be started.
        """
        if (rule.sign_with is None) != (signing_key is None):
            raise ValueError("signing_key belongs to sign_with")
        try:
            recipients = recipients_of(rule.encrypt_to, now=now)
        except UnusableKey as unusable:
            raise _refused(unusable) from None
        self.encrypted_to = tuple(each.fingerprint for each in recipients)
        self.signed_by = signing_key.fingerprint if signing_key else ""
        self._patience = patience
        self._said = b""
        self._is_finished = False
        header = json.dumps(
            {
                "path": [folder for folder in sys.path if folder],
                "recipients": [each.text for each in recipients],
                "private_key": signing_key.private_key if signing_key else "",
                "passphrase": signing_key.passphrase if signing_key else "",
                "armor": rule.armor,
            }
        ).encode()
        self._header = len(header).to_bytes(4, "big") + header
        self._child = _start()
        self._selector = selectors.DefaultSelector()
        for pipe, event in (
            (self._child.stdin, selectors.EVENT_WRITE),
            (self._child.stdout, selectors.EVENT_READ),
            (self._child.stderr, selectors.EVENT_READ),
        ):
            os.set_blocking(_number(pipe), False)
            self._selector.register(_number(pipe), event)

    @property
    def about(self) -> Mapping[str, str]:
        """The key that has signed; the recipients are in the plan."""
        return {"signed_by": self.signed_by} if self.signed_by else {}

    def feed(self, data: bytes | memoryview) -> bytes:
        """Take the next bytes, and return what is ready.

        Raises:
            TransformFailed: The child died, or has stopped.
        """
        self._require_open()
        ready = self._give(self._header) if self._header else b""
        self._header = b""
        return ready + self._give(data)

    def finish(self) -> bytes:
        """Return the rest, some pipes' full at most. The child has exited with success before this returns.

        Raises:
            TransformFailed: It has not. What came out before is no file.
        """
        rest = [self.feed(b"")]
        self._is_finished = True
        stdin, stdout = _number(self._child.stdin), _number(self._child.stdout)
        self._selector.unregister(stdin)
        assert self._child.stdin is not None  # noqa: S101 -- for the type checker
        self._child.stdin.close()
        while self._selector.get_map().get(stdout):
            rest += [self._read(each) for each in self._ready() if each != stdin]
        self._drain_stderr()
        if self._wait() != 0:
            raise self._failure()
        self.close()
        return b"".join(rest)

    def close(self) -> None:
        """End the child, whatever it is doing. Safe to call twice."""
        self._is_finished = True
        self._header = b""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        self._selector.close()
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with suppress(OSError):  # what was not written is not wanted
                    pipe.close()

    def _give(self, data: bytes | memoryview) -> bytes:
        """Write all of it, and read what comes out meanwhile: neither side can wait for the other."""
        stdin, stdout = _number(self._child.stdin), _number(self._child.stdout)
        waiting, came = memoryview(data), []
        while waiting:
            for each in self._ready():
                if each != stdin:
                    came.append(self._read(each))
                    if not self._selector.get_map().get(stdout):
                        raise self._failure()  # it ends after its input, not before
                    continue
                try:
                    waiting = waiting[os.write(stdin, waiting[:_PIECE]) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    raise self._failure() from None
        return b"".join(came)

    def _ready(self) -> list[int]:
        """Return the descriptors that can be written or read.

        Raises:
            TransformFailed: None of them can, for a long time.
        """
        ready = [key.fd for key, _ in self._selector.select(self._patience)]
        if not ready:
            raise TransformFailed(
                f"The process for OpenPGP has neither taken nor given a byte for {self._patience:g} seconds.",
                hint=_REPORT,
            )
        return ready

    def _read(self, descriptor: int) -> bytes:
        """Return what the child wrote; what it says on standard error is kept apart."""
        try:
            data = os.read(descriptor, _PIECE)
        except BlockingIOError:
            return b""
        if not data:
            self._selector.unregister(descriptor)
        if descriptor == _number(self._child.stderr):
            self._said = (self._said + data)[:_MOST_SAID]
            return b""
        return data

    def _drain_stderr(self) -> None:
        stderr = _number(self._child.stderr)
        while self._selector.get_map().get(stderr):
            if stderr in self._ready():
                self._read(stderr)

    def _wait(self) -> int | None:
        try:
            return self._child.wait(self._patience)
        except subprocess.TimeoutExpired:
            return None

    def _failure(self) -> TransformFailed:
        """Return why the child ended before its time."""
        status = self._wait()
        # Its standard error has no other writer, and is complete when it has exited.
        if status is not None:
            self._drain_stderr()
        if status is not None and status < 0:
            return TransformFailed(
                f"The process for OpenPGP was ended by signal {-status}: most likely it had no memory left.",
                hint="It will be retried. If it happens again, give the function more memory: memory_size=.",
            )
        said = quoted(self._said) or "nothing"
        return TransformFailed(
            f"The process for OpenPGP ended with status {status} and said: {said}.", hint=_REPORT
        )

    def _require_open(self) -> None:
        if self._is_finished:
            raise ValueError("the stream is finished or closed")


def _refused(unusable: UnusableKey) -> RuleRefused:
    key = f"The public key {unusable.fingerprint}".rstrip()
    return RuleRefused(
        "encrypt_to",
        f"{key} of the rule 'encrypt_to' {unusable}.",
        value=unusable.fingerprint,
        hint="Write the partner's new public key into encrypt_to=, and deploy, then redrive the message.",
    )


def _start() -> "subprocess.Popen[bytes]":
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    try:
        return subprocess.Popen(  # noqa: S603 -- this interpreter with a program of ours
            # -I, -S: nothing of the user's environment, and a quick start.
            [sys.executable, "-I", "-S", str(_PROGRAM)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
    except OSError as error:
        raise TransformFailed(
            f"The process for OpenPGP cannot be started: {quoted(error)}.", hint=_REPORT
        ) from None


def _number(pipe: IO[bytes] | None) -> int:
    assert pipe is not None  # noqa: S101 -- for the type checker: all three are pipes
    return pipe.fileno()
