"""Injects faults of every kind at once, then reconciles what was put with what arrived."""
