"""Which Python may run on formulas, and how the source of a function is read and checked.

Guarantees: what is not listed in `language/vocabulary.py` is refused before it runs on formulas, and what is checked
is what runs.
"""
