"""`python -m lineclear` is the command `lineclear`."""

from __future__ import annotations

import sys

from lineclear.cli import main

if __name__ == "__main__":
    sys.exit(main())
