"""The codes of findings: what each means, why it matters and what to do.

Guarantees: a code keeps its meaning for ever; the documentation page is made from this table. It
knows nothing about how a finding is found.
"""

from __future__ import annotations

from dataclasses import dataclass

from lineclear.conform.rules import RULES

__all__ = ["CODES", "GROUPS", "Code", "markdown"]


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding.

    Attributes:
        code: LC and three digits; the first digit names the group.
        title: a few words, printed with each finding.
        meaning: what is so when it is reported.
        matters: what would go wrong.
        todo: what to do next.
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
    "5": "nothing moves, or somebody waits for ever",
    "6": "what ought to happen is never seen",
    "7": "a generated file is stale",
    "8": "a configuration or a policy cannot be meant, or lacks a guarantee",
    "9": "the check itself failed",
}

ROWS = (
    Code(
        "LC101",
        "an obligation is refuted",
        "The solver found values for which an action, a loop, a decision or an order does not keep "
        "what it must keep.",
        "The action table, which is also what runs, allows a step into a state in which some "
        "invariant or promise is false.",
        "Read the action's guards and effects: `lineclear explain ACTION`. If a guard is missing, "
        "add it; the finding names the line. `lineclear prove ACTION` asks that action alone.",
    ),
    Code(
        "LC102",
        "the solvers disagree",
        "One solver proves an obligation that the other does not.",
        "One of them, or the text between them, is wrong, so neither answer can be trusted.",
        "Write the text out with `lineclear prove --export DIR` and ask a third solver.",
    ),
    Code(
        "LC103",
        "a proof is unstable",
        "The same obligation, under another seed, order of assertions or names, is not proved, or "
        "takes more than ten times the resources of its baseline.",
        "The proof holds by luck: the next version of the solver may not find it.",
        "Give the obligation a simpler hypothesis or a pattern. After a change that is meant, "
        "record new baselines with `lineclear prove --seeds 5 --write-baseline`.",
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
        "an obligation is not asked any more",
        "`baseline.json` lists an obligation that no unit makes.",
        "A precondition, a promise or a lemma is gone, and what is left is proved as if nothing had "
        "ever rested on it.",
        "Find what was dropped or renamed. If that is meant, record the baseline again in the same "
        "change: `lineclear prove --no-mutants --seeds 5 --write-baseline`.",
    ),
    Code(
        "LC301",
        "a mutant survived",
        "The table with one statement left out or changed is not refuted by both the proof and an "
        "execution.",
        "Nothing would notice if that statement were lost.",
        "State what the statement is for, as an invariant or a promise; or give the search a world "
        "in which it matters. `lineclear explain MUTANT` shows what is known.",
    ),
    Code(
        "LC401",
        "an execution breaks an invariant",
        "A search of the table, or a run of the scheduler, reached a state in which a named rule is "
        "false. The trace is a shortest one if a search found it.",
        "This happens: nothing about it is a possibility only.",
        "Step through the trace with `lineclear replay FILE --step N`; the last action is the "
        "one that breaks the rule. Keep it as a test with `--emit-test`.",
    ),
    Code(
        "LC402",
        "an action that its guard allows fails",
        "A guard was true and the action then ran into an error.",
        "In a server this is a crash in the middle of a step, with the state half changed.",
        "The guard lacks a condition that the effect needs; the error names the primitive.",
    ),
    Code(
        "LC403",
        "an executor reads what is not its own",
        "An executor that was told nothing but plans read a token that belongs to somebody else, or "
        "to nobody.",
        "The model would answer from another request's KV. Nothing crashes.",
        "Compare the plan's copies and tables with the ledger at the step that is named.",
    ),
    Code(
        "LC404",
        "the scheduler and the device disagree",
        "A device that knows plans only has its own record of what was carried, has run and was "
        "reported. The scheduler settled, kept, dropped or finished something that does not follow "
        "from that record.",
        "Blocks are granted while a copy still moves them, tokens computed on garbage are kept, or "
        "good ones are lost.",
        "Follow the calls that are printed with the finding; the last one shows the difference.",
    ),
    Code(
        "LC405",
        "a step is not the one that the rules give",
        "The oracle of the step (`lineclear.oracle`), which works every step out on plain data, expected "
        "another one: something that could be done was left undone, or something was done that "
        "need not be. The finding names the rule.",
        "Requests wait although there is room, are preempted although nothing is lacking, or are "
        "charged more than they need. No invariant is broken, so nothing else shows it.",
        "The finding says what was found and what it should be. Step through its moves with "
        "`lineclear replay`; `lineclear.oracle.RULES` has the sentence of each rule.",
    ),
    Code(
        "LC406",
        "a call of a scheduler raises, or does not return",
        "A scheduler under test raised, answered what the protocol does not know, or was still busy "
        "after some seconds.",
        "In a server one request, or all of them, would be lost.",
        "The finding names the file and the line. Do its trace again with `lineclear test`; keep it "
        "as a test with `--emit-test`.",
    ),
    Code(
        "LC407",
        "a row or an end does not fit what the request knows",
        "A scheduler under test ran a request beyond its tokens, in blocks that it does not hold, "
        "or told an end too early, too late or twice.",
        "A user gets too few or too many tokens, or an answer of somebody else.",
        "Do the trace of the finding again with `lineclear test`, and compare the row with the table "
        "and the tokens that are printed with it.",
    ),
    Code(
        "LC426",
        "the proved table refuses a log",
        "`lineclear conform --level table`: an event of a log that keeps the rules is one that no "
        "action of the proved table allows.",
        "The engine does something that is not covered by the proofs. It need not be wrong.",
        "The finding names the action and the guard: `lineclear explain ACTION`.",
    ),
    Code(
        "LC501",
        "nothing moves",
        "Everything was answered, somebody is live, and the scheduler does nothing for good; or "
        "nobody learns a token.",
        "Users wait for ever, and no invariant is broken.",
        "The stall report names the guard that keeps each request. Compare with the premises in "
        "`lineclear prove --theorems`.",
    ),
    Code(
        "LC502",
        "the same states come again",
        "A cycle of states in which work is done and undone.",
        "The device is busy and nobody advances.",
        "Look at who preempts whom along the trace; a victim must come later in the order.",
    ),
    Code(
        "LC503",
        "a request can be passed for ever",
        "With arrivals that never end, a request that could run never does.",
        "One user gets no answer while others do.",
        "Choose a policy whose theorem P7 holds, or bound `bypass`.",
    ),
    Code(
        "LC601",
        "an action never happens",
        "No search within the stated bounds shows the action, though it is in the table.",
        "What never happens satisfies everything, so its checks say nothing.",
        "Add a small world in which it can happen, or remove the action.",
    ),
    Code(
        "LC602",
        "a situation is never reached",
        "No search within the stated bounds shows a situation that the checks are meant to cover.",
        "The rules that are about this situation were not tried.",
        "Add a small world that reaches it.",
    ),
    Code(
        "LC603",
        "a recorded step is refused",
        "A step that the table allowed when it was recorded is refused by a guard.",
        "A guard that has become stronger breaks no rule, and the scheduler may now wait for nothing.",
        "Weaken the guard, or if it is meant: python docs/make_enabled.py, and look at the diff.",
    ),
    Code(
        "LC701",
        "a generated file is stale",
        "A diagram or a page in the repository is not what its source says now.",
        "Readers rely on a picture of something that has changed.",
        "Run the command that the finding prints.",
    ),
    Code(
        "LC801",
        "a configuration is refused",
        "A setting is unknown, or settings cannot be meant together.",
        "The scheduler would not start.",
        "The finding names the setting and what it may be.",
    ),
    Code(
        "LC802",
        "a configuration lacks a rule of progress",
        "The configuration chooses rules that are known to allow a run without progress. It is a "
        "note, not a failure.",
        "Requests may wait for ever under load.",
        'Use `rules = "lineclear"`, or watch `stall_report` in production.',
    ),
    Code(
        "LC803",
        "a policy gives no guarantee",
        "The policy says of itself (`may_starve = True`) that a request may wait for ever, and a run "
        "of the scheduler shows it. It is a note, not a failure.",
        "One user may get no answer while others do.",
        "Make sure that this is meant. Aging, a ceiling or a share for each tenant bound the wait.",
    ),
    Code(
        "LC804",
        "a policy answers what cannot be meant",
        "A method of the policy raised, or gave something else than the interface says.",
        "In a server the policy is asked nothing more from then on: the order is that of arrival "
        "until the next start, and `policy_failures` tells why.",
        "The finding names the method and the request. docs/policy_interface.md says what each "
        "method may answer.",
    ),
    Code(
        "LC805",
        "a policy answers twice and differently",
        "The same question about the same request, asked twice in a row, got two answers.",
        "The place of a request depends on when, or how often, somebody looked. No property of the "
        "order can be stated, and a run cannot be done again.",
        "Compute the key from the request alone; a place that is to change is asked for anew after "
        "`review`.",
    ),
    Code(
        "LC901",
        "a stage failed",
        "A part of the check ended with an error of its own.",
        "It says nothing about the scheduler, so it counts as inconclusive, never as passed.",
        "Run the stage alone and report the error.",
    ),
)

#: Rules that the log of any engine is held against: `lineclear conform`.
CONFORM = tuple(
    Code(
        rule.code,
        f"a log breaks the rule {rule.name}",
        f"`lineclear conform`: violated by the log of an engine: {rule.sentence}.",
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
        "`lineclear explain LC401` prints what stands here.",
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
