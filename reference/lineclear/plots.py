"""Pictures of a comparison.

Guarantees: the files that it names exist when it returns. It knows nothing about how the runs were
made. matplotlib comes with the extra `plot`.
"""

# pyright: basic

from __future__ import annotations

import os
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lineclear.compare import Row

__all__ = ["draw"]

matplotlib.use("agg")


def draw(rows: list[Row], folder: str) -> list[str]:
    """Draws every picture; their paths.

    Raises:
        OSError: the folder cannot be made or written.
    """
    os.makedirs(folder, exist_ok=True)
    made = [
        distributions(rows, os.path.join(folder, "latency.svg")),
        timeline(rows, os.path.join(folder, "timeline.svg")),
    ]
    if any(len(row.service.tenants) > 1 for row in rows):
        made.append(service(rows, os.path.join(folder, "service.svg")))
    return made


def save(figure: Any, path: str) -> str:
    """Writes it without a date, so that the same run draws the same file."""
    figure.tight_layout()
    matplotlib.rcParams["svg.hashsalt"] = "lineclear"
    figure.savefig(path, metadata={"Date": None})
    return path


def distributions(rows: list[Row], path: str) -> str:
    """How many requests had their first token, and each further one, within a time."""
    figure = Figure(figsize=(10, 4))
    axes = figure.subplots(1, 2)
    for row in rows:
        done = [t for t in row.times.values() if t.finished is not None and t.first_token]
        first = sorted(t.first_token - t.arrived for t in done)
        later = sorted(
            (t.last_token - t.first_token) / (t.longest - 1) for t in done if t.longest > 1
        )
        for axis, values in zip(axes, (first, later), strict=True):
            share = [(k + 1) / len(values) for k in range(len(values))]
            axis.step(values, share, where="post", label=row.policy)
    for axis, title in zip(axes, ("time to first token, s", "time per token, s"), strict=True):
        axis.set_xlabel(title)
        axis.set_ylabel("share of requests")
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
    axes[0].legend()
    return save(figure, path)


def timeline(rows: list[Row], path: str) -> str:
    """Each request as a line: grey while it waits, dark from its first step to its end."""
    figure = Figure(figsize=(10, 2.6 * len(rows)))
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        for k, t in enumerate(row.times.values()):
            end = t.finished
            start = t.scheduled
            if start is None or end is None:
                continue
            axis.plot([t.arrived, start], [k, k], color="0.8", linewidth=0.6)
            axis.plot([start, end], [k, k], color="tab:blue", linewidth=0.6)
            if t.preemptions:
                axis.plot([end], [k], ".", color="tab:red", markersize=2)
        axis.set_ylabel(f"{row.policy}\nrequest")
    axes[-1, 0].set_xlabel("seconds; grey waits, blue from first step to end, red was preempted")
    return save(figure, path)


def service(rows: list[Row], path: str) -> str:
    """What each tenant got over time, and the bound around the most that anybody got."""
    figure = Figure(figsize=(10, 3.2 * len(rows)))
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        for k in range(len(row.service.tenants)):
            curve = [values[k] for values in row.service.curves]
            axis.plot(row.service.moments, curve, linewidth=0.8)
        if row.bound is not None:
            most = [max(values) for values in row.service.curves]
            floor = [value - row.bound for value in most]
            axis.plot(
                row.service.moments, floor, "k--", linewidth=0.8, label="bound below the first"
            )
            axis.set_ylim(bottom=0)
            axis.legend()
        axis.set_ylabel(f"{row.policy}\nservice")
    axes[-1, 0].set_xlabel("seconds")
    return save(figure, path)
