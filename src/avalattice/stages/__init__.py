"""Stages: read inputs, call the science, write outputs."""
