"""Everything that avalattice raises on purpose, with the exit code that the command line returns.

::

    AvalatticeError ................ 1   (never raised itself)
    ├── InputError ................. 2   what was given cannot be used
    │   ├── ConfigError            the configuration file
    │   ├── DataError              corpus, windows
    │   ├── ModelError             model source, files, unsupported family
    │   │   └── SiteCheckError     a family that fails the site self-test
    │   ├── ArrayError             shape, dtype, range or keys of an array or NPZ file
    │   ├── NonFiniteError         NaN or Inf in activations or logits
    │   ├── SchemaError            a table or record that breaks its schema
    │   └── VerificationError      bytes that are not what their digest says
    ├── DependencyError ............ 3   an upstream run is missing or does not match
    ├── RunExistsError ............. 4   the run is complete, incomplete or in use
    └── ResourceError .............. 5   memory, disk, permission, device

A scientific result is never one of these: a quantity that is undefined is NaN with a reason.
Each message names what is wrong, where, and the remedy.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line."""

    DONE = 0
    BUG = 1
    INPUT = 2
    DEPENDENCY = 3
    EXISTS = 4
    RESOURCE = 5
    INTERRUPTED = 130


class AvalatticeError(Exception):
    """Root of the tree."""

    exit_code = ExitCode.BUG


class InputError(AvalatticeError):
    """What the user gave cannot be used."""

    exit_code = ExitCode.INPUT


class ConfigError(InputError):
    """The configuration has an unknown key, a wrong type or a value out of range."""


class DataError(InputError):
    """A corpus is missing, empty or too short."""


class ModelError(InputError):
    """A model cannot be found, read or supported."""


class SiteCheckError(ModelError):
    """A model family fails the site self-test, so a gain or capture there would be wrong."""


class ArrayError(InputError):
    """An array or NPZ file has the wrong keys, shape, dtype or range."""


class NonFiniteError(InputError):
    """Activations or logits contain NaN or Inf."""


class SchemaError(InputError):
    """A table or record breaks its declared schema."""


class VerificationError(InputError):
    """A file's bytes are not what its digest says."""


class DependencyError(AvalatticeError):
    """An upstream run is missing, incomplete or does not match."""

    exit_code = ExitCode.DEPENDENCY


class RunExistsError(AvalatticeError):
    """The run exists already, or another process is writing it."""

    exit_code = ExitCode.EXISTS


class ResourceError(AvalatticeError):
    """Memory, disk, permission or device."""

    exit_code = ExitCode.RESOURCE
