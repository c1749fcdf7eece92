"""Corpora and windows."""
