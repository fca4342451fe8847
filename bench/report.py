"""Tables for the terminal, and the file of results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.rows import Row
from bench.targets import Verdict

_COLUMNS = (
    ("MB/s", "mb_per_s"),
    ("files/s", "files_per_s"),
    ("transfer only", "transfer_mb_per_s"),
    ("CPU s/GB", "cpu_s_per_gb"),
    ("with start", "process_cpu_s_per_gb"),
    ("RSS MB", "peak_rss_mb"),
    ("streams", "streams"),
    ("logins", "connections"),
    ("MiB", "mib"),
    ("files", "files"),
    ("ms", "cold_start_ms"),
    ("partners", "partners"),
    ("last receipt, s", "last_receipt_s"),
)


def table(rows: Sequence[Row]) -> str:
    """The rows of one work side by side, the fastest first."""
    columns = [(head, key) for head, key in _COLUMNS if any(key in row for row in rows)]
    ordered = sorted(rows, key=_speed, reverse=True)
    body = [[_title(row), *(_shown(row.get(key)) for _, key in columns)] for row in ordered]
    return _aligned([["", *(head for head, _ in columns)], *body])


def target_table(verdicts: Iterable[Verdict]) -> str:
    """The targets, the measured values, and whether they are met."""
    body = [
        [
            verdict.what,
            f"{'>=' if verdict.at_least else '<='} {verdict.wanted:g}",
            "-" if verdict.got is None else f"{verdict.got:.3g}",
            {True: "met", False: "MISSED", None: "not measured"}[verdict.met],
            verdict.note,
        ]
        for verdict in verdicts
    ]
    return _aligned([["target", "wanted", "got", "", ""], *body])


def write_results(
    path: Path, *, about: dict[str, Any], rows: Sequence[Row], verdicts: Sequence[Verdict]
) -> None:
    """Writes the results, one row per line so that a diff of two runs can be read."""
    targets = [{**asdict(verdict), "met": verdict.met} for verdict in verdicts]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "{\n"
        f'"about": {json.dumps(about, indent=1)},\n'
        f'"rows": {_lines(rows)},\n'
        f'"targets": {_lines(targets)}\n'
        "}\n"
    )


def _lines(items: Sequence[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]"


def _speed(row: Row) -> float:
    return float(row.get("mb_per_s") or row.get("files_per_s") or 0)


def _title(row: Row) -> str:
    return f"{row['tool']} ({row['variant']})" if row.get("variant") else str(row["tool"])


def _shown(figure: float | None) -> str:
    if figure is None:
        return ""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  "
        + "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
