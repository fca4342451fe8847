"""Plots of the results, as PNG and SVG: the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.ours import NAME
from bench.rows import Row
from bench.targets import LINK_MB_PER_S

_OURS = "#d1495b"
_PEER = "#8d99ae"

mpl.rcParams.update(
    {"svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
)


def draw(rows: Sequence[Row], folder: Path) -> Iterator[Path]:
    """Writes what the rows allow, and yields the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in _figures(rows):
        figure.tight_layout()
        for kind, metadata in (("png", {}), ("svg", {"Date": None})):
            path = folder / f"{name}.{kind}"
            figure.savefig(path, dpi=150, metadata=metadata)
            yield path
        plt.close(figure)


def _figures(rows: Sequence[Row]) -> Iterator[tuple[str, Figure]]:
    large = [row for row in rows if row["work"] == "large" and not _is_special(row)]
    if large:
        yield "throughput", _throughput(large)
        near = [row for row in large if row["rtt_ms"] == 0]
        if near:
            yield "cpu", _cpu(near)
    small = [row for row in rows if row["work"] == "small" and not row.get("curve")]
    if small:
        yield "small-files", _small(small)
    limited = [row for row in rows if row.get("memory_mb")]
    if limited:
        yield "small-lambda", _limited(limited)
    if any(row.get("curve") for row in rows):
        yield "scaling", _scaling(rows)


def _throughput(rows: Sequence[Row]) -> Figure:
    distances = sorted({row["rtt_ms"] for row in rows})
    figure, axes = plt.subplots(1, len(distances), figsize=(3.8 * len(distances), 4), squeeze=False)
    for axis, rtt_ms in zip(axes[0], distances, strict=True):
        _bars(axis, [row for row in rows if row["rtt_ms"] == rtt_ms], "mb_per_s")
        axis.set_title(f"one large file, {rtt_ms:g} ms round trip")
        axis.set_xlabel("MB/s, set-up included")
    return figure


def _cpu(rows: Sequence[Row]) -> Figure:
    figure, axis = plt.subplots(figsize=(6, 4))
    _bars(axis, rows, "cpu_s_per_gb", least_first=True)
    axis.set_title("one large file, 0 ms: CPU of the client")
    axis.set_xlabel("seconds per GB; less is better")
    return figure


def _small(rows: Sequence[Row]) -> Figure:
    distances = sorted({row["rtt_ms"] for row in rows})
    figure, axes = plt.subplots(1, len(distances), figsize=(5 * len(distances), 4), squeeze=False)
    for axis, rtt_ms in zip(axes[0], distances, strict=True):
        _bars(axis, [row for row in rows if row["rtt_ms"] == rtt_ms], "files_per_s")
        axis.set_title(f"files of 4 KiB, {rtt_ms:g} ms round trip")
        axis.set_xlabel("files per second, set-up included")
    return figure


def _limited(rows: Sequence[Row]) -> Figure:
    figure, axis = plt.subplots(figsize=(6, 4))
    for label in sorted({_label(row) for row in rows}):
        points = sorted((row["memory_mb"], row["mb_per_s"]) for row in rows if _label(row) == label)
        _line(axis, points, label)
    axis.axhline(LINK_MB_PER_S, color="black", linewidth=0.8, linestyle=":")
    axis.text(axis.get_xlim()[0], LINK_MB_PER_S, " network of a Lambda function", va="bottom")
    axis.set_title("one large file, 0 ms, with the CPU of a Lambda function")
    axis.set_xlabel("memory size of the function, MB")
    axis.set_ylabel("MB/s")
    _from_zero(axis)
    axis.legend()
    return figure


def _scaling(rows: Sequence[Row]) -> Figure:
    figure, (by_size, by_streams, by_files) = plt.subplots(1, 3, figsize=(13, 4))
    _curve(by_size, rows, curve="size", along="mib", figure="peak_rss_mb")
    by_size.set(title="memory by size of the object", xlabel="MiB", ylabel="peak RSS, MB", xscale="log")
    _curve(by_streams, rows, curve="streams", along="streams", figure="mb_per_s")
    by_streams.set(title="streams, 256 MiB", xlabel="streams", ylabel="MB/s")
    _curve(by_files, rows, curve="files", along="files", figure="files_per_s")
    by_files.set(title="files of 4 KiB, 0 ms", xlabel="files", ylabel="files per second", xscale="log")
    for axis in (by_size, by_streams, by_files):
        _from_zero(axis)
        if axis.lines:
            axis.legend()
    return figure


def _curve(axis: Axes, rows: Sequence[Row], *, curve: str, along: str, figure: str) -> None:
    of_curve = [row for row in rows if row.get("curve") == curve]
    # Where one tool is measured over several distances, the lines are the distances.
    lines = {f"{row['tool']}, {row['rtt_ms']:g} ms" for row in of_curve}
    for label in sorted(lines):
        points = sorted(
            (row[along], row[figure]) for row in of_curve if label == f"{row['tool']}, {row['rtt_ms']:g} ms"
        )
        _line(axis, points, label)


def _line(axis: Axes, points: Sequence[tuple[float, float]], label: str) -> None:
    xs, ys = zip(*points, strict=True)
    axis.plot(xs, ys, marker="o", label=label, linewidth=2.5 if label.startswith(NAME) else 1)


def _from_zero(axis: Axes) -> None:
    axis.autoscale_view()
    axis.set_ylim(0, axis.get_ylim()[1] * 1.1)


def _bars(axis: Axes, rows: Sequence[Row], key: str, *, least_first: bool = False) -> None:
    # The first bar is drawn at the bottom.
    ordered = sorted(rows, key=lambda row: float(row[key]), reverse=least_first)
    labels = [_label(row) for row in ordered]
    colours = [_OURS if row["tool"] == NAME else _PEER for row in ordered]
    bars = axis.barh(labels, [row[key] for row in ordered], color=colours)
    axis.bar_label(bars, fmt=_shown, padding=3)
    axis.margins(x=0.15)


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _is_special(row: Row) -> bool:
    return bool(row.get("curve") or row.get("link_mbit") or row.get("memory_mb"))


def _label(row: Row) -> str:
    return f"{row['tool']} ({row['variant']})" if row.get("variant") else str(row["tool"])
