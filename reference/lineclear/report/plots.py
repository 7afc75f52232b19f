"""Pictures of a comparison.

Guarantees: the files that it names exist when it returns, and the same rows draw the same files.
matplotlib comes with the extra `plot`.
"""

# pyright: basic

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import matplotlib
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lineclear.simulation.compare import PolicyRow
from lineclear.simulation.history import PHASES

matplotlib.use("agg")

COLOURS = {
    "waiting": "#d9d9d9",
    "prefill": "#f0a020",
    "decode": "#2a6fb0",
    "swapped": "#b04080",
}
#: Requests of one timeline; of more, evenly many are left out.
MOST_LINES = 150
#: Points of a curve; of more, evenly many are left out.
MOST_POINTS = 400


def draw(rows: list[PolicyRow], folder: str, suffix: str = "svg") -> list[str]:
    """Draws every picture; returns their paths.

    Args:
        rows: one for each policy.
        folder: where; it is made if it is not there.
        suffix: svg or png.

    Raises:
        OSError: the folder cannot be made or written.
    """
    os.makedirs(folder, exist_ok=True)

    def path(name: str) -> str:
        return os.path.join(folder, f"{name}.{suffix}")

    made = [
        distributions(rows, path("latency")),
        timeline(rows, path("timeline")),
        usage(rows, path("usage")),
    ]
    if any(len(row.service.tenants) > 1 for row in rows):
        made.append(service(rows, path("service")))
    return made


def save(figure: Any, path: str) -> str:
    """Writes it without a date, so that the same run draws the same file."""
    figure.tight_layout()
    matplotlib.rcParams["svg.hashsalt"] = "lineclear"
    figure.savefig(path, metadata={"Date": None} if path.endswith("svg") else {}, dpi=80)
    return path


def thinned(values: list[Any], most: int = MOST_POINTS) -> list[Any]:
    """At most so many of them, evenly spread, the last one among them."""
    if len(values) <= most:
        return values
    return [values[round(k * (len(values) - 1) / (most - 1))] for k in range(most)]


def distributions(rows: list[PolicyRow], path: str) -> str:
    """How many requests had their first token, and each further one, within a time."""
    figure = Figure(figsize=(10, 3.6))
    axes = figure.subplots(1, 2, sharey=True)
    for row in rows:
        done = [t for t in row.times.values() if t.finished is not None and t.first_token]
        first = sorted(t.first_token - t.arrived for t in done)
        later = sorted(
            (t.last_token - t.first_token) / (t.longest - 1) for t in done if t.longest > 1
        )
        for axis, values in zip(axes, (first, later), strict=True):
            share = [(k + 1) / len(values) for k in range(len(values))]
            points = thinned(list(zip(values, share, strict=True)))
            axis.step(*zip(*points, strict=True), where="post", label=row.policy)
    titles = ("time to first token (TTFT), s", "time per output token (TPOT), s")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_xlabel(title)
        axis.set_ylim(0, 1.02)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of requests")
    axes[0].legend(loc="lower right")
    return save(figure, path)


def spans(row: PolicyRow, phase: str) -> Iterator[list[tuple[float, float]]]:
    """Lines of one phase: a request on each line, in order of arrival."""
    lives = thinned(list(row.history.phases.values()), MOST_LINES)
    end = row.history.seconds
    for line, life in enumerate(lives):
        until = [moment for moment, _ in life[1:]] + [end]
        for (begin, name), stop in zip(life, until, strict=True):
            if name == phase:
                yield [(begin, line), (stop, line)]


def timeline(rows: list[PolicyRow], path: str) -> str:
    """Each request as a line through its phases."""
    figure = Figure(figsize=(10, 0.5 + 2.3 * len(rows)))
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        shown = min(MOST_LINES, len(row.history.phases))
        width = max(0.8, min(3.0, 150 / max(1, shown)))
        for phase in PHASES:
            axis.add_collection(
                LineCollection(list(spans(row, phase)), colors=COLOURS[phase], linewidths=width)
            )
        axis.set_ylim(shown, -1)
        axis.set_xlim(0, max(r.history.seconds for r in rows))
        axis.set_ylabel(f"{row.policy}\n{shown} of {len(row.history.phases):,} requests")
    axes[0, 0].legend(
        handles=[Patch(color=COLOURS[phase], label=phase) for phase in PHASES],
        ncols=len(PHASES), loc="lower left", bbox_to_anchor=(0, 1), frameon=False,
    )  # fmt: skip
    axes[-1, 0].set_xlabel("seconds; a request is a line, the first arrival on top")
    return save(figure, path)


def usage(rows: list[PolicyRow], path: str) -> str:
    """KV in use, and how many run and wait."""
    figure = Figure(figsize=(10, 5.4))
    pools, running, waiting = figure.subplots(3, 1, sharex=True)
    swaps = any(sample.cpu > 0 for row in rows for sample in row.history.samples)
    for row in rows:
        samples = thinned(row.history.samples)
        moments = [sample.moment for sample in samples]
        (line,) = pools.plot(
            moments, [100 * s.gpu for s in samples], linewidth=0.9, label=row.policy
        )
        if swaps:
            cpu = [100 * s.cpu for s in samples]
            pools.plot(moments, cpu, ":", color=line.get_color(), linewidth=0.9)
        running.plot(moments, [s.running for s in samples], linewidth=0.9)
        waiting.plot(moments, [s.waiting for s in samples], linewidth=0.9)
    pools.set_ylabel("KV in use, %" + ("\n(CPU dotted)" if swaps else ""))
    pools.set_ylim(0, 105)
    running.set_ylabel("running")
    waiting.set_ylabel("waiting\nor swapped")
    waiting.set_xlabel("seconds")
    for axis in (pools, running, waiting):
        axis.grid(alpha=0.3)
        axis.set_xlim(left=0)
    pools.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(rows), frameon=False)
    return save(figure, path)


def service(rows: list[PolicyRow], path: str) -> str:
    """What each tenant got, and by how much that differs between those who wait."""
    figure = Figure(figsize=(10, 0.8 + 2.4 * len(rows)))
    axes = figure.subplots(len(rows), 2, sharex=True, sharey="col", squeeze=False)
    for (left, right), row in zip(axes, rows, strict=True):
        picked = thinned(list(range(len(row.service.moments))))
        moments = [row.service.moments[k] for k in picked]
        for tenant in range(len(row.service.tenants)):
            left.plot(moments, [row.service.curves[k][tenant] for k in picked], linewidth=0.7)
        left.set_ylabel(f"{row.policy}\nservice of each tenant")
        left.grid(alpha=0.3)
        right.plot(moments, [row.service.gaps[k] for k in picked], linewidth=0.9)
        if row.bound is not None:
            right.axhline(row.bound, color="black", linestyle="--", linewidth=0.9)
            handle = Line2D([], [], color="black", linestyle="--", linewidth=0.9)
            right.legend([handle], ["proved bound"], loc="upper left")
        right.set_ylabel("greatest gap between\ntenants that wait")
        right.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
        axis.set_xlim(left=0)
    return save(figure, path)
