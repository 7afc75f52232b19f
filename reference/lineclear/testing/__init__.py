"""Testing a scheduler: devices of the test that check what plans make them read."""

from lineclear.testing.content import Branch, ContentExecutor, WrongContent
from lineclear.testing.device import Device

__all__ = ["Branch", "ContentExecutor", "Device", "WrongContent"]
