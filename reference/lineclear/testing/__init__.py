"""Testing a scheduler: executors without a device that check what plans make them read."""

from lineclear.testing.content import Branch, ContentExecutor, WrongContent

__all__ = ["Branch", "ContentExecutor", "WrongContent"]
