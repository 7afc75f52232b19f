"""The obligations, and what proves them.

Guarantees: every obligation is made by running the functions that run, and one that is listed in
`proof/baseline.json` and is made no more is reported.
"""
