"""The performance targets of the project, computed from the rows of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.ours import NAME
from bench.rows import Row

LINK_MB_PER_S = 75.0
"""The network of one Lambda function, 600 Mbit/s."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One target.

    Attributes:
        what: In words.
        wanted: The bound.
        at_least: Whether the bound is a lower one.
        got: What this run gave; None: not measured in this run.
        note: What else one should know.
    """

    what: str
    wanted: float
    at_least: bool = True
    got: float | None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is met; None: unknown."""
        if self.got is None:
            return None
        return self.got >= self.wanted if self.at_least else self.got <= self.wanted


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """All targets, in the order of the workloads."""
    return [
        *_near(rows),
        *_far(rows),
        *_capped(rows),
        *_against_naive(rows),
        *_small(rows),
        *_memory(rows),
        *_end_to_end(rows),
        *_cold_start(rows),
        *_small_lambda(rows),
    ]


def _near(rows: Sequence[Row]) -> Iterator[Verdict]:
    ours = pick(rows, tool=NAME, work="large", rtt_ms=0)
    for peer in ("sftp", "rclone"):
        other = pick(rows, tool=peer, work="large", rtt_ms=0)
        yield Verdict(
            what=f"large, 0 ms: MB/s against {peer}", wanted=1.0, got=_ratio(ours, other, "mb_per_s")
        )
        whole = _ratio(ours, other, "process_cpu_s_per_gb")
        yield Verdict(
            what=f"large, 0 ms: CPU s/GB against {peer}",
            wanted=1.0,
            at_least=False,
            got=_ratio(ours, other, "cpu_s_per_gb"),
            note=f"{whole:.2f} with the interpreter's start" if whole else "",
        )
    tuned = pick(rows, tool="rclone", variant="tuned", work="large", rtt_ms=0)
    yield Verdict(
        what="large, 0 ms: MB/s against rclone tuned", wanted=1.0, got=_ratio(ours, tuned, "mb_per_s")
    )
    yield Verdict(
        what="large, 0 ms: CPU s/GB against rclone tuned",
        wanted=0.8,
        at_least=False,
        got=_ratio(ours, tuned, "cpu_s_per_gb"),
    )


def _far(rows: Sequence[Row]) -> Iterator[Verdict]:
    for rtt_ms, variant, wanted in (
        (20, "", 3.5),
        (20, "known partner", 3.0),
        (100, "", 4.0),
        (100, "known partner", 5.5),
        (100, "warm", 5.0),
    ):
        ours = pick(rows, tool=NAME, variant=variant, work="large", rtt_ms=rtt_ms)
        for peer in ("sftp", "rclone"):
            other = pick(rows, tool=peer, work="large", rtt_ms=rtt_ms)
            yield Verdict(
                what=f"large, {rtt_ms} ms{f', {variant}' if variant else ''}: MB/s against {peer}",
                wanted=wanted,
                got=_ratio(ours, other, "mb_per_s"),
            )


def _capped(rows: Sequence[Row]) -> Iterator[Verdict]:
    for variant in ("", "known partner", "warm"):
        ours = pick(rows, tool=NAME, variant=variant, work="large", rtt_ms=100, link_mbit=600)
        yield Verdict(
            what=f"large, 100 ms, 600 Mbit/s{f', {variant}' if variant else ''}: share of the link",
            wanted=0.7 if variant == "known partner" else 0.9,
            got=ours["mb_per_s"] / LINK_MB_PER_S if ours else None,
            note=f"{ours['mib']:g} MiB" if ours else "",
        )


def _against_naive(rows: Sequence[Row]) -> Iterator[Verdict]:
    for rtt_ms in (20, 100):
        ours = pick(rows, tool=NAME, work="large", rtt_ms=rtt_ms)
        naive = pick(rows, tool="naive", work="large", rtt_ms=rtt_ms)
        yield Verdict(
            what=f"large, {rtt_ms} ms: MB/s against naive",
            wanted=150,
            got=_ratio(ours, naive, "mb_per_s"),
            note=f"naive sent {naive['mib']:g} MiB" if naive else "",
        )


def _small(rows: Sequence[Row]) -> Iterator[Verdict]:
    for rtt_ms in (0, 20):
        ours = pick(rows, tool=NAME, work="small", rtt_ms=rtt_ms)
        of_rclone = [
            row for row in _with(rows, tool="rclone", work="small", rtt_ms=rtt_ms) if not row.get("curve")
        ]
        best = max(of_rclone, key=lambda row: row["files_per_s"], default=None)
        yield Verdict(
            what=f"small, {rtt_ms} ms: files/s against rclone's best",
            wanted=1.5,
            got=_ratio(ours, best, "files_per_s"),
            note=best["variant"] if best else "",
        )
        yield Verdict(
            what=f"small, {rtt_ms} ms: connections against rclone's best",
            wanted=1.0,
            at_least=False,
            got=_ratio(ours, best, "connections"),
        )
        batch = pick(rows, tool="sftp", variant="batch", work="small", rtt_ms=rtt_ms)
        yield Verdict(
            what=f"small, {rtt_ms} ms: files/s against sftp batch",
            wanted=1.5,
            got=_ratio(ours, batch, "files_per_s"),
        )


