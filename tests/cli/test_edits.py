"""One-line edits that make the scheduler and the device diverge: each turns `check --fast` red."""

from __future__ import annotations

from functools import cache

import pytest
from edits import Edit, edited

from lineclear.checks.behaviours import look
from lineclear.checks.stage import Context
from lineclear.checks.walks import Job, jobs, walked
from lineclear.explore.worlds import hard_worlds

DISPATCH, OUTCOME = "lineclear.scheduling.dispatch", "lineclear.scheduling.commit"
COPIES, FLIGHT = "lineclear.scheduling.swap_reports", "lineclear.scheduling.flight"
LIVE, BATCH = "lineclear.scheduling.live_requests", "lineclear.scheduling.decode_batch"
BLOCKS, QUERIES = "lineclear_spec.kernel.blocks", "lineclear_spec.kernel.queries"
PRIMITIVES = "lineclear_spec.kernel.primitives"
PREEMPTION, STEPS = "lineclear_spec.actions.preemption", "lineclear_spec.actions.steps"
OPERATIONS, GROWTH = "lineclear_spec.actions.operations", "lineclear_spec.actions.growth"

#: Found by the walks of whole configurations, in the stage `scheduler`.
WALKS: dict[str, Edit] = {
    "a plan's operations wait for nothing": (
        DISPATCH, "Dispatch._operations", "operation.wait, name", "0, name"),
    "a plan's operations wait for one less": (
        DISPATCH, "Dispatch._operations", "operation.wait, name", "max(0, operation.wait - 1), name"),
    "a commit settles copies that it did not wait for": (
        OUTCOME, "Commit._commit_step", "number <= wait]", "number <= ledger.dispatched]"),
    "a failed copy out counts as good": (
        COPIES, "SwapReports.complete", "or record.open_swap != number else",
        "or record.open_swap != number or record.phase == 3 else"),
    "a failed copy counts as good": (
        COPIES, "SwapReports.complete", "self.transitions.lose(entry)",
        "actions.complete_copy(ledger, number); continue"),
    "samples of the steps in flight are not void": (
        PRIMITIVES, "forget_samples", "sequence.void = ledger.steps", "sequence.void = ledger.committed"),
    "the worst case is one token short": (
        QUERIES, "worst_case", "request.limit - 1", "request.limit - 2"),
    "a table is cleared as if no branch shared it": (
        BLOCKS, "clear_table", "and_(block.ref == 0, block.name == 0)", "block.name == 0"),
    "a victim keeps its seat": (LIVE, "LiveRequests._give_back", "self.seats -= entry.seats_taken", "pass"),
    "a copy in waits for nothing": (
        PREEMPTION, "swap_in", "larger(ledger.barrier, request.last_swap)", "0"),
    "a step does not wait for a copy in": (
        PREEMPTION, "swap_in", "ledger.barrier = number", "pass"),
    "a copy out does not wait for the last operation": (
        PREEMPTION, "swap_out", "number - 1)", "max(0, number - 2))"),
    "a step waits for nothing": (
        STEPS, "issue_step", "ledger.order(number, ledger.barrier)", "ledger.order(number, 0)"),
    "an allocated block raises no barrier": (
        BLOCKS, "allocate_gpu", "ledger.gpu.latest(block_ids, ledger.barrier)", "ledger.barrier"),
    "a block freed is fenced too early": (
        BLOCKS, "clear_tables", "ledger.issued)", "ledger.done)"),
    "a recompute voids samples on good KV": (
        PREEMPTION, "recompute", "request.open_swap >= 1", "request.open_swap >= 0"),
    "a failed copy in leaves samples valid": (
        OPERATIONS, "fail_copy", "ledger.on_gpu(request)", "ledger.on_gpu(request) and False"),
    "void samples are kept": (FLIGHT, "IssuedStep.counts", "sequence.void < self.step", "True"),
    "void samples of the last step are kept": (
        FLIGHT, "IssuedStep.counts", "sequence.void < self.step", "sequence.void <= self.step"),
    "a copy in pairs blocks wrongly": (
        DISPATCH, "Dispatch._operations", "tuple(operation.blocks)",
        "tuple(operation.blocks) if operation.kind != 'swap_in' else "
        "tuple(zip([a for a, _ in operation.blocks], [b for _, b in operation.blocks][::-1]))"),
    "a failure that comes too late is no error": (
        COPIES, "SwapReports.complete", "if known and operation is None and number in bad",
        "if False"),
    "a copy out is not remembered": (PREEMPTION, "swap_out", "request.open_swap = number", "pass"),
    "a row that left the decode batch is forgotten": (
        BATCH, "DecodeBatch.leave", "flight.leave(sequence)", "pass"),
    "a copy on write waits for nothing": (
        GROWTH, "copy_on_write", "ledger.order(number, ledger.barrier)", "ledger.order(number, 0)"),
}  # fmt: skip

#: Found by the searches with any environment, in the stage `behaviours`.
WORLDS: dict[str, Edit] = {
    "a completion settles every earlier copy": (
        COPIES, "SwapReports.complete",
        "if number in ledger.operations:\n            actions.complete_copy(ledger, number)",
        "for n in sorted(n for n in ledger.operations if n <= number and ledger.is_copy(n)):\n"
        "            actions.complete_copy(ledger, n)"),
    "a plan's operations wait for nothing": WALKS["a plan's operations wait for nothing"],
    "a failed copy out counts as good": WALKS["a failed copy out counts as good"],
    "samples of the steps in flight are not void": WALKS[
        "samples of the steps in flight are not void"],
    "a commit settles copies that it did not wait for": WALKS[
        "a commit settles copies that it did not wait for"],
    "a failed copy out voids good samples": (OPERATIONS, "fail_copy", "ledger.on_gpu(request)", "True"),
}  # fmt: skip


@cache
def of_configurations() -> list[Job]:
    """The walks of whole configurations by `check --fast`; those in which most edits show come first."""
    found = [job for job in jobs(Context("fast")) if job[-1]]
    return sorted(found, key=lambda job: not job[0].name.startswith("priority, swap, 2 in flight"))


def in_walks() -> str:
    """The first finding of `check --fast` in the walks of whole configurations."""
    for job in of_configurations():
        found = walked(job)[1]
        if found is not None:
            return found.code
    return ""


def in_worlds() -> str:
    """The first finding of `check --fast` in the searches with any environment."""
    for world in hard_worlds():
        findings = look(world)[4]
        if findings:
            return findings[0].code
    return ""


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_of_a_configuration_is_red(name: str) -> None:
    with edited(WALKS[name]):
        assert in_walks() in {"LC401", "LC402", "LC403", "LC404", "LC405"}


@pytest.mark.parametrize("name", WORLDS)
def test_a_search_with_any_environment_is_red(name: str) -> None:
    with edited(WORLDS[name]):
        assert in_worlds() in {"LC401", "LC403", "LC404", "LC405"}


def test_without_an_edit_the_walks_are_green() -> None:
    assert in_walks() == ""
