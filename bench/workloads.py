"""The workloads, each with its link and its tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench import peers
from bench.network import Link
from bench.ours import ours
from bench.payload import MIB
from bench.tools import Tool

GIB = 1024 * MIB
SMALL_BYTES = 4096
BATCH = 10
"""Messages that the function gets at a time."""

NEAR = Link()
FAR = Link(rtt_ms=20)
VERY_FAR = Link(rtt_ms=100)
CAPPED = Link(rtt_ms=100, mbit=600)


@dataclass(frozen=True, kw_only=True)
class Work:
    """An upload that several tools perform in turn.

    Attributes:
        name: `large`, `small` or `end-to-end`.
        group: What `--only` selects it by.
        link: The way to the server.
        size: Bytes of each file.
        files: How many.
        tools: Who does it.
        runs: How often each.
        memory_mb: Do it with the CPU of a Lambda function of this size; None: with all there is.
        tls: The object is read over TLS.
        curve: The scaling curve that it is a point of; empty: of none.
        less: A smaller number of bytes for a tool that is too slow for all of them; by `str(tool)`.
        fewer: The same for the number of files.
    """

    name: str
    group: str
    link: Link
    size: int
    files: int = 1
    tools: list[Tool]
    runs: int = 3
    memory_mb: int | None = None
    tls: bool = False
    curve: str = ""
    less: dict[str, int] = field(default_factory=dict)
    fewer: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        what = size_text(self.size) if self.files == 1 else f"{self.files:,} x {size_text(self.size)}"
        limit = f", CPU of a {self.memory_mb} MB Lambda" if self.memory_mb else ""
        over = ", S3 over TLS" if self.tls else ""
        return f"{self.name}: {what}, {self.link}{limit}{over}"


def size_text(size: int) -> str:
    """Formats a number of bytes."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size} B"


def quick_works() -> Iterator[Work]:
    """Smaller workloads with the same names: all in less than ten minutes."""
    size = 256 * MIB
    yield Work(
        name="large",
        group="large",
        link=NEAR,
        size=size,
        tools=[*_ours_near(), *peers.for_large()],
        runs=2,
    )
    few = [tool for tool in peers.for_large() if str(tool) in ("sftp", "rclone", "naive")]
    yield Work(
        name="large",
        group="large",
        link=FAR,
        size=size,
        tools=[*_cold_and_warm(), *few],
        runs=2,
        less={"naive": 4 * MIB},
    )
    yield Work(
        name="large",
        group="large",
        link=VERY_FAR,
        size=size,
        tools=[*_cold_and_warm(), *peers.for_large()],
        runs=1,  # what limits here is the link: runs differ by a few percent
        # Each is held back by a window: a part shows its rate. The two of the targets send it all.
        less=dict.fromkeys((str(tool) for tool in peers.for_large()[1:]), 64 * MIB)
        | {"rclone": size, "lftp": 16 * MIB, "naive": MIB},
    )
    yield Work(name="large", group="capped", link=CAPPED, size=size, tools=_cold_and_warm(), runs=1)
    yield _small(NEAR, files=1000, transfers=(4, 8), runs=2)
    yield _small(FAR, files=100, transfers=(4,), runs=2)
    yield from (_end_to_end(size, tls=tls, runs=2) for tls in (False, True))
    # The one of the target, and a whole core: the less CPU, the longer a process takes to start.
    yield from (_limited(memory, size=128 * MIB, peers=[]) for memory in (512, 1769))
    yield from _batches()


