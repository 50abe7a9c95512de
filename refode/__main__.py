"""``python -m refode`` is the command ``refode``."""

from refode.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
