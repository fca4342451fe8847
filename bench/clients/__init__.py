"""The Python clients, each a separate program: `python -m bench.clients.<name> '<job as JSON>'`."""
