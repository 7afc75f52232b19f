"""Orders in which a device runs unordered operations.

Guarantees: an order chooses only among operations that may run, and chooses one whenever one is
wanted: one that the host waits for, or what that one waits for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from lineclear.testing.operations import Dispatched, OperationRecord, Order


class Late(Order):
    """Nothing runs before the host waits for it; then the last of what it waits for comes first."""

    def pick(
        self, ready: Sequence[Dispatched], wanted: frozenset[int], record: OperationRecord
    ) -> Dispatched | None:
        """The last one that is wanted."""
        return next((o for o in reversed(ready) if o.number in wanted), None)


class Favour(Order):
    """Some kinds run as soon as they may, the others only when the host waits for them.

    Args:
        kinds: which, the first one first.
    """

    def __init__(self, *kinds: str) -> None:
        """These kinds hurry."""
        self.kinds = kinds

    def pick(
        self, ready: Sequence[Dispatched], wanted: frozenset[int], record: OperationRecord
    ) -> Dispatched | None:
        """The first of the kind that hurries most, or one that is wanted."""
        hurried = [o for o in ready if o.kind in self.kinds]
        if hurried:
            return min(hurried, key=lambda o: self.kinds.index(o.kind))
        return next((o for o in ready if o.number in wanted), None)


class Shuffled(Order):
    """Any that may run, or none for now, as the seed says.

    Args:
        seed: of every choice.
    """

    def __init__(self, seed: int = 0) -> None:
        """Nothing is drawn yet."""
        self.random = random.Random(seed)

    def pick(
        self, ready: Sequence[Dispatched], wanted: frozenset[int], record: OperationRecord
    ) -> Dispatched | None:
        """Any of them; none in half of the cases where nothing is wanted."""
        if not wanted and self.random.random() < 0.5:
            return None
        return self.random.choice(list(ready))


class Adversarial(Order):
    """An operation that writes where an earlier one has still to read or write goes first, and everything
    else waits as long as it can.

    So a write comes as early, and a read as late, as the waits allow: where a wait is missing, the
    access that it protects comes second.
    """

    def pick(
        self, ready: Sequence[Dispatched], wanted: frozenset[int], record: OperationRecord
    ) -> Dispatched | None:
        """One that overtakes; otherwise the last one that is wanted."""
        for operation in reversed(ready):
            for number, other in record.waiting.items():
                if number >= operation.number:
                    break
                clash = operation.writes & (other.reads | other.writes)
                if clash or operation.reads & other.writes:
                    return operation
        return next((o for o in reversed(ready) if o.number in wanted), None)


#: Every order by its name, made from a seed.
ORDERS: dict[str, Callable[[int], Order]] = {
    "early": lambda seed: Order(),
    "late": lambda seed: Late(),
    "slow copies": lambda seed: Favour("forward", "copy_block"),
    "slow forwards": lambda seed: Favour("swap_in", "swap_out"),
    "random": Shuffled,
    "adversarial": lambda seed: Adversarial(),
}


def order_named(name: str, seed: int = 0) -> Order:
    """An order by its name.

    Raises:
        ValueError: no order has the name.
    """
    if name not in ORDERS:
        raise ValueError(f"unknown order {name!r}; known: {', '.join(ORDERS)}")
    return ORDERS[name](seed)
