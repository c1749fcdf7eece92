"""Intervals and the choice of g*."""
