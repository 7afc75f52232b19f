"""The interface through which audits, searches and reports read a scheduler.

Invariant: reading changes nothing. What is read at few places is read of the part that owns it: `live.draining`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from lineclear.config import Config
from lineclear.policies import Policy
from lineclear.policies.tenants import TenantPolicy
from lineclear.scheduling.counters import Counters, PlanChanges
from lineclear.scheduling.decode_batch import DecodeBatch
from lineclear.scheduling.flight import InFlight, IssuedStep
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.live_requests import LiveRequests
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
    def flights(self) -> deque[IssuedStep]:
        """Steps in flight, the oldest first."""
        return self.in_flight.flights

    @property
    def replaced(self) -> dict[Sequence, None]:
        """Sequences whose whole table the next plan with a step has, in `Plan.tables`."""
        ledger = self.ledger
        return {sequence: None for sequence in ledger.whole if ledger.runs(sequence)}

    @property
    def policy(self) -> Policy:
        """Decides which request comes first."""
        return self.adapter.policy

    @property
    def policy_failures(self) -> list[str]:
        """The error of the policy."""
        return self.adapter.failures

    @property
    def tenants(self) -> TenantPolicy | None:
        """The policy, if it shares among tenants and has not failed."""
        return self.adapter.tenants
