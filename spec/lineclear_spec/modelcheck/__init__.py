"""The room modelcheck."""
