"""The calls of a scheduler that concern its prefix cache: names for blocks, holds, resets and events.

Guarantees: a call that raises an error of its own has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from collections.abc import Sequence as Names

from lineclear.kv_events import CacheEvent
from lineclear.request import InvalidRequest, SchedulerError, checked_names
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.readings import Readings
from lineclear.scheduling.receiver import Receiver
from lineclear_spec.kernel.records import Sequence


class CacheCalls(Readings):
    """What callers give to the prefix cache of a scheduler and ask of it."""

    def name_blocks(
        self, request_id: Hashable, first: int, names: Iterable[int], branch: int = 0
    ) -> None:
        """Gives names to the next full blocks of a branch: of its output as they fill, or of its prompt.

        A name of a block of the prompt is given to the whole request.

        With `prefix_caching = all` they are published once they are computed. Until then the request
        runs as if they had no names. Without prefix caching nothing is kept. It costs time in proportion to the
        names that the branch has, so give several at once; `ask_for_names` costs less.

        Args:
            request_id: whose they are.
            first: index of the first block that they name: the number of names that it has.
            names: as in `Request.prefix_names`.
            branch: which of its sequences.

        Raises:
            SchedulerError: the request is not live, has no such branch, has names for fewer or more
                blocks than `first`, or a name is none or one that the branch has already.
        """
        self.adapter.check_caller()
        found = next_to_name(self.live.find(request_id), request_id, branch)
        if not self.cache.enabled:
            return
        known = len(found.block_names)
        if type(first) is not int or first != known:
            raise SchedulerError(
                f"request_id {request_id!r}, branch {branch} has names for {known} blocks: the next ones begin "
                f"at {known}, not {first!r}"
            )
        self.cache.extend(found, new_names(names, found.block_names))

    def ask_for_names(
        self, give: Callable[[Hashable, int, tuple[int, ...]], Iterable[int]]
    ) -> None:
        """Has `give(request_id, branch, names)` asked for the names of blocks of output, with `prefix_caching = all`.

        It answers with names of the full blocks behind those of `names`, as far as it knows their tokens, or with
        nothing. It is asked when a request ends or is preempted, and when a branch forks or ends; what committed
        steps have computed is published then. It must not call the scheduler; if it raises, or answers with what
        is no name or the name of an earlier block, the next call of the scheduler raises the exception, and it is not
        asked any more.

        Raises:
            SchedulerError: `give` cannot be called.
        """
        check_callable("give", give)
        if self.cache.outputs:

            def names_of(
                request_id: Hashable, branch: int, names: tuple[int, ...]
            ) -> tuple[int, ...]:
                return new_names(give(request_id, branch, names), names)

            self.cache.ask = Receiver(names_of, self.adapter)

    def reset_prefix_cache(self) -> int:
        """No block can be found any more, also while requests run, which keep what they share.

        Returns:
            How many blocks could be found.
        """
        self.adapter.check_caller()
        return self.cache.reset()

    def hold(self, name: int) -> int | None:
        """A reader outside, such as a transfer, holds the block that is found under a name.

        Until `let_go` its content stays as it is: it is not evicted, and a reset does not free it. It is
        not available meanwhile, so progress presumes that holds end.

        Returns:
            The block's id in the GPU pool; None if no block can be found under the name.

        Raises:
            InvalidRequest: the name is no whole number of at least 1.
        """
        self.adapter.check_caller()
        checked_names((name,))
        return self.cache.hold(name)

    def let_go(self, name: int) -> None:
        """A reader holds the block no longer; to be called once for each `hold` that found it.

        Raises:
            SchedulerError: no reader holds it.
        """
        self.adapter.check_caller()
        checked_names((name,))
        if not self.cache.held.get(name):
            raise SchedulerError(f"no reader holds a block under the name {name!r}")
        self.cache.let_go(name)

    def watch_prefix_cache(self, receive: Callable[[CacheEvent], object]) -> None:
        """Calls `receive` with each change of what can be found from now on, after the change.

        For routers: `lineclear.kv_events` has the events in vLLM's shape. If `receive` raises, the next call of
        the scheduler raises the exception, and `receive` gets no event any more.

        Raises:
            SchedulerError: `receive` cannot be called.
        """
        check_callable("receive", receive)
        self.cache.listener = Receiver(receive, self.adapter)


def next_to_name(entry: LiveRequest | None, request_id: Hashable, branch: int) -> Sequence:
    """The sequence of a branch.

    Raises:
        SchedulerError: the request is not live, or has no such branch.
    """
    if entry is None:
        raise SchedulerError(f"request_id {request_id!r} is not live")
    sequence = entry.first
    if branch or not sequence.alive:
        found = [s for s in entry.record.members if entry.branch(s) == branch]
        if not found:
            raise SchedulerError(f"request_id {request_id!r} has no branch {branch}")
        sequence = found[0]
    return sequence


def new_names(names: Iterable[int], before: Names[int]) -> tuple[int, ...]:
    """Names of the blocks behind those that have names, as a tuple.

    Raises:
        InvalidRequest: they are no names, or one is that of a block before.
    """
    found = checked_names(names)
    if found and not set(found).isdisjoint(before):
        again = next(name for name in found if name in before)
        raise InvalidRequest(
            f"{again} is the name of an earlier block of the branch: a name is that of a block and of all blocks "
            "before it, so no two blocks of a branch have the same"
        )
    return found


def check_callable(name: str, function: object) -> None:
    """What the caller gave can be called.

    Raises:
        SchedulerError: it cannot.
    """
    if not callable(function):
        raise SchedulerError(f"{name} must be a function, not {function!r}")
