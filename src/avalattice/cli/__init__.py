"""The command line: one subcommand for each stage of :data:`avalattice.pipeline.STAGES`, and more.

Nothing heavy is imported before it is needed, so that ``--help`` answers at once. Standard output
carries results, standard error everything else.
"""

from avalattice.cli.main import main

__all__ = ["main"]
