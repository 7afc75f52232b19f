"""A state of which nothing is known, and the operators of the kernel on it: the twin of `kernel/`.

Guarantees: an operator means on any state what the operator of the same name means on plain data; what is no
definition is proved by a lemma, or listed as assumed in `kernel/operators.py`.
"""
