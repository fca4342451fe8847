"""Everything goes wrong at once, and at the end somebody counts: `python -m chaos --help`."""
