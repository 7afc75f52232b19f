# pyright: basic
"""What requests there are, by what the scheduler answered, and that nothing of the others is left.

Guarantees: it believes answers (`Accepted`, `Finished`, the result of `abort`) and holds every list of the
scheduler against them. A request that ended is in none of them; one that is live has its seats if it runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

from lineclear.oracle.cache import BlockNumbers
from lineclear.oracle.rules import Undone
from lineclear.oracle.state import live_of
from lineclear.oracle.work import most_blocks
from lineclear.request import InvalidRequest, Rejected, Request
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.progress import may_be_displaced

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.plan import Plan
    from lineclear.scheduler import Scheduler
    from lineclear.scheduling.live_request import LiveRequest


def fits(config: Config, request: Request) -> bool:
    """Whether a request can ever run alone in an empty pool, by arithmetic."""
    most = request.prompt_tokens + request.max_tokens
    blocks = most_blocks(config.block_size, request.prompt_tokens, most, request.n)
    return (
        most <= config.max_model_len
        and request.n <= config.max_num_seqs
        and blocks <= config.num_gpu_blocks
        and (
            config.enable_chunked_prefill
            or most - 1 <= config.max_num_batched_tokens
            or (
                config.enable_chunked_recompute
                and request.prompt_tokens <= config.max_num_batched_tokens
            )
        )
    )


def has_room(scheduler: Scheduler) -> bool:
    """Whether a request is taken now, if it fits."""
    config = scheduler.config
    queued = [e for e in scheduler.entries.values() if e.record.phase != Phase.RUNNING]
    waiting = sum(entry.record.phase == Phase.WAITING for entry in queued)
    tokens = sum(e.user.prompt_tokens + e.n * e.user.max_tokens for e in queued)
    return (
        not scheduler.live.draining
        and (config.max_waiting is None or waiting < config.max_waiting)
        and (config.max_waiting_tokens is None or tokens < config.max_waiting_tokens)
    )


def refuses(scheduler: Scheduler, request: Request) -> None:
    """The id of a live request is refused, and nothing changes.

    Raises:
        Undone: it is accepted or rejected like a new one.
    """
    before = (set(scheduler.entries), scheduler.arrivals, scheduler.counters.rejected)
    try:
        answer = scheduler.add(request)
    except InvalidRequest:
        if before != (set(scheduler.entries), scheduler.arrivals, scheduler.counters.rejected):
            raise Undone("refusal", f"the live id {request.request_id!r} left a trace") from None
        return
    raise Undone("refusal", f"the live id {request.request_id!r} is answered {answer!r}")


def check_answer(scheduler: Scheduler, request: Request, answer: Any, had_room: bool) -> None:
    """A request is rejected exactly if it never fits or no request is taken now.

    Args:
        scheduler: the scheduler.
        request: the request that was added.
        answer: what `add` returned.
        had_room: whether the limits of the queue and `drain` let a request in.
    """
    wanted = fits(scheduler.config, request) and had_room
    if isinstance(answer, Rejected) == wanted:
        raise Undone("admission", f"{request!r} is answered {answer!r}")


def check_books(scheduler: Scheduler, live: Iterable[Hashable]) -> None:
    """Every list names live requests alone, and the seats are those of the ones that run.

    Raises:
        Undone: a request that ended is somewhere, or a live one is not where it should be.
    """
    names = set(live)
    if set(scheduler.entries) != names:
        raise Undone("ended", f"live are {set(scheduler.entries)}, and should be {names}")
    ledger = scheduler.ledger
    entries = set(scheduler.entries.values())
    records = {entry.record for entry in entries}
    running = {entry for entry in entries if entry.record.phase == Phase.RUNNING}
    sequences = {s for entry in running for s in entry.record.members}
    queued = list(scheduler.queue)
    checks: list[tuple[str, Any, Any]] = [
        ("the ledger's queues", {*ledger.waiting, *ledger.running, *ledger.swapped}, records),
        ("the running order", set(scheduler.running.entries.values()), running),
        ("the queue", set(queued), entries - running),
        ("the queue, counted", len(queued), len(entries - running)),
        ("sequences that run", {*scheduler.batch.explicit, *scheduler.batch.members}, sequences),
        (
            "sequences in the decode batch",
            set(scheduler.batch.joined),
            set(scheduler.batch.members),
        ),
    ]
    for what, found, wanted in checks:
        if found != wanted:
            raise Undone("ended", f"{what}: {found}, and it should be {wanted}")
    for what, some, of in (
        ("requests by record", set(scheduler.of), records),
        ("tables to tell", set(scheduler.replaced), sequences),
    ):
        if not some <= of:
            raise Undone("ended", f"{what}: {some - of} ended")
    check_heaps(scheduler)
    tokens = sum(e.user.prompt_tokens + e.n * e.user.max_tokens for e in entries - running)
    if scheduler.live.queued_tokens != tokens:
        raise Undone(
            "ended", f"{scheduler.live.queued_tokens} tokens are queued, and it should be {tokens}"
        )
    seats = sum(live_of(scheduler, entry, {}, False, BlockNumbers()).seats for entry in running)
    if scheduler.seats != seats:
        raise Undone("seats", f"{scheduler.seats} are taken, and it should be {seats}")
    ranks = sorted(entry.rank for entry in running)
    if list(scheduler.running.orders) != ranks or set(scheduler.running.entries) != set(ranks):
        raise Undone("order", f"the running order: {scheduler.running.orders}, not {ranks}")
    if scheduler.policy_failures:  # from the failure on the order is that of arrival
        for entry in entries:
            if entry.order != (entry.number,) or entry.rank != (entry.number,):
                places = (entry.order, entry.rank)
                raise Undone(
                    "order", f"request {entry.request_id!r} stands at {places} after a failure"
                )


def check_heaps(scheduler: Scheduler) -> None:
    """In every heap of those that wait none stands before the one above it.

    A head that is wrong shows only when it is asked for, and in a deep queue most are put right before.

    Raises:
        Undone: a heap is none.
    """
    queue: Any = scheduler.queue
    plain = getattr(queue, "plain", None)  # of a policy that shares among tenants and has failed
    for some in (queue, *filter(None, [plain]), *getattr(queue, "queues", {}).values()):
        places = [cell[0] for cell in some.heap]
        for k in range(1, len(places)):
            if places[k] < places[(k - 1) // 2]:
                raise Undone(
                    "order", f"in the queue {places[k]} stands below {places[(k - 1) // 2]}"
                )


def check_shelters(scheduler: Scheduler, sheltered: Iterable[Hashable]) -> None:
    """Exactly those that are sheltered, and have kept no token since, may not be displaced.

    Held after every call, and not when the next displacement is decided: a request that would be spared
    wrongly, or not be spared, is seen although no head of the queue asks for its place.

    Raises:
        Undone: another one is spared, or one of them is not.
    """
    names = set(sheltered)
    for entry in scheduler.running.entries.values():
        spared = not may_be_displaced(entry.sheltered, entry.kept_a_token)
        if spared != (entry.request_id in names):
            what = "is spared" if spared else "is not spared"
            raise Undone(
                "displacement", f"request {entry.request_id!r} {what}, and it should be otherwise"
            )


class Charges:
    """The charges of each tenant, added up from plans.

    Guarantees: a prompt, token or sequence that is reported to the policy twice, late or never is noticed.
    """

    def __init__(self) -> None:
        self.prompts: Counter[Hashable] = Counter()
        self.tokens: Counter[Hashable] = Counter()

    def plan(self, scheduler: Scheduler, plan: Plan, started: Iterable[LiveRequest]) -> None:
        """A plan samples, and requests run for the first time."""
        for entry in started:
            self.prompts[entry.tenant] += entry.record.prompt
        for row in plan.sampling:
            self.tokens[scheduler.entries[row.request_id].tenant] += 1

    def check(self, scheduler: Scheduler) -> None:
        """Every account has what its tenant was served.

        Raises:
            Undone: it has another sum, or accrues at another rate.
        """
        policy = scheduler.tenants
        if policy is None:
            return
        steady = Counter(scheduler.of[s.request].tenant for s in scheduler.batch.members)
        for tenant, account in policy.accounts.items():
            unit = policy.unit * policy.weights.get(str(tenant), 1)  # what one unit stands for
            found, rate = account.rate * unit, policy.output_price * steady[tenant]
            if found != rate:
                raise Undone("counts", f"tenant {tenant!r} accrues {found}, not {rate}")
            if policy.name != "drr":
                continue  # a counter that is lifted is no sum
            charged = policy.charged(tenant, scheduler.ledger.steps) * unit
            wanted = policy.prompt_price * self.prompts[tenant]
            wanted += policy.output_price * self.tokens[tenant]
            if charged != wanted:
                raise Undone("counts", f"tenant {tenant!r} is charged {charged}, not {wanted}")


def check_plan(plan: Plan, live: Iterable[Hashable], aborted: Iterable[Hashable]) -> None:
    """A plan names live requests alone.

    Raises:
        Undone: it names another.
    """
    names, gone = set(live), set(aborted)
    named = [(row.request_id, row.branch) for row in plan.scheduled_seq_groups]
    named += [(name, branch) for name, branch, *_ in (*plan.new_blocks, *plan.tables)]
    for name, branch in named:
        if name not in names:
            rule = "abort" if name in gone else "ended"
            raise Undone(rule, f"the plan names {name!r}, branch {branch}, which is not live")
