"""The room liveness."""
