"""How much of a node a server asks for and may use."""

from collections.abc import Mapping
from typing import Any

from workflows.shapes import Wish

CPU = 0.25
MEMORY_MB = 512
MOST_MEMORY_MB = 2048
"""What a server may use that was given no bounds; it needs some three hundred before the project loads."""
BURST = 2
"""How much more cpu than it asks for it may use: starting is the dearest thing that a server does."""


def quantities(wish: Wish) -> dict[str, Any]:
    """Requests and limits of the server's own container."""
    asked = wish.resources
    cpu = asked.cpu or min(CPU, asked.cpu_limit or CPU)
    most_cpu = asked.cpu_limit or cpu * BURST
    wanted = asked.memory_mb or wish.memory_mb
    most = asked.memory_limit_mb or wanted or MOST_MEMORY_MB
    memory = min(wanted or MEMORY_MB, most)
    return {
        "requests": {"cpu": _cores(cpu), "memory": f"{memory}Mi"},
        "limits": {"cpu": _cores(most_cpu), "memory": f"{most}Mi"},
    }


def written(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A user's own requests and limits with each amount as text: an older API server takes no numbers there."""
    return {
        part: {name: _text(amount) for name, amount in amounts.items()}
        if isinstance(amounts, Mapping)
        else amounts
        for part, amounts in asked.items()
    }


def _text(amount: Any) -> Any:
    return str(amount) if isinstance(amount, int | float) else amount


def _cores(value: float) -> str:
    return f"{round(value * 1000)}m"
