"""The entry point: runs a subcommand, reports its errors, exits with its code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

from avalattice import __version__, canon
from avalattice.canon import Command
from avalattice.cli import analyze, report, runs, stages  # noqa: F401 - they register their subcommands
from avalattice.cli.app import app
from avalattice.errors import AvalatticeError, ConfigError, ExitCode, ResourceError


@app.command("canon", rich_help_panel="Other")
def print_canon() -> None:
    """Print the canonical registry as YAML."""
    from avalattice.yamlfile import dump

    typer.echo(dump(canon.registry()), nl=False)


@app.command(rich_help_panel="Other")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _resume_advice(arguments: list[str]) -> str:
    command = next((a for a in arguments if not a.startswith("-")), "")
    words = [canon.PROJECT_ID, *arguments]
    if command in list(Command) and "--allow-resume" not in arguments:
        words.append("--allow-resume")
    return " ".join(words)


def _crash(error: Exception) -> Path | None:
    """Keep the traceback of a bug; where, or None if nothing can be written."""
    import tempfile

    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"{canon.PROJECT_ID}-", suffix=".log", delete=False
        ) as file:
            file.write("".join(traceback.format_exception(error)))
            return Path(file.name)
    except OSError:
        return None


def _report(error: Exception, command: str, *, debug: bool) -> ExitCode:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, AvalatticeError):
        where = f"{command}: " if command else ""
        if isinstance(error, ConfigError):
            where = ""  # the message begins with file and line
        _say(f"error: {where}{error}")
        return error.exit_code
    if isinstance(error, MemoryError):
        _say(f"error: {command}: out of memory; lower --batch-size, then repeat to resume")
        return ResourceError.exit_code
    _say(f"unexpected error in {command}: {type(error).__name__}: {error}")
    _say(f"This is a bug of {canon.PROJECT_ID}; the traceback is in {_crash(error)}")
    return ExitCode.BUG


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point: run a command and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    words = [_with_dashes(word) for word in given]
    command = next((word for word in words if not word.startswith("-")), "")
    debug = "--debug" in words
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = app(args=words, standalone_mode=False, prog_name=canon.PROJECT_ID)
    except (KeyboardInterrupt, typer.Abort):  # or the parser has made it an exit code
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.DONE
    except Exception as error:  # noqa: BLE001 - the last resort, which reports it
        code = _usage_code(error)
        if code is None:
            code = _report(error, command, debug=debug)
    if code == ExitCode.INTERRUPTED:
        _say(f"\ninterrupted; nothing is lost. Go on with: {_resume_advice(words)}")
    sys.exit(int(code or 0))


def _with_dashes(word: str) -> str:
    """Options may be spelled with underscores."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _usage_code(error: Exception) -> int | None:
    """Let the parser explain its own errors; None for any other."""
    show_usage = getattr(error, "show", None)
    if show_usage is None:
        return None
    show_usage()
    return int(getattr(error, "exit_code", ExitCode.INPUT))
