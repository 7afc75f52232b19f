"""Both ledgers have the words of the protocol: the type checkers compare what this file assigns."""

from __future__ import annotations

from lineclear_spec.kernel import protocol, record_protocols
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.ledger_cache import CachedBlocks
from lineclear_spec.kernel.records import Block, Operation, Pool, Request, Sequence
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.symbolic.ledger import LISTS, SymbolicLedger
from lineclear_spec.symbolic.state import FIELDS


def plain(ledger: Ledger) -> protocol.Ledger:
    return ledger


def a_part(ledger: CachedBlocks) -> protocol.Ledger:
    """Refused, so that what is not refused is compared: an ignored error that is none is one itself."""
    return ledger  # type: ignore[return-value]


def with_ghosts(ledger: GhostLedger) -> protocol.Ledger:
    return ledger


def on_formulas(ledger: SymbolicLedger) -> protocol.Ledger:
    return ledger


def records(
    pool: Pool, block: Block, request: Request, sequence: Sequence, operation: Operation
) -> tuple[
    record_protocols.Pool,
    record_protocols.Block,
    record_protocols.Request,
    record_protocols.Sequence,
    record_protocols.Operation,
]:
    return pool, block, request, sequence, operation


def members(record: type) -> set[str]:
    """Attributes and properties that a protocol names."""
    properties = {name for name, value in vars(record).items() if isinstance(value, property)}
    return properties | set(record.__annotations__)


def test_records_on_formulas_have_the_fields_of_the_protocol() -> None:
    """Their attributes are looked up by name, so the type checkers cannot see them."""
    for sort, record in (
        ("Request", record_protocols.Request),
        ("Sequence", record_protocols.Sequence),
        ("Block", record_protocols.Block),
    ):
        lists = {name for of, name in LISTS if str(of) == sort}
        fields = {
            name for name, (domain, _) in FIELDS.items() if [str(s) for s in domain] == [sort]
        }
        assert members(record) <= lists | fields, sort
        assert len(members(record)) >= 2, sort
