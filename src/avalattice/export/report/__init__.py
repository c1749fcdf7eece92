"""The HTML report: one file that holds what was measured, what was found, and how to check it.

``content`` says what a report holds, ``render`` makes HTML of it; the modules between prepare its
parts from plain inputs. Nothing here reads a run: :mod:`avalattice.report` does.
"""
