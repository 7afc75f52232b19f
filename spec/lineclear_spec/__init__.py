"""What is true: the lifecycle, the ledger, the guarded actions and the invariants proved of them.

Guarantees: importing this package imports nothing but itself; solvers are loaded only by the
modules that prove.
"""
