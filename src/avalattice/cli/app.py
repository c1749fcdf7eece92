"""The application that subcommands register with."""

from __future__ import annotations

import typer

from avalattice import canon

app = typer.Typer(
    name=canon.PROJECT_ID,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure activation avalanches in language models, on a store of immutable runs.",
    epilog="Exit codes: 0 done, 1 unexpected, 2 invalid input, 3 missing dependency, 4 run exists, "
    "5 resources, 130 interrupted.",
)
