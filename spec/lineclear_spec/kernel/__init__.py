"""What is proved and runs: the state of a scheduler, and the functions that read and change it.

Guarantees: a query, a primitive, a block step or a decision is written once, over operators; the operators alone are
written again, in `symbolic/`. Nothing here imports a solver.
"""
