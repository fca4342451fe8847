"""Boxes, arrows and words of the pictures in SVG: readable on light and on dark pages, also as an `<img>`."""

from collections.abc import Sequence
from html import escape

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"

STYLE = """\
text { fill: #1f2328; }
.page { fill: #ffffff; stroke: #d1d9e0; }
.box { fill: #f6f8fa; stroke: #818b98; stroke-width: 1.2; }
.ours { fill: #ddf4ff; stroke: #0969da; }
.theirs { fill: #fff8c5; stroke: #9a6700; }
.optional { stroke-dasharray: 5 4; }
.quiet { fill: #59636e; }
.over { paint-order: stroke; stroke: #ffffff; stroke-width: 6px; }
.line { fill: none; stroke: #59636e; stroke-width: 1.4; }
.bytes { stroke: #0969da; stroke-width: 3; }
.head { fill: #59636e; }
.bytes-head { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .page { fill: #0d1117; stroke: #3d444d; }
  .box { fill: #151b23; stroke: #656c76; }
  .ours { fill: #121d2f; stroke: #4493f8; }
  .theirs { fill: #272115; stroke: #d29922; }
  .quiet { fill: #9198a1; }
  .over { stroke: #0d1117; }
  .line { stroke: #9198a1; }
  .bytes { stroke: #4493f8; }
  .head { fill: #9198a1; }
  .bytes-head { fill: #4493f8; }
}
"""
"""The page has a colour of its own, so that each version is readable on any other page, too."""

_HEADS = (("head", 7), ("bytes-head", 4.5))

Point = tuple[float, float]


def picture(width: int, height: int, *, title: str, description: str, drawn: Sequence[str]) -> str:
    """Return an SVG document of what was drawn."""
    markers = "".join(
        f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="{size}" '
        f'markerHeight="{size}" orient="auto-start-reverse">'
        f'<path class="{name}" d="M0 0L10 5L0 10z"/></marker>'
        for name, size in _HEADS
    )
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title description" font-family="{FONT}">\n'
        f'<title id="title">{escape(title)}</title>\n<desc id="description">{escape(description)}</desc>\n'
        f"<style>\n{STYLE}</style>\n<defs>{markers}</defs>\n"
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>\n'
        f"{body}\n</svg>\n"
    )


def box(x: float, y: float, width: float, height: float, *kinds: str) -> str:
    """Return a box: `ours`, `theirs`, `optional`."""
    names = " ".join(("box", *kinds))
    return f'<rect class="{names}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'


def arrow(points: Sequence[Point], *kinds: str, both: bool = False) -> str:
    """Return an arrow along points, with heads at both ends if it is for both directions."""
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
    head = "bytes-head" if "bytes" in kinds else "head"
    start = f' marker-start="url(#{head})"' if both else ""
    return f'<path class="{" ".join(("line", *kinds))}" d="{path}" marker-end="url(#{head})"{start}/>'


def words(
    x: float, y: float, text: str, *, size: float = 13, bold: bool = False, at: str = "middle", look: str = ""
) -> str:
    """Return a line of text whose middle, `start` or `end` is at x.

    Looks: `quiet`, or `over` the lines behind it.
    """
    weight = ' font-weight="600"' if bold else ""
    kind = f' class="{look}"' if look else ""
    place = f'x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{at}"'
    return f"<text{kind} {place}{weight}>{escape(text)}</text>"
