"""The same obligations asked in other ways: of a second solver, and under other seeds, orders and names.

Guarantees: the second solver reads nothing but SMT-LIB text.
"""
