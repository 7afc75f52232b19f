"""What the command prints when it refuses its arguments."""

from __future__ import annotations

import pytest

from lineclear.cli import main

__all__ = ["refused"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that the command prints."""
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith(f"lineclear {arguments[0]}: ")
    return line
