"""The report in a real browser: what its script sorts and filters, and what it looks like on paper."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, date, datetime
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from s3_to_sftp_cli.report.figures import Figures, as_row
from s3_to_sftp_cli.report.page import Rows, write_page
from tests.unit.cli.test_report import BEGIN, DELIVERY, record

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(_CHROMIUM is None, reason="chromium is missing: apt-get install chromium")

_SECONDS = 300


def _report(folder: Path, script: str = "") -> Path:
    path = folder / "report.html"
    figures = Figures(first=BEGIN.date(), last=date(2026, 11, 30))
    html = StringIO()
    rows = Rows(html, StringIO())
    for number, size in enumerate((5, 70, 600)):
        each = record(number, receipt={**record().receipt, "bytes": size})
        figures.add_delivery(each)
        rows.add(as_row(each))
    html.seek(0)
    write_page(path, DELIVERY, figures, html, made=datetime.now(UTC), named=path)
    if script:
        path.write_text(path.read_text().replace("</body>", f"<script>{script}</script></body>"))
    return path


def _browse(path: Path, folder: Path, *options: str) -> str:
    assert _CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [_CHROMIUM, *flags, *options, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
    )
    return done.stdout


def _result_of(script: str, folder: Path) -> Any:
    """Run a script in the page; it puts its result into `document.title`."""
    shown = _browse(_report(folder, script), folder, "--dump-dom")
    found = re.search("<title>(.*?)</title>", shown)
    assert found, shown[:500]
    return json.loads(unescape(found[1]))


def test_table_sorts_by_number_and_filters_by_text(tmp_path: Path) -> None:
    rows = "[...document.querySelectorAll('#deliveries tbody tr')]"
    sizes = f"{rows}.filter(row => !row.hidden).map(row => row.cells[3].textContent)"
    script = f"""
      const result = [];
      const header = document.querySelectorAll('#deliveries th button')[3];
      header.click(); result.push({sizes});
      header.click(); result.push({sizes});
      const filter = document.getElementById('filter');
      filter.value = '00001.CSV'; filter.dispatchEvent(new Event('input')); result.push({sizes});
      document.title = JSON.stringify(result);"""
    assert _result_of(script, tmp_path) == [["5", "70", "600"], ["600", "70", "5"], ["70"]]


@pytest.mark.parametrize("width", [390, 1280])
def test_page_does_not_scroll_sideways(tmp_path: Path, width: int) -> None:
    # A frame of that width: a browser's own window has a least one.
    script = f"""
      const frame = document.createElement('iframe');
      frame.style.width = '{width}px';
      for (const each of document.scripts) each.type = 'text/plain';
      frame.srcdoc = '<!doctype html>' + document.documentElement.innerHTML;
      frame.onload = () => {{
        const page = frame.contentDocument.documentElement;
        document.title = JSON.stringify([page.scrollWidth, page.clientWidth]);
      }};
      document.body.append(frame);"""
    scroll_width, width_of_page = _result_of(script, tmp_path)
    assert scroll_width <= width_of_page


def test_report_prints_to_paper(tmp_path: Path) -> None:
    paper = tmp_path / "report.pdf"
    _browse(_report(tmp_path), tmp_path, f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF")
