"""Deliberately broken tables, and the verdict on each.

Guarantees: a mutant counts as refuted only by an execution that breaks a named rule, and as harmless only by a proof
or by a search that is named.
"""
