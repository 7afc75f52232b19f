"""The scope of a search: its requests, its sizes, and what the environment may do.

Guarantees: two searches with equal bounds visit equal states.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from lineclear.config import Config, ConfigError
from lineclear.policies import BUILT_IN, make

#: Policies of which `orders.py` knows what of them belongs to a state.
KNOWN_POLICIES = tuple(BUILT_IN)
#: What a saved world means that does not name a setting, where that is not the default of today.
UNSAID: Mapping[str, Any] = {"long_prefill_token_threshold": 0}
#: Fields that are not written where they say nothing.
SPARSE = ("family", "later", "readers")


@dataclass(frozen=True, slots=True)
class RequestShape:
    """A request that may arrive.

    Attributes:
        prompt: tokens of the prompt.
        most: tokens to generate at most.
        n: sequences it may have at once.
        priority: higher is more important.
        tenant: whom it is charged to.
        slack: arrivals after its own by which it should be done, if it has a deadline.
        family: with prefix caching, prompts of one family have the same tokens; 0 for none.
        later: whether it may fork later, and so keeps its seats.
        guess: tokens that it is said to generate, if that is said.
    """

    prompt: int
    most: int
    n: int = 1
    priority: int = 0
    tenant: str | None = None
    slack: float | None = None
    family: int = 0
    later: bool = False
    guess: int | None = None

    def __str__(self) -> str:
        """As it is written on the command line, and then what can't be written there."""
        parts = (
            f"{self.prompt}+{self.most}",
            f"x{self.n}" * (self.n > 1),
            f"p{self.priority}" * bool(self.priority),
            "" if self.tenant is None else f"@{self.tenant}",
            "" if self.slack is None else f"<{self.slack:g}",
            f"~{self.family}" * bool(self.family),
            " may fork later" * self.later,
            "" if self.guess is None else f" guessed {self.guess}",
        )
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class SearchBounds:
    """Scope of one search; printed with every result.

    Attributes:
        name: for people.
        config: of the scheduler.
        shapes: requests that may arrive, again and again.
        live: requests that may be live at once; there is no limit to how many follow each other.
        arrivals: requests that may arrive in all; None for no limit.
        stops: whether a sampled token may end its sequence before its limit.
        aborts: whether a live request may be aborted, and the prefix cache be reset.
        fails: whether a copy may fail.
        late: whether copies may complete later than at once.
        readers: holds of blocks that readers outside may have at once.
        max_states: states beyond which the search gives up and says so.
        group: searches of one group are one line of a page.
    """

    name: str
    config: Config
    shapes: tuple[RequestShape, ...]
    live: int = 2
    arrivals: int | None = None
    stops: bool = True
    aborts: bool = True
    fails: bool = True
    late: bool = True
    readers: int = 0
    max_states: int = 200_000
    group: str = ""

    def __post_init__(self) -> None:
        """Refuses what cannot be searched.

        Raises:
            ConfigError: a bound leaves nothing to search, or nothing is known of how to relabel
                the states of the policy.
        """
        for name, least in (("live", 1), ("max_states", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ConfigError(
                    f"{name} must be a whole number of at least {least}, not {value!r}; with less "
                    "there is nothing to search"
                )
        if not self.shapes:
            raise ConfigError("shapes must name a request that may arrive")
        for shape in self.shapes:
            for name in ("prompt", "most", "n"):
                if (value := getattr(shape, name)) < 1:
                    raise ConfigError(f"request {shape}: {name} must be at least 1, not {value}")
        if not self.own and self.config.scheduling_policy not in KNOWN_POLICIES:
            raise ConfigError(
                f"explore knows no relabelling for the policy {self.config.scheduling_policy!r}: "
                f"choose one of {', '.join(KNOWN_POLICIES)}"
            )
        policy = make(self.config.scheduling_policy, dict(self.config.policy_options))
        if self.own:
            try:
                pickle.loads(pickle.dumps(policy))
            except Exception as error:
                raise ConfigError(
                    f"explore cannot copy the policy {self.config.scheduling_policy!r} "
                    f"({type(error).__name__}: {error}): keep in it what pickle can write down"
                ) from error

    @property
    def own(self) -> bool:
        """Whether the policy is one of which nothing is known: then what it remembers and what it is
        shown belong to a state, and a cycle counts only if it can be gone round again and again.
        """
        return ":" in self.config.scheduling_policy

    def as_dict(self) -> dict[str, Any]:
        """For JSON; of the configuration what differs from what a file leaves unsaid."""
        plain = replace(Config(), **UNSAID)
        changed = {
            field.name: getattr(self.config, field.name)
            for field in fields(Config)
            if getattr(self.config, field.name) != getattr(plain, field.name)
        }
        shapes = [
            {name: value for name, value in asdict(s).items() if value or name not in SPARSE}
            for s in self.shapes
        ]
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content |= {"config": changed, "shapes": shapes}
        del content["group"]
        return {name: value for name, value in content.items() if value or name not in SPARSE}
