"""A benchmark's figures: measured in one run, compared with each other, printed as one table.

The machines this runs on are shared and noisy, so what counts is the ratio of two things done side by side
in the same run; absolute times are printed only so that a reader can imagine them.
"""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None


def seconds(values: list[float]) -> str:
    """Minimum, median and maximum, for a person."""
    if len(values) == 1:
        return f"{values[0]:.2f} s"
    return f"{statistics.median(values):.2f} s ({min(values):.2f}–{max(values):.2f}, n={len(values)})"


def ratio(what: str, ours: list[float], base: list[float], target: float) -> Row:
    """Median against median, with both sides' times beside it."""
    quotient = statistics.median(ours) / statistics.median(base)
    return Row(
        what=what,
        figure=f"{quotient:.2f}  ({seconds(ours)} against {seconds(base)})",
        target=f"≤ {target}",
        met=quotient <= target,
    )


def quantiles(values: list[float]) -> str:
    """p50 and p95 in milliseconds."""
    ordered = sorted(values)
    half, most = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
    return f"p50 {half * 1000:.1f} ms, p95 {most * 1000:.1f} ms (n={len(ordered)})"


def markdown(rows: list[Row]) -> str:
    lines = ["| what | figure | target | |", "| --- | --- | --- | --- |"]
    for row in rows:
        mark = "" if row.met is None else ("met" if row.met else "missed")
        lines.append(f"| {row.what} | {row.figure} | {row.target} | {mark} |")
    return "\n".join(lines)
