"""Tests of values and decisions."""
