"""Encrypts or signs standard input to standard output: the program of the child process of `OpenPgpStream`.

Imports nothing of this package, so that it starts quickly. Before the data it reads a header from standard
input: four bytes with its length, then JSON. So no key is on the command line, in the environment or on disk.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

_LONGEST_COMPLAINT = 400


def main() -> None:
    """Run one pass; exit with 0 only if all of it was written."""
    header = json.loads(_read(int.from_bytes(_read(4), "big")))
    # Behind the interpreter's own: where the parent finds pysequoia, such as a layer.
    sys.path.extend(header["path"])
    try:
        _run(header)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the parent must hear of it
        complaint = str(error).partition("\n")[0] or type(error).__name__
        sys.stderr.write(complaint[:_LONGEST_COMPLAINT])
        sys.exit(1)


def _run(header: dict[str, Any]) -> None:
    import pysequoia

    source, sink = _path(0, "/dev/stdin"), _path(1, "/dev/stdout")
    signer = None
    if header["private_key"]:
        tsk = pysequoia.Tsk.from_bytes(header["private_key"].encode())
        signer = tsk.signer(header["passphrase"] or None)
    recipients = [pysequoia.Cert.from_bytes(text.encode()) for text in header["recipients"]]
    armor = header["armor"]
    if recipients:
        pysequoia.encrypt_file(source, sink, recipients=recipients, signer=signer, armor=armor)
    else:
        assert signer is not None  # noqa: S101 -- for the type checker: a rule has one of them
        pysequoia.sign_file(signer, source, sink, armor=armor)


def _path(descriptor: int, usual: str) -> str:
    """Return the path of a descriptor: a container may have no /dev/stdin."""
    return usual if Path(usual).exists() else f"/proc/self/fd/{descriptor}"


def _read(length: int) -> bytes:
    """Read exactly so many bytes: what follows is left for pysequoia, which opens standard input again."""
    read = b""
    while len(read) < length:
        piece = os.read(0, length - len(read))
        if not piece:
            sys.exit(1)  # the parent is gone, or has given up
        read += piece
    return read


if __name__ == "__main__":
    main()
