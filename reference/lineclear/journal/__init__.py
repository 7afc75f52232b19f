"""The journal of a scheduler: in memory while it runs, and on disk to run it again."""
