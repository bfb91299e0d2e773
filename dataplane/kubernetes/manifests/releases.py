"""Fields that came with a release: where a cluster is older they are left out, for it would refuse or drop them."""

from dataplane.kubernetes.kinds import Served


def since(served: Served, major: int, minor: int) -> bool:
    """Whether a cluster is of this release or a later one (`v1.27.3`, or `v1.27+` as some clouds say it)."""
    first, second = served.release.removeprefix("v").split(".")[:2]
    return (int(first), int("".join(filter(str.isdigit, second)))) >= (major, minor)
