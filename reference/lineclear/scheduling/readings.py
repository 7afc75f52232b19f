"""The interface through which audits, searches and reports read a scheduler.

Invariant: reading changes nothing. Each name is that of the part which owns it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from lineclear.config import Config
from lineclear.plan import Scheduled
from lineclear.policies import Policy
from lineclear.policies.tenants import TenantPolicy
from lineclear.scheduling.counters import Counters
from lineclear.scheduling.decode_batch import DecodeBatch
from lineclear.scheduling.flight import InFlight, IssuedStep
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.live_requests import LiveRequests
from lineclear.scheduling.plan_changes import PlanChanges
from lineclear.scheduling.policy_adapter import PolicyAdapter
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear.scheduling.queues import RunningOrder, WaitingQueue
from lineclear.scheduling.step import StepParts
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Request as Record
from lineclear_spec.kernel.records import Sequence


class Readings:
    """The parts of a scheduler, and what readers ask of them by a short name.

    Attributes:
        admission_blocked_by: why the last step that was built let no request in, see `stall.GUARDS`.
    """

    config: Config
    ledger: Ledger
    counters: Counters
    adapter: PolicyAdapter
    live: LiveRequests
    batch: DecodeBatch
    in_flight: InFlight
    changes: PlanChanges
    step_parts: StepParts
    cache: PrefixCache
    admission_blocked_by: str

    @property
    def entries(self) -> dict[Hashable, LiveRequest]:
        """Live requests by id."""
        return self.live.entries

    def has_unfinished(self) -> bool:
        """Whether a request is live: one that waits, runs or is swapped out."""
        return bool(self.live.entries)

    @property
    def of(self) -> dict[Record, LiveRequest]:
        """Live requests that ran once, by their record."""
        return self.live.of

    @property
    def running(self) -> RunningOrder:
        """Requests that run, by rank."""
        return self.live.running

    @property
    def queue(self) -> WaitingQueue:
        """Requests that wait or are swapped out, by key."""
        return self.live.waiting

    @property
    def arrivals(self) -> int:
        """Requests that were accepted so far."""
        return self.live.arrivals

    @property
    def seats(self) -> int:
        """Sequences that running requests may have."""
        return self.live.seats

    @property
    def draining(self) -> bool:
        """Whether new requests are rejected."""
        return self.live.draining

    @property
    def reviews(self) -> dict[int, list[LiveRequest]] | None:
        """Requests by the step before which the policy looks at them again."""
        return self.live.reviews

    @property
    def explicit(self) -> dict[Sequence, None]:
        """Sequences that run and are not in the decode batch."""
        return self.batch.explicit

    @property
    def members(self) -> dict[Sequence, Scheduled]:
        """Sequences in the decode batch and their rows."""
        return self.batch.members

    @property
    def joined(self) -> dict[Sequence, int]:
        """Sequences in the decode batch, and how many steps were issued when each joined."""
        return self.batch.joined

    @property
    def flights(self) -> deque[IssuedStep]:
        """Steps in flight, the oldest first."""
        return self.in_flight.flights

    @property
    def replaced(self) -> dict[Sequence, None]:
        """Sequences whose whole table the next plan with a step has, in `Plan.tables`."""
        ledger = self.ledger
        return {sequence: None for sequence in ledger.whole if ledger.runs(sequence)}

    @property
    def preempted(self) -> list[tuple[Hashable, str]]:
        """Requests that were preempted since the last plan."""
        return self.changes.preempted

    @property
    def policy(self) -> Policy:
        """Decides which request comes first."""
        return self.adapter.policy

    @property
    def policy_name(self) -> str:
        """The name under which the policy's failures are reported."""
        return self.adapter.name

    @property
    def policy_failures(self) -> list[str]:
        """The error of the policy."""
        return self.adapter.failures

    @property
    def foreign(self) -> bool:
        """Whether the policy is none of the built-in ones."""
        return self.adapter.foreign

    @property
    def tenants(self) -> TenantPolicy | None:
        """The policy, if it shares among tenants and has not failed."""
        return self.adapter.tenants

    @property
    def ranks(self) -> bool:
        """Whether the policy has another order for those that run."""
        return self.adapter.ranks

    @property
    def asking(self) -> bool:
        """Whether the policy runs at this moment."""
        return self.adapter.asking
