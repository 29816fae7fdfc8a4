"""``python -m graphcl``: the same as the ``graphcl`` command."""

from graphcl.cli import main

if __name__ == "__main__":
    main()
