"""The codes of findings: what each means, why it matters and what to do.

Guarantees: a code keeps its meaning forever; the documentation page is generated from this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from lineclear.conform.rules import RULES


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding.

    Attributes:
        code: LC and three digits; the first digit names the group.
        title: a few words, printed with each finding.
        meaning: what was found.
        matters: the consequence.
        todo: the remedy.
    """

    code: str
    title: str
    meaning: str
    matters: str
    todo: str


GROUPS = {
    "1": "a proof is refuted",
    "2": "a solver gives no answer",
    "3": "a mutant survives",
    "4": "an execution breaks a rule",
    "5": "no progress, or a request starves",
    "6": "expected behaviour never occurs",
    "7": "a generated file is stale",
    "8": "a configuration or a policy is invalid, or lacks a guarantee",
    "9": "the check itself failed",
}

ROWS = (
    Code(
        "LC101",
        "an obligation is refuted",
        "The solver found values for which an action, a loop, a decision or an order violates what "
        "it must preserve.",
        "The action table, which also runs, allows a step into a state in which an "
        "invariant or a postcondition is false.",
        "Read the action's guards and effects: `lineclear explain ACTION`. If a guard is missing, "
        "add it; the finding names the line. `lineclear prove ACTION` proves that action alone.",
    ),
    Code(
        "LC102",
        "the solvers disagree",
        "One solver proves an obligation that the other does not.",
        "One of them, or the text between them, is wrong, so neither answer can be trusted.",
        "Export the text with `lineclear prove --export DIR` and run a third solver on it.",
    ),
    Code(
        "LC103",
        "a proof is unstable",
        "The same obligation, under another seed, order of assertions or names, is not proved, or "
        "takes more than ten times the resources of its baseline.",
        "The proof is fragile: the next version of the solver may not find it.",
        "Give the obligation a simpler hypothesis or a pattern. After an intended change, "
        "record new baselines with `lineclear prove --seeds 5 --write-baseline`.",
    ),
    Code(
        "LC104",
        "the prover accepts a false statement",
        "A statement that is false, put to the prover on purpose, was accepted.",
        "What the prover accepts of this, it could accept of the table: no other proof counts until it is "
        "mended.",
        "Look at what changed in `spec/lineclear_spec/`: the prover, the dialect or what it assumes.",
    ),
    Code(
        "LC201",
        "a solver says unknown",
        "Within its budget of resources the solver neither proved nor refuted an obligation.",
        "Unknown is not proved. A broken table often shows like this, because a counterexample "
        "that needs quantifiers is hard to build.",
        "Look for an LC401 of the same action: an execution that breaks it. If there is none, the "
        "proof needs help: `lineclear prove ACTION`.",
    ),
    Code(
        "LC202",
        "an obligation is no longer asked",
        "`proof/baseline.json` lists an obligation that no unit makes.",
        "A precondition, a postcondition or a lemma is gone, and the rest is proved as if nothing "
        "had depended on it.",
        "Find what was dropped or renamed. If that is intended, record the baseline again in the same "
        "change: `lineclear prove --no-mutants --seeds 5 --write-baseline`.",
    ),
    Code(
        "LC301",
        "a mutant survived",
        "The table with one statement left out or changed is not refuted by both the proof and an "
        "execution.",
        "No check would notice if that statement were lost.",
        "State its purpose as an invariant or a postcondition; or give the search a world "
        "in which it matters. See `lineclear explain MUTANT`.",
    ),
    Code(
        "LC401",
        "an execution breaks an invariant",
        "A search of the table, or a run of the scheduler, reached a state in which a named rule is "
        "false. The trace is a shortest one if a search found it.",
        "This is a concrete execution.",
        "Step through the trace with `lineclear replay FILE --step N`; the last action is the "
        "one that breaks the rule. Keep it as a test with `--emit-test`.",
    ),
    Code(
        "LC402",
        "an action fails although its guards hold",
        "The guards held, but the action raised an error.",
        "In a server this is a crash in the middle of a step, with the state half changed.",
        "The guards lack a condition that the effect needs; the error names the primitive.",
    ),
    Code(
        "LC403",
        "an executor reads KV of another request",
        "An executor that sees only plans read a token of another request, or of none.",
        "The model would answer from another request's KV. Nothing crashes.",
        "Compare the plan's copies and tables with the ledger at the named step.",
    ),
    Code(
        "LC404",
        "the scheduler and the device disagree",
        "A device that sees only plans has its own record of which operations were issued, ran and were "
        "reported. The scheduler counted as complete, kept, dropped or finished something that contradicts "
        "that record.",
        "Blocks are allocated while a copy still moves them, tokens computed on garbage are kept, or "
        "valid ones are lost.",
        "Follow the calls printed with the finding; the last one shows the difference.",
    ),
    Code(
        "LC405",
        "a step differs from the rules",
        "The oracle of the step (`lineclear.oracle`), which computes every step on plain data, expected "
        "another one: the scheduler omitted something possible, or did something "
        "unnecessary. The finding names the rule.",
        "Requests wait although they fit, are preempted without need, or are "
        "charged more than they need. No invariant is broken, so no other check shows it.",
        "The finding shows the actual and the expected step. Step through its moves with "
        "`lineclear replay`; `lineclear.oracle.RULES` has the sentence of each rule.",
    ),
    Code(
        "LC406",
        "a call of a scheduler raises, or does not return",
        "A scheduler under test raised, gave an answer outside the protocol, or did not return "
        "within some seconds.",
        "A server would lose one request, or all of them.",
        "The finding names the file and the line. Repeat its trace with `lineclear test`; keep it "
        "as a test with `--emit-test`.",
    ),
    Code(
        "LC407",
        "a row or an end contradicts the request's tokens",
        "A scheduler under test ran a request beyond its tokens, or in blocks that it does not hold, "
        "or reported an end too early, too late or twice.",
        "A user gets too few or too many tokens, or another user's answer.",
        "Repeat the trace of the finding with `lineclear test`, and compare the row with the table "
        "and the tokens printed with it.",
    ),
    Code(
        "LC426",
        "the proved table rejects a log",
        "`lineclear conform --level table`: the log obeys the rules, but one of its events is one that no "
        "action of the proved table allows.",
        "The engine does something that the proofs do not cover. It need not be wrong.",
        "The finding names the action and the guard: `lineclear explain ACTION`.",
    ),
    Code(
        "LC501",
        "nothing moves",
        "Nothing is outstanding, a request is live, and the scheduler does nothing forever; or "
        "no request gets a token.",
        "Users wait forever, and no invariant is broken.",
        "The stall report names the guard that blocks each request. Compare with the premises in "
        "`lineclear prove --theorems`.",
    ),
    Code(
        "LC502",
        "the same states come again",
        "A cycle of states in which work is done and undone.",
        "The device is busy and no request advances.",
        "Check who preempts whom along the trace; a victim must come later in the order.",
    ),
    Code(
        "LC503",
        "a request can starve",
        "With endless arrivals, a request that could run never does.",
        "One user gets no answer while others do.",
        "Choose a policy whose theorem P7 holds, or bound `max_bypasses`.",
    ),
    Code(
        "LC601",
        "an action never happens",
        "No search within the stated bounds shows the action, though it is in the table.",
        "An action that never happens satisfies every check vacuously.",
        "Add a small world in which it can happen, or remove the action.",
    ),
    Code(
        "LC602",
        "a situation is never reached",
        "No search within the stated bounds shows a situation that the checks are meant to cover.",
        "The rules for this situation were not tested.",
        "Add a small world that reaches it.",
    ),
    Code(
        "LC603",
        "a recorded step is refused",
        "A guard refuses a step that the table allowed when it was recorded.",
        "A stronger guard breaks no rule, but the scheduler may now wait without need.",
        "Weaken the guard; or, if intended, run python docs/make_enabled.py and review the diff.",
    ),
    Code(
        "LC701",
        "a generated file is stale",
        "A diagram or a page in the repository differs from its source.",
        "Readers rely on an outdated page.",
        "Run the command that the finding prints.",
    ),
    Code(
        "LC801",
        "a configuration is refused",
        "A setting is unknown, or settings contradict each other.",
        "The scheduler would not start.",
        "The finding names the setting and its valid values.",
    ),
    Code(
        "LC802",
        "a configuration lacks a rule of progress",
        "The configuration uses rules known to allow a run without progress. This is a "
        "note, not a failure.",
        "Requests may wait forever under load.",
        'Use `rules = "lineclear"`, or watch `stall_report` in production.',
    ),
    Code(
        "LC803",
        "a policy gives no guarantee",
        "The policy declares starvation (`may_starve = True`), and a run "
        "of the scheduler shows it. This is a note, not a failure.",
        "One user may get no answer while others do.",
        "Make sure that this is intended. Aging, a ceiling or a share per tenant bounds the wait.",
    ),
    Code(
        "LC804",
        "a policy gives an invalid answer",
        "A method of the policy raised, or returned something that the interface does not allow.",
        "A server stops calling the policy from then on: requests are served in order of arrival "
        "until the next start; `policy_failures` gives the reason.",
        "The finding names the method and the request. docs/policy_interface.md lists what each "
        "method may return.",
    ),
    Code(
        "LC805",
        "a policy is not deterministic",
        "Two identical consecutive calls for one request returned different answers.",
        "The place of a request depends on when, or how often, the policy is called. No property of the "
        "order can be stated, and a run cannot be repeated.",
        "Compute the key from the request alone; to change a place, have it recomputed after "
        "`review`.",
    ),
    Code(
        "LC901",
        "a stage failed",
        "A part of the check raised an error.",
        "It says nothing about the scheduler, so it counts as inconclusive, never as passed.",
        "Run the stage alone and report the error.",
    ),
)

#: Rules for the log of any engine: `lineclear conform`.
CONFORM = tuple(
    Code(
        rule.code,
        f"a log breaks the rule {rule.name}",
        f"`lineclear conform`: the log of an engine violates: {rule.sentence}.",
        rule.matters,
        rule.todo,
    )
    for rule in RULES.values()
)

CODES = {row.code: row for row in (*ROWS, *CONFORM)}


def markdown() -> str:
    """The documentation page."""
    lines = [
        "<!-- generated by `lineclear explain --page`, do not edit -->",
        "",
        "# Findings",
        "",
        "Every finding of `lineclear check` has a code, which never changes its meaning.",
        "`lineclear explain LC401` prints the same text.",
    ]
    for digit, group in GROUPS.items():
        lines += ["", f"## LC{digit}xx: {group}"]
        for row in CODES.values():
            if row.code[2] == digit:
                lines += [
                    "",
                    f"### {row.code}",
                    "",
                    f"*{row.title}.* {row.meaning}",
                    "",
                    f"**Why it matters.** {row.matters}",
                    "",
                    f"**What to do.** {row.todo}",
                ]
    return "\n".join(lines) + "\n"
