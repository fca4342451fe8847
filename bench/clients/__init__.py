"""The Python clients, each a program of its own: `python -m bench.clients.<name> '<job as JSON>'`."""
