"""The run store: immutable, hash-chained runs."""
