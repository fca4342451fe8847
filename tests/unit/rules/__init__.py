"""Tests of the partner's rules."""
