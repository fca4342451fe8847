"""Types of options: what is refused before anything is done, with the option's name."""

import math
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click


class NotEmpty(click.types.StringParamType):
    """Text with something in it: an empty one, as of an unset shell variable, would mean everything."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text, or refuse what has none."""
        text = super().convert(value, param, ctx)
        if not text.strip():
            self.fail("It is empty.", param, ctx)
        return text


class Url(NotEmpty):
    """The address of an endpoint."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the address, or refuse what is none."""
        text = super().convert(value, param, ctx)
        try:
            parts = urlsplit(text)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url:
            self.fail(f"{text!r} is not a URL: write https://HOST or http://HOST:PORT.", param, ctx)
        return text


class FilePath(click.Path):
    """A file, not a folder, and not `-`: nothing is written to stdout under this name."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or refuse what names no file."""
        if str(value) in ("", "-"):
            self.fail(f"{str(value)!r} is not a file: name one (`./-` for that name).", param, ctx)
        return super().convert(value, param, ctx)


class Finite(click.FloatRange):
    """A number in a range: `nan` is in every one, and `inf` in those without an end."""

    what = ""
    """What it counts, as ` of seconds`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or refuse what is none."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number{self.what}.", param, ctx)
        return number


NOT_EMPTY = NotEmpty()
URL = Url()
FILE_PATH = FilePath()
