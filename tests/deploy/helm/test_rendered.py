"""What the chart makes of values: closed by default, and no secret in anything but Secrets."""

import json
from typing import Any

import helm_python as helm
import pytest
import yaml  # type: ignore[import-untyped]

from cluster_settings import KubernetesSettings
from settings import Settings
from tests.deploy.helm import chart

WORKLOADS = ("Deployment", "StatefulSet", "Job")
ENDS = ("api", "control", "plane-main")


@pytest.mark.parametrize("name", chart.SETS)
def test_names_are_used_once(name: str) -> None:
    found = chart.rendered(chart.SETS[name])
    named = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in found]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("name", chart.SETS)
def test_nothing_of_ours_may_more_than_it_must(name: str) -> None:
    for one in chart.rendered(chart.SETS[name]):
        if one["kind"] not in WORKLOADS:
            continue
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        works = one["metadata"]["name"].startswith(f"{chart.RELEASE}-graphyard-plane-")
        assert pod["automountServiceAccountToken"] is False or works
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


def test_nothing_is_made_at_the_cluster_s_scope_unless_asked() -> None:
    asked = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
    assert not asked & {one["kind"] for one in chart.rendered(chart.TEMPORAL_CLOUD)}
    assert not asked & {one["kind"] for one in chart.rendered(chart.HYBRID)}
    nodes = chart.find(chart.rendered(chart.PRODUCTION), "ClusterRole", "nodes")
    assert nodes["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}]


def test_to_the_lone_pods_of_an_evaluation_their_services_lead_always() -> None:
    found = chart.rendered(chart.EVALUATION)
    for name in ("postgres", "temporal"):
        assert chart.find(found, "Service", f"-{name}")["spec"]["publishNotReadyAddresses"] is True


def test_a_production_install_makes_no_secret() -> None:
    assert not [one for one in chart.rendered(chart.PRODUCTION) if one["kind"] == "Secret"]


def test_what_is_made_once_stays_when_the_release_goes() -> None:
    found = chart.rendered(chart.EVALUATION)
    for name in ("sealing", "bootstrap"):
        secret = chart.find(found, "Secret", name)
        assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_schema_goes_first_where_postgres_is_there_before() -> None:
    hook = chart.find(chart.rendered(chart.PRODUCTION), "Job", "migrations")
    assert hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    # A hook runs before anything of the release exists.
    assert set(chart.variables(hook)) == {"GRAPHYARD_DATABASE_URL"}
    assert "serviceAccountName" not in hook["spec"]["template"]["spec"]
    assert not [
        one
        for one in chart.rendered(chart.EVALUATION)
        if "helm.sh/hook" in one["metadata"].get("annotations", {})
    ]


@pytest.mark.parametrize("end", ENDS)
def test_every_variable_is_one_that_is_read(end: str) -> None:
    known = {f"GRAPHYARD_{name}".upper() for name in Settings.model_fields}
    known |= {f"GRAPHYARD_KUBERNETES_{name}".upper() for name in KubernetesSettings.model_fields}
    given = chart.variables(chart.find(chart.rendered(chart.PRODUCTION), "Deployment", end))
    assert given.keys() <= known


@pytest.mark.parametrize("name", chart.SETS)
def test_settings_take_what_workers_are_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in chart.rendered(chart.SETS[name]):
        if one["kind"] != "Deployment":
            continue
        with monkeypatch.context() as patch:
            for variable, value in chart.variables(one).items():
                patch.setenv(variable, value if isinstance(value, str) else '{"main": "a"}')
            settings = Settings()
            assert settings.plane in settings.kinds
            assert str(settings.plane_kind) == "kubernetes" or "plane" not in one["metadata"]["name"]
            KubernetesSettings()


def test_planes_are_told_where_they_are_and_what_is_theirs() -> None:
    found = chart.rendered(chart.PRODUCTION)
    main = chart.variables(chart.find(found, "Deployment", "plane-main"))
    far = chart.variables(chart.find(found, "Deployment", "plane-far"))
    assert main["GRAPHYARD_KUBERNETES_BUILD_NAMESPACE"] == "builds"
    assert "GRAPHYARD_KUBERNETES_KUBECONFIG" not in main
    assert far["GRAPHYARD_KUBERNETES_KUBECONFIG"] == "/etc/graphyard/kubeconfig/kubeconfig"
    # A door is opened where callers are told that it is.
    assert main["GRAPHYARD_PUBLIC_URL"] == "https://agents.example.org"
    assert far["GRAPHYARD_PUBLIC_URL"] == "https://far.example.org"
    assert main["GRAPHYARD_PLANE_TOKEN"] == {"secretKeyRef": {"name": "tokens", "key": "main"}}
    assert far["GRAPHYARD_PLANE_TOKEN"] == {"secretKeyRef": {"name": "tokens", "key": "far"}}
    assert main["GRAPHYARD_TEMPORAL_TLS_CERT"] == "/etc/graphyard/temporal/tls.crt"
    for end in ("api", "control"):
        told = chart.variables(chart.find(found, "Deployment", end))
        assert json.loads(told["GRAPHYARD_PLANES"]) == {"main": "kubernetes", "far": "kubernetes"}
        assert told["GRAPHYARD_PUBLIC_URL"] == "https://agents.example.org"
        assert json.loads(told["GRAPHYARD_PLANE_URLS"]) == {"far": "https://far.example.org"}
    # Neither sees what only the other needs.
    assert not {"GRAPHYARD_DATABASE_URL", "GRAPHYARD_PLANE_TOKENS", "GRAPHYARD_BOOTSTRAP_KEY"} & main.keys()
    assert not [
        name for name in chart.variables(chart.find(found, "Deployment", "api")) if "KUBERNETES" in name
    ]


def test_a_plane_of_another_cluster_has_no_rights_in_this_one() -> None:
    roles = [one for one in chart.rendered(chart.PRODUCTION) if one["kind"] in ("Role", "RoleBinding")]
    assert {one["metadata"]["namespace"] for one in roles} == {"agents", "builds"}
    assert {one["metadata"]["name"] for one in roles} == {"gy-graphyard-plane-main"}
    pod = chart.find(chart.rendered(chart.PRODUCTION), "Deployment", "plane-far")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False


def test_an_ingress_names_a_host_and_no_address() -> None:
    def rule(values: dict[str, Any]) -> dict[str, Any]:
        ingress = chart.find(chart.rendered(values), "Ingress", "graphyard")
        first: dict[str, Any] = ingress["spec"]["rules"][0]
        return first

    assert rule(dict(chart.PRODUCTION))["host"] == "agents.example.org"
    for url in ("http://127.0.0.1:8880", "http://[::1]:8880"):
        assert "host" not in rule({**chart.EVALUATION, "publicUrl": url})


def test_the_internal_door_is_behind_no_public_one() -> None:
    found = chart.rendered(chart.PRODUCTION)
    public = chart.find(found, "Ingress", "gy-graphyard")
    assert "internal" not in yaml.safe_dump(public["spec"])
    assert [one["targetPort"] for one in chart.find(found, "Service", "-api")["spec"]["ports"]] == ["http"]


def test_measures_are_read_at_the_internal_door_by_whoever_may() -> None:
    """The public one does not answer `/metrics`."""
    found = chart.rendered(chart.PRODUCTION)
    for end, door in (("api", "internal"), ("workers", "health")):
        monitor = chart.find(found, "ServiceMonitor", end)["spec"]
        assert [(one["port"], one["path"]) for one in monitor["endpoints"]] == [(door, "/metrics")]
        led = [
            one
            for one in found
            if one["kind"] == "Service"
            and monitor["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
        ]
        assert [[port["name"] for port in one["spec"]["ports"]] for one in led] == [[door]]
        rules = chart.find(found, "NetworkPolicy", end)["spec"]["ingress"]
        watching = [rule for rule in rules if "watching" in yaml.safe_dump(rule)]
        assert [[port["port"] for port in rule["ports"]] for rule in watching] == [[door]]


NONSENSE: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown value": ({"databse": {}}, "additional properties 'databse' not allowed"),
    "an unknown value of a plane": (
        {"planes": [{"name": "a", "namespace": "b", "regsitry": {}}]},
        "additional properties 'regsitry' not allowed",
    ),
    "no plane": ({"planes": []}, "minItems"),
    "a plane without a namespace": ({"planes": [{"name": "a"}]}, "missing property 'namespace'"),
    "a plane's name with a dot": ({"planes": [{"name": "a.b", "namespace": "c"}]}, "does not match pattern"),
    "a public path": ({"publicUrl": "https://example.org/agents"}, "/publicUrl"),
    "a scheme towards Temporal": ({"temporal": {"address": "https://t:7233"}}, "/temporal/address"),
    "a password in values": ({"database": {"password": "secret"}}, "'password' not allowed"),
    "replicas below none": ({"api": {"replicas": -1}}, "/api/replicas"),
    "a variable of nobody": ({"settings": {"env": {"PATH": "x"}}}, "'PATH' does not match pattern"),
    "no records": (
        {"evaluation": {"enabled": False}, "temporal": {"address": "t:1"}},
        "database.existingSecret is empty",
    ),
    "no Temporal": (
        {"evaluation": {"enabled": False}, "database": {"existingSecret": "a"}},
        "temporal.address is empty",
    ),
    "the release's own namespace": (
        {"planes": [{"name": "a", "namespace": chart.NAMESPACE}]},
        "is in the release's own namespace",
    ),
    "a namespace for two": (
        {"planes": [{"name": "a", "namespace": "x"}, {"name": "b", "namespace": "x"}]},
        "is used twice",
    ),
    "a name for two": (
        {"planes": [{"name": "a", "namespace": "x"}, {"name": "a", "namespace": "y"}]},
        "is there twice",
    ),
    "databases of nobody": (
        {
            "evaluation": {"enabled": False},
            "database": {"existingSecret": "a"},
            "temporal": {"address": "t:1"},
        },
        "has shared databases",
    ),
    "no registry": ({"planeDefaults": {}}, "has no registry.address"),
    "half a hybrid": (
        {
            "evaluation": {"enabled": False},
            "temporal": {"address": "t:1"},
            "controlPlane": {"enabled": False},
        },
        "must name those of the control plane",
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_with_a_sentence(name: str) -> None:
    values, sentence = NONSENSE[name]
    with pytest.raises(helm.HelmError, match=r"(?s).") as refused:
        chart.rendered({**chart.EVALUATION, **values})
    assert sentence in str(refused.value)


def test_the_chart_has_this_release_s_version() -> None:
    project = (chart.PLACE.parents[2] / "pyproject.toml").read_text()
    about = yaml.safe_load((chart.PLACE / "Chart.yaml").read_text())
    assert f'version = "{about["appVersion"]}"' in project
    assert about["version"] == about["appVersion"]


def test_helm_finds_nothing_to_object_to() -> None:
    report = helm.lint(chart.PLACE, dict(chart.EVALUATION), namespace=chart.NAMESPACE)
    assert not [one for one in report["messages"] if one["severity"] in ("ERROR", "WARNING")], report
