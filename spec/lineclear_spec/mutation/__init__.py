"""The room mutation."""
