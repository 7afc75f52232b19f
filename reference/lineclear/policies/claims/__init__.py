"""What is claimed of each built-in policy: theorems, the facts that they rest on, and lemmas.

Invariant: a scheduler loads none of it; the prover and the reports do, by `load_claims`.
"""
