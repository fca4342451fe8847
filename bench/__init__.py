"""Side by side against the tools that people use: `python -m bench`, `python -m bench --quick`."""
