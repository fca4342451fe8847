"""Bar charts as inline SVG. Colours come from the page's style, so that they follow dark mode and print."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 720, 200
_LEFT, _BOTTOM, _TOP = 64, 28, 12
_MOST_LABELS = 12


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar.

    Attributes:
        label: Below it.
        value: Its height; not negative.
        text: The value as people read it.
    """

    label: str
    value: float
    text: str


def bar_chart(bars: Sequence[Bar], *, title: str, top: str) -> str:
    """Return a bar chart as SVG; it scales with the page, and each bar has a tooltip.

    Args:
        bars: From left to right.
        title: What it shows, for those who cannot see it.
        top: The highest value as people read it, for the axis.
    """
    if not bars:
        return "<p>Nothing in this period.</p>"
    highest = max(bar.value for bar in bars) or 1.0
    step = (_WIDTH - _LEFT) / len(bars)
    drawn = "".join(_bar(bar, place, step, highest) for place, bar in enumerate(bars))
    every = -(-len(bars) // _MOST_LABELS)
    labels = "".join(
        f'<text x="{_LEFT + (place + 0.5) * step:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"{escape(bar.label)}</text>"
        for place, bar in enumerate(bars)
        if place % every == 0
    )
    base = _HEIGHT - _BOTTOM
    axis = (
        f'<line x1="{_LEFT}" y1="{base}" x2="{_WIDTH}" y2="{base}"/>'
        f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{escape(top)}</text>'
        f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end">0</text>'
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{axis}{drawn}{labels}</svg>"
    )


def _bar(bar: Bar, place: int, step: float, highest: float) -> str:
    height = (_HEIGHT - _BOTTOM - _TOP) * bar.value / highest
    gap = min(step * 0.2, 6)
    return (
        f'<rect x="{_LEFT + place * step + gap / 2:.1f}" y="{_HEIGHT - _BOTTOM - height:.1f}" '
        f'width="{max(step - gap, 0.5):.1f}" height="{height:.1f}">'
        f"<title>{escape(bar.label)}: {escape(bar.text)}</title></rect>"
    )
