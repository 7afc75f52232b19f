"""The room kv."""