def _memory(rows: Sequence[Row]) -> Iterator[Verdict]:
    curve = list(_with(rows, tool=NAME, curve="size"))
    with_boto3 = [*curve, *_with(rows, tool=NAME, work="end-to-end")]
    yield Verdict(
        what="any size: peak RSS in MB with boto3 loaded",
        wanted=128,
        at_least=False,
        got=max((row["peak_rss_mb"] for row in with_boto3), default=None),
    )
    for rtt_ms in sorted({row["rtt_ms"] for row in curve}):
        of_link = {row["mib"]: row["peak_rss_mb"] for row in curve if row["rtt_ms"] == rtt_ms}
        yield Verdict(
            what=f"peak RSS at {max(of_link) / 1024:g} GiB against 256 MiB, {rtt_ms:g} ms",
            wanted=1.05,
            at_least=False,
            got=of_link[max(of_link)] / of_link[256] if 256 in of_link else None,
        )


def _end_to_end(rows: Sequence[Row]) -> Iterator[Verdict]:
    for tls in (None, True):
        ours, get, alone, with_crc = (
            pick(rows, tool=tool, variant=variant, work="end-to-end", tls=tls)
            for tool, variant in ((NAME, ""), ("s3-get", ""), (NAME, "SFTP alone"), (NAME, "SFTP alone, CRC"))
        )
        what = "end-to-end, 0 ms, S3 over TLS" if tls else "end-to-end, 0 ms"
        of_get = _ratio(ours, get, "mb_per_s")
        yield Verdict(
            what=f"{what}: MB/s against SFTP alone",
            wanted=0.85,
            got=_ratio(ours, alone, "mb_per_s"),
            note=f"{of_get:.2f} of S3 alone" if of_get else "",
        )
        with_checksum = _ratio(ours, with_crc, "cpu_s_per_gb")
        yield Verdict(
            what=f"{what}: CPU s/GB against SFTP alone",
            wanted=1.25,
            at_least=False,
            got=_ratio(ours, alone, "cpu_s_per_gb"),
            note=f"{with_checksum:.2f} of SFTP with a CRC" if with_checksum else "",
        )


def _cold_start(rows: Sequence[Row]) -> Iterator[Verdict]:
    ours, naive = (pick(rows, tool=tool, work="cold-start") for tool in (NAME, "naive"))
    yield Verdict(
        what="cold start against naive",
        wanted=1.0,
        at_least=False,
        got=_ratio(ours, naive, "cold_start_ms"),
        note=f"{ours['cold_start_ms']:.0f} ms" if ours else "",
    )
    yield Verdict(
        what="cold start: CPU against naive",
        wanted=1.0,
        at_least=False,
        got=_ratio(ours, naive, "cold_start_cpu_ms"),
        note=f"{ours['cold_start_cpu_ms']:.0f} ms" if ours else "",
    )


def _small_lambda(rows: Sequence[Row]) -> Iterator[Verdict]:
    speeds = {
        row["memory_mb"]: row["mb_per_s"]
        for row in rows
        if row["tool"] == NAME and row["work"] == "large" and row.get("memory_mb")
    }
    enough = [memory for memory, speed in speeds.items() if speed >= LINK_MB_PER_S]
    yield Verdict(
        what="large, 0 ms, CPU of a 512 MB Lambda: MB/s of one warm stream",
        wanted=LINK_MB_PER_S,
        got=speeds.get(512),
        note=f"the smallest that still does: {min(enough)} MB" if enough else "",
    )


def pick(rows: Sequence[Row], **wanted: Any) -> Row | None:
    """The row with these values and no other speciality, None if there is none."""
    plain = {"variant": "", "link_mbit": None, "memory_mb": None, "curve": "", "tls": None}
    return next(_with(rows, **{**plain, **wanted}), None)


def _with(rows: Sequence[Row], **wanted: Any) -> Iterator[Row]:
    for row in rows:
        if all(row.get(key) == value or (not value and not row.get(key)) for key, value in wanted.items()):
            yield row


def _ratio(ours: Row | None, other: Row | None, key: str) -> float | None:
    if ours is None or other is None or not other[key]:
        return None
    return float(ours[key] / other[key])
