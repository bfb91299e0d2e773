"""Helm's verbs for `try.sh`, by the library that tests use: a stranger needs no `helm` on his PATH.

chart.py install RELEASE NAMESPACE VALUES...      installs, or upgrades what is there
chart.py uninstall RELEASE NAMESPACE
"""

import sys
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml  # type: ignore[import-untyped]

CHART = Path(__file__).parents[1] / "helm" / "graphyard"
SECONDS = 120


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Values over values, as `helm -f` lays them."""
    return below | {
        name: merged(below[name], value)
        if isinstance(value, dict) and isinstance(below.get(name), dict)
        else value
        for name, value in above.items()
    }


def main(verb: str, release: str, namespace: str, *files: str) -> None:
    values: dict[str, Any] = {}
    for one in files:
        values = merged(values, yaml.safe_load(Path(one).read_text()) or {})
    with helm.Config(namespace=namespace) as config:
        if verb == "uninstall":
            said = config.uninstall(release, timeout=SECONDS, ignore_not_found=True)
            print(said.get("info", ""))
            return
        try:
            config.history(release)
        except helm.HelmNotFoundError:
            done = config.install(str(CHART), release, values, create_namespace=True, timeout=SECONDS)
        else:
            done = config.upgrade(str(CHART), release, values, timeout=SECONDS)
        print(done.get("notes", ""))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except helm.HelmError as error:
        sys.exit(f"chart: {error}")
