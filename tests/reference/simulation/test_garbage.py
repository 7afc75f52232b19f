"""Garbage is looked for as before when a simulation has ended, however it ended."""

from __future__ import annotations

import gc

import pytest

from lineclear.simulation.garbage import seldom_collected


def ended_by_an_error() -> None:
    with seldom_collected():
        assert gc.get_threshold()[0] == 100_000
        raise KeyError


def test_the_thresholds_are_what_they_were_behind_the_block() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError):
        ended_by_an_error()
    assert gc.get_threshold() == before
