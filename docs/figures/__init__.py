"""The parts of the generated pages that docs/make_trust.py writes, one kind in a module."""