def full_works() -> Iterator[Work]:
    """All workloads, in the sizes of the targets."""
    yield Work(name="large", group="large", link=NEAR, size=GIB, tools=[*_ours_near(), *peers.for_large()])
    for link, naive_size in ((FAR, 16 * MIB), (VERY_FAR, 4 * MIB)):
        yield Work(
            name="large",
            group="large",
            link=link,
            size=256 * MIB,
            tools=[*_ours_far(), *peers.for_large()],
            less={"naive": naive_size},
        )
    yield Work(
        name="large",
        group="capped",
        link=CAPPED,
        size=GIB,
        tools=[*_ours_far(), *(tool for tool in peers.for_large() if str(tool) in ("sftp", "rclone"))],
        # The SSH window limits them at any size: a quarter shows their rate.
        less={"sftp": 256 * MIB, "rclone": 256 * MIB},
    )
    yield _small(NEAR, files=1000, transfers=peers.TRANSFERS)
    yield _small(FAR, files=200, transfers=peers.TRANSFERS)
    yield from (_end_to_end(GIB, tls=tls) for tls in (False, True))
    yield from (_limited(memory, size=128 * MIB, peers=[]) for memory in (128, 256, 384))
    for memory in (512, 1024, 1769):
        yield _limited(memory, size=256 * MIB, peers=[*peers.for_large()[:4], peers.naive()])
    yield from _batches()
    yield from _curves()
    yield from _sizes_end_to_end()


def _ours_near() -> list[Tool]:
    return [
        ours(),
        ours("CRC", checksum="crc"),
        ours("CRC and SHA-256", checksum="crc and sha256", connections=1),
    ]


def _cold_and_warm() -> list[Tool]:
    return [ours(), ours("known partner", warm="known"), ours("warm", warm="same")]


def _ours_far() -> list[Tool]:
    return [*_cold_and_warm(), ours("one warm", warm="tiny")]


def _small(link: Link, *, files: int, transfers: Sequence[int], runs: int = 3) -> Work:
    slow = {"naive": files // 5, "paramiko-putfo": files // 5} if link.rtt_ms else {}
    return Work(
        name="small",
        group="small",
        link=link,
        size=SMALL_BYTES,
        files=files,
        tools=[ours(), *peers.for_small(transfers)],
        runs=runs,
        fewer=slow,
    )


def _batches() -> Iterator[Work]:
    """The small objects of one batch over a connection that stands, as a function sends them."""
    for link in (NEAR, FAR, VERY_FAR):
        yield Work(
            name="small",
            group="deployed",
            curve="batch",
            link=link,
            size=SMALL_BYTES,
            files=BATCH,
            tools=[ours("one warm", warm="tiny")],
        )


def _sizes_end_to_end() -> Iterator[Work]:
    for size in (MIB, 64 * MIB, GIB, 4 * GIB):
        yield Work(
            name="end-to-end",
            group="curves",
            curve="end-to-end",
            link=NEAR,
            size=size,
            tools=[ours(reads_object=True)],
            runs=1 if size > GIB else 3,
        )


def _end_to_end(size: int, *, tls: bool, runs: int = 3) -> Work:
    sftp_alone = ours("SFTP alone", boto3=True)
    with_crc = ours("SFTP alone, CRC", boto3=True, checksum="crc")
    tools = [ours(reads_object=True), peers.s3_get(), sftp_alone, with_crc]
    return Work(
        name="end-to-end",
        group="end-to-end",
        link=NEAR,
        size=size,
        tools=tools if tls else [*tools, peers.naive()],
        runs=runs,
        tls=tls,
    )


def _limited(memory_mb: int, *, size: int, peers: list[Tool]) -> Work:
    return Work(
        name="large",
        group="cpu",
        link=NEAR,
        size=size,
        tools=[ours("one stream, warm", connections=1, warm="tiny"), *peers],
        memory_mb=memory_mb,
        less={"naive": size // 4},
    )


def _curves() -> Iterator[Work]:
    for link in (NEAR, FAR):
        for size in (MIB, 16 * MIB, 256 * MIB, GIB, 4 * GIB, 8 * GIB, 16 * GIB):
            yield Work(
                name="large",
                group="curves",
                curve="size",
                link=link,
                size=size,
                tools=[ours(boto3=True)],
                runs=1 if size > GIB else 3,
            )
    for link in (FAR, VERY_FAR):
        several = [ours(f"at most {count}", connections=count) for count in (1, 2, 4, 8, 16)]
        yield Work(name="large", group="curves", curve="streams", link=link, size=256 * MIB, tools=several)
    best = [tool for tool in peers.for_small((16,)) if tool.name in ("sftp", "rclone")]
    for files in (10, 100, 1000, 10_000):
        yield Work(
            name="small",
            group="curves",
            curve="files",
            link=NEAR,
            size=SMALL_BYTES,
            files=files,
            tools=[ours(), *best],
        )
