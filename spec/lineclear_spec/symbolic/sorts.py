# pyright: basic
"""The sorts of formulas: what a field of the state is about.

Guarantees: nothing by itself; two records of one sort are equal or not, and nothing else is known of them.
"""

from __future__ import annotations

import z3

Request = z3.DeclareSort("Request")
Sequence = z3.DeclareSort("Sequence")
Block = z3.DeclareSort("Block")
#: What a slot of a block id holds: the KV of one token after all that come before it, or anything else.
Kv = z3.DeclareSort("Kv")
Int = z3.IntSort()
Bool = z3.BoolSort()
