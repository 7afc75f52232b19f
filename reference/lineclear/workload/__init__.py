"""The requests of a run: read from a file or drawn from a seed."""
