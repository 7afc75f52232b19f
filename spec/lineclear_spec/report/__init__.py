"""The table and its executions as text and pictures.

Guarantees: all is read from the functions that run; no other room imports this one.
"""
