"""The chart as tests handle it: rendered by a real Helm, with the values that people would give it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml  # type: ignore[import-untyped]
from helm_python import _native

PLACE = Path(__file__).parents[3] / "deploy" / "helm" / "graphyard"
ONE_NODE = PLACE.parents[1] / "kubernetes" / "one-node.yaml"
RELEASE = "gy"
NAMESPACE = "gy-system"

Values = Mapping[str, Any]


def on_one_node(values: Values) -> dict[str, Any]:
    """These values, with whatever else the tests' cluster wants: several releases at once on a few cores."""
    return merged(yaml.safe_load(ONE_NODE.read_text()), values)


def merged(under: Values, over: Values) -> dict[str, Any]:
    """Both, mappings in depth as Helm does it; what `over` says counts."""
    both = {**under, **over}
    for name in under.keys() & over.keys():
        if isinstance(under[name], Mapping) and isinstance(over[name], Mapping):
            both[name] = merged(under[name], over[name])
    return both


OF_REGISTRY: Values = {"registry": {"address": "registry.example.org/agents"}}
EVALUATION: Values = {"evaluation": {"enabled": True}, "planeDefaults": OF_REGISTRY}
PRODUCTION: Values = {
    "publicUrl": "https://agents.example.org",
    "image": {
        "repository": "registry.example.org/graphyard",
        "digest": f"sha256:{'1' * 64}",
        "pullSecrets": ["pull"],
    },
    "database": {"existingSecret": "records"},
    "temporal": {
        "address": "temporal.example.org:7233",
        "namespace": "graphyard",
        "tls": {"existingSecret": "temporal-mtls", "serverName": "temporal.example.org"},
    },
    "sealing": {"existingSecret": "sealing"},
    "bootstrap": {"existingSecret": "first-key"},
    "planeTokens": {"existingSecret": "tokens"},
    "api": {
        "replicas": 3,
        "ingress": {"className": "nginx", "tlsSecret": "agents-tls"},
        "internalIngress": {"enabled": True, "host": "internal.example.org", "tlsSecret": "internal-tls"},
        "registry": {"url": "https://registry.example.org/push", "existingSecret": "push"},
    },
    "control": {"replicas": 2},
    "planes": [
        {
            "name": "main",
            "namespace": "agents",
            "buildNamespace": "builds",
            "rbac": {"nodes": True},
            "registry": {
                "address": "registry.example.org/agents",
                "existingSecret": "registry",
                "pullSecret": "pull",
            },
            "images": {"servers": {"pg-3.11": "registry.example.org/server@sha256:2"}},
            "databases": {"existingSecret": "agents-postgres"},
            "door": {"gateway": "gateways/public"},
        },
        {
            "name": "far",
            "namespace": "agents",
            "kubeconfig": {"existingSecret": "far-cluster"},
            "registry": {"address": "far.example.org/agents"},
            "databases": {"mode": "dedicated", "instances": 3},
            "url": "https://far.example.org",
        },
    ],
    "metrics": {"serviceMonitor": {"enabled": True}},
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"team": "watching"}}}]},
}
TEMPORAL_CLOUD: Values = {
    "planeDefaults": OF_REGISTRY,
    "database": {"existingSecret": "records"},
    "temporal": {
        "address": "eu.tmprl.cloud.example:7233",
        "tls": {"enabled": True},
        "apiKey": {"existingSecret": "cloud"},
    },
    "planes": [{"name": "main", "namespace": "agents", "databases": {"mode": "dedicated"}}],
}
HYBRID: Values = {
    "planeDefaults": OF_REGISTRY,
    "controlPlane": {"enabled": False},
    "apiUrl": "https://internal.example.org",
    "apiCa": {"existingSecret": "house-ca"},
    "temporal": {"address": "temporal.example.org:7233", "tls": {"existingSecret": "temporal-mtls"}},
    "sealing": {"existingSecret": "sealing"},
    "planeTokens": {"existingSecret": "tokens"},
    "planes": [{"name": "ours", "namespace": "agents", "databases": {"mode": "dedicated"}}],
}
KEPT: Values = {
    "planeDefaults": OF_REGISTRY,
    "evaluation": {"enabled": True, "persistence": {"enabled": True, "storageClass": "local"}},
    "networkPolicy": {"enabled": False},
    "api": {"ingress": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    "metrics": {"serviceMonitor": {"enabled": False}},
}
SETS = {
    "evaluation": EVALUATION,
    "production": PRODUCTION,
    "temporal cloud": TEMPORAL_CLOUD,
    "hybrid": HYBRID,
    "kept": KEPT,
}


def objects(files: Mapping[str, str]) -> list[dict[str, Any]]:
    """What a rendering makes, hooks and all."""
    said = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    return [one for text in said for one in yaml.safe_load_all(text) if one]


def rendered(values: Values, *, namespace: str = NAMESPACE, release: str = "") -> list[dict[str, Any]]:
    """By Helm alone, for that release of Kubernetes or for the newest that it knows."""
    with helm.Chart.load(PLACE) as chart:
        if not release:
            return objects(chart.render(dict(values), name=RELEASE, namespace=namespace))
        # Helm's own library can be told; what wraps it has no word for that.
        options = {"name": RELEASE, "namespace": namespace, "kube_version": release}
        said = _native.call_string("helm_render", chart._raw(), json.dumps(dict(values)), json.dumps(options))
        return objects(json.loads(said))


def rendered_for(config: "helm.Config", values: Values, *, namespace: str) -> list[dict[str, Any]]:
    """For the cluster that is there."""
    with helm.Chart.load(PLACE) as chart:
        return objects(config.render(chart, dict(values), name=RELEASE, namespace=namespace))


def find(found: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one object of that kind whose name ends so."""
    fitting = [one for one in found if one["kind"] == kind and one["metadata"]["name"].endswith(name)]
    assert len(fitting) == 1, (kind, name, [one["metadata"]["name"] for one in fitting])
    return fitting[0]


def variables(workload: Mapping[str, Any]) -> dict[str, Any]:
    """What the only container of a workload is given: a value each, or where it comes from."""
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}
