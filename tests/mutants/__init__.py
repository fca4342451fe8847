"""Mutations of the code that carries the guarantees: each must make a focused test fail.

`make mutants` runs two sets. Neither touches the working tree: both work on a copy in `.local/mutants`.

- `named/*.toml`: defects that were thought of, one by one, as text before and text after
- `chosen.toml`: functions in which mutmut changes every comparison, condition, argument and constant
"""
