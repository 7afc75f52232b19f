"""Testing a scheduler: a device without hardware that checks what it reads.

For lineclear's own plans there is `Device`, which runs operations in any order that their waits
allow. For any other scheduler there is a protocol of four methods and the
attribute `limits`, `SchedulerUnderTest`, and three ways to search over one set of rules: `random_runs`,
`stateful` (Hypothesis) and `exhaust`. docs/test_your_scheduler.md begins with an example.
"""

from lineclear.testing.device import Device, WrongContent
from lineclear.testing.device_rows import DeviceSequence
from lineclear.testing.exhaustive import Exhausted, exhaust
from lineclear.testing.failure import Action, Failure
from lineclear.testing.machine import Machine, replay
from lineclear.testing.operations import Order
from lineclear.testing.protocol import (
    NO_TOKEN,
    Copy,
    Execute,
    Limits,
    Make,
    Observation,
    Row,
    SchedulerUnderTest,
)
from lineclear.testing.random_search import Found, Tally, random_run, random_runs
from lineclear.testing.scope import Shape
from lineclear.testing.shrink import Shrunk, shrink
from lineclear.testing.stateful import stateful
from lineclear.testing.target import scheduler

__all__ = [
    "NO_TOKEN", "Action", "Copy", "Device", "DeviceSequence", "Execute", "Exhausted", "Failure", "Found",
    "Limits", "Machine", "Make", "Observation", "Order", "Row", "SchedulerUnderTest", "Shape", "Shrunk",
    "Tally", "WrongContent", "exhaust", "random_run", "random_runs", "replay", "scheduler", "shrink",
    "stateful",
]  # fmt: skip
