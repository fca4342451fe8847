"""Sizes and counts as people read them."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size_text(size: float) -> str:
    """Return a number of bytes in decimal units: `20.0 GB`."""
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 99.95 else f"{size:.1f} {_UNITS[unit]}"


def count_text(count: int, noun: str, plural: str | None = None) -> str:
    """Return `1 object`, `1,204 objects`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
