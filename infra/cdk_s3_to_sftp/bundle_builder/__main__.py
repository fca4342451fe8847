"""Builds from the command line: what the Docker bundler runs inside the image."""

import argparse
import sys
from pathlib import Path

from . import build
from .target import MACHINES, CannotBuild, Target


def main() -> None:
    """Build from the command line, as the Docker bundler does inside the image."""
    parser = argparse.ArgumentParser(prog="bundle_builder", description="Builds the bundle of the function.")
    for option in ("--source", "--output"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--architecture", choices=MACHINES, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, required=True)
    parser.add_argument("--layer", action="store_true")
    options = parser.parse_args()
    target = Target(
        architecture=options.architecture,
        python=options.python,
        compiled=options.compiled,
        layer=options.layer,
    )
    try:
        build(options.source, options.output, target)
    except CannotBuild as reason:
        sys.exit(f"Cannot build the bundle: {reason}")


if __name__ == "__main__":
    main()
