"""What a refutation is, and the list of them.

Guarantees: `show` returns only if the property was seen to fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TextIO

from lineclear.config import Config
from lineclear.evidence.refutations import descending, ordering, presets, sharing, starving
from lineclear.evidence.refutations.drive import Drive

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was seen in a run.

    Attributes:
        sentence: in words, with the numbers of the run.
        figures: the numbers.
        steps: calls of `schedule`.
    """

    sentence: str
    figures: Figures
    steps: int


@dataclass(frozen=True, slots=True)
class Refutation:
    """One property that one policy or preset does not have.

    Attributes:
        policy: name of the policy or preset.
        fails: P1 to P13.
        what: what fails, without numbers.
        config: settings of the run.
        script: drives the run, and returns the sentence and the numbers.
        about: the row of table D of the lesson's systems, if it is one.
    """

    policy: str
    fails: str
    what: str
    config: Config
    script: Callable[[Drive], tuple[str, Figures]]
    about: str = ""

    @property
    def name(self) -> str:
        """As tools print it, and as files are called."""
        return f"{self.policy}.{self.fails}{f'.{self.about}' if self.about else ''}"

    def show(self, journal: TextIO | None = None, policy: str | None = None) -> Demonstration:
        """Runs it.

        Args:
            journal: where every action is written.
            policy: another one in its place, to see that the check notices.

        Raises:
            NotShown: the property does not fail in this run.
        """
        config = self.config
        if policy is not None:
            config = replace(config, scheduling_policy=policy, policy_options=())
        drive = Drive(config, journal)
        sentence, figures = self.script(drive)
        drive.end()
        return Demonstration(sentence, figures, len(drive.rows))


def made() -> tuple[Refutation, ...]:
    """All of them, by policy and property."""
    found: list[Refutation] = []
    for policy, what, config, script in starving.SCRIPTS:
        found.append(Refutation(policy, "P7", what, config, script))
    for policy, what, config, script in descending.SCRIPTS:
        found.append(Refutation(policy, "P6b", what, config, script))
    for policy, name, what, config, script in (*ordering.SCRIPTS, *sharing.SCRIPTS):
        found.append(Refutation(policy, name, what, config, script))
    for preset, name, about, what, config, script in presets.SCRIPTS:
        found.append(Refutation(preset, name, what, config, script, about))
    return tuple(found)


REFUTATIONS: tuple[Refutation, ...] = made()


def find(name: str) -> Refutation:
    """The refutation of that name.

    Raises:
        ValueError: there is none; the message is one line.
    """
    for refutation in REFUTATIONS:
        if refutation.name == name:
            return refutation
    known = ", ".join(refutation.name for refutation in REFUTATIONS)
    raise ValueError(f"there is no refutation {name!r}; known are {known}")
