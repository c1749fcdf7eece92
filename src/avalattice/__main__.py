"""``python -m avalattice``."""

from avalattice.cli import main

if __name__ == "__main__":
    main()
