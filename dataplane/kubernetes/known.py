"""What the watch knows of a cluster, as last told: a few words of each object, by kind and name."""

import hashlib
from collections.abc import Iterator, Mapping
from uuid import UUID

from dataplane.kubernetes.feed import Changed, Listed
from dataplane.kubernetes.traces import Trace, trace

MAKERS = {"server": ("Deployment",), "redis": ("StatefulSet",), "postgres": ("StatefulSet", "Cluster")}
"""By a pod's role, what kind of object has it made."""


class Known:
    """All of one plane that leaves a trace."""

    def __init__(self) -> None:
        self.owners: dict[str, UUID] = {}
        """By the eight digits; they outlive what told of them."""
        self._traces: dict[str, dict[str, Trace]] = {}

    def take(self, kind: str, heard: Changed | Listed) -> Iterator[tuple[Trace | None, Trace | None]]:
        """Note what was heard; whatever it changes, before and after, one by one as it is noted."""
        known = self._traces.setdefault(kind, {})
        if isinstance(heard, Changed):
            told = trace(heard.object)
            changed = [(told.name, None if heard.gone else told)]
        else:
            there = {one.name: one for one in map(trace, heard.objects)}
            changed = [(name, there.get(name)) for name in known.keys() | there.keys()]
        for name, one in changed:
            before = known.get(name)
            if before == one:
                continue
            if one is None:
                del known[name]
            else:
                known[name] = one
                if one.owner is not None:
                    self.owners[one.short] = one.owner
            yield before, one

    def wanted(self, pod: Trace) -> bool:
        """Whether somebody misses a pod: one of a revision that serves nobody is a rollout's affair, and one
        whose maker is gone or going was not lost for itself."""
        maker = pod.name.rpartition("-")[0]
        if pod.role == "server":
            maker = f"server-{pod.short}-{pod.revision}"
            services = self._traces.get("Service", {}).values()
            if not any(one.short == pod.short and one.leads == pod.revision for one in services):
                return False
        makers = [self._traces.get(kind, {}).get(maker) for kind in MAKERS.get(pod.role, ())]
        return any(one is not None and not one.ending for one in makers)

    def marks(self, listed: Mapping[str, str]) -> dict[str, tuple[UUID, str]]:
        """By the eight digits: whose it is, and a text that changes with whatever of it is known."""
        said: dict[str, list[str]] = {}
        for kind in sorted(self._traces):
            for name, one in sorted(self._traces[kind].items()):
                if one.short in self.owners:
                    life = one.life and (one.life.ready, one.life.restarts)
                    said.setdefault(one.short, []).append(f"{kind} {name} {one.mark} {life}")
        marks = {}
        for short, parts in said.items():
            text = "\n".join([*parts, listed.get(short, "")])
            marks[short] = self.owners[short], hashlib.sha256(text.encode()).hexdigest()[:16]
        return marks
