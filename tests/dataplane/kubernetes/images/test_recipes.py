"""From a project to its Dockerfile, its order and its Job: values only, no cluster."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from packaging.specifiers import SpecifierSet

from dataplane.images.powers import Powers
from dataplane.images.servers import PINNED
from dataplane.images.study import Study, study
from dataplane.kubernetes.images.dockerfile import Recipe, recipe
from dataplane.kubernetes.images.order import BAKE, FETCH, PUSH, Order, cacheable, job, secret
from dataplane.kubernetes.images.pythons import choose
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.site import Database, Door, Images, Registry, Site
from tests.dataplane.images.conftest import LIMITS, tar_of
from tests.dataplane.kubernetes.images.conftest import a_project
from tests.wishes import a_wish, an_archive
from workflows.causes import Code, Refused
from workflows.shapes import Flavour

BASE = f"registry.example/server@sha256:{'1' * 64}"
ALL = Powers(containers=True, node=True)
PIP = "[global]\nindex-url = https://me:hush@pypi.example/simple\n"


def studied(files: dict[str, str | bytes], powers: Powers = ALL, **archive: Any) -> Study:
    wanted = an_archive().model_copy(update=archive)
    return study(io.BytesIO(tar_of(files)), wanted, PINNED[Flavour.PG], LIMITS, lambda: False, powers)


def cooked(files: dict[str, str | bytes], powers: Powers = ALL, **archive: Any) -> Recipe:
    return recipe(studied(files, powers, **archive), an_archive().model_copy(update=archive), BASE, "3.11")


def test_the_official_text_on_our_base() -> None:
    made = cooked(a_project())
    lines = made.dockerfile.splitlines()
    assert lines[0] == f"FROM {BASE}"
    assert "ADD . /deps/project" in lines
    assert """ENV LANGSERVE_GRAPHS='{"agent": "/deps/project/agent.py:graph"}'""" in lines
    assert "RUN set -e; for dep in" in made.dockerfile
    assert lines[-1] == "USER 10001:10001"
    assert (made.root, made.contexts, made.secrets, made.layered) == (".", {}, {}, False)


def test_lines_of_a_dockerfile_come_before_the_source() -> None:
    made = cooked(a_project({"dockerfile_lines": ["RUN apt-get install -y jq"]}))
    text = made.dockerfile
    assert text.index("apt-get install") < text.index("ADD . /deps/project")
    assert made.layered


def test_quotes_do_not_end_a_setting() -> None:
    graph = {"path": "./agent.py:graph", "description": "it's 'fine'"}
    (line,) = [
        one
        for one in cooked(a_project({"graphs": {"agent": graph}})).dockerfile.splitlines()
        if "SERVE_GRAPHS" in one
    ]
    told = line.removeprefix("ENV LANGSERVE_GRAPHS='").removesuffix("'")
    assert "'" not in told
    assert json.loads(told)["agent"]["description"] == "it's 'fine'"


def test_private_registries_are_in_no_layer() -> None:
    made = cooked(a_project({"pip_config_file": "pip.conf"}, **{"pip.conf": PIP}))
    assert "hush" not in made.dockerfile
    assert "ADD pip.conf" not in made.dockerfile
    (line,) = [one for one in made.dockerfile.splitlines() if "for dep in" in one]
    assert "--mount=type=secret,id=registry,target=/run/secrets/registry" in line
    assert "hush" in made.secrets["registry"]
    assert made.secrets["pipconfig"] == PIP


def test_a_dependency_beside_the_config() -> None:
    files = {f"app/{name}": text for name, text in a_project({"dependencies": [".", "../lib"]}).items()}
    files["lib/pyproject.toml"] = '[project]\nname = "lib"\nversion = "1"\n'
    made = cooked(files, config_path="app/langgraph.json")
    assert (made.root, made.contexts) == ("app", {"lib": "lib"})
    assert "COPY --from=lib . /deps/lib" in made.dockerfile


def node(**config: Any) -> dict[str, str | bytes]:
    raw = {"node_version": "20", "graphs": {"agent": "./agent.ts:graph"}, **config}
    return {"agent.ts": "export const graph = 1", "package.json": "{}", "langgraph.json": json.dumps(raw)}


def test_javascript() -> None:
    made = cooked(node())
    assert made.dockerfile.startswith(f"FROM {BASE}\n")
    assert "RUN npm i" in made.dockerfile
    assert '"/deps/project/agent.ts:graph"' not in made.dockerfile
    own = cooked(node(), install_command="npm ci --quiet", build_command="npm run compile")
    assert "RUN npm ci --quiet" in own.dockerfile
    assert "RUN npm run compile" in own.dockerfile


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (node(), "JavaScript"),
        (a_project({"node_version": "20"}), "node_version"),
        (a_project({"ui": {"agent": "./ui.tsx"}}), "ui cannot"),
        (a_project({"base_image": "me/base"}), "builds on its own"),
    ],
)
def test_what_a_plane_without_node_refuses(files: dict[str, str | bytes], says: str) -> None:
    with pytest.raises(Refused) as caught:
        studied(files, Powers(containers=True))
    assert caught.value.cause.code is Code.NOT_ON_THIS_PLANE
    assert says in caught.value.cause.message


SERVERS = ("pg-3.11", "pg-3.12", "inmem-3.11")


@pytest.mark.parametrize(
    ("declared", "needs", "wanted"),
    [
        (None, "", "3.12"),
        ("3.11", "", "3.11"),
        (None, "<3.12", "3.11"),
        (None, ">=3.11.4", "3.12"),
        ("3.11", ">=3.11.4", "3.11"),
    ],
)
def test_pythons(declared: str | None, needs: str, wanted: str) -> None:
    assert choose(Flavour.PG, declared, SpecifierSet(needs), SERVERS) == wanted


@pytest.mark.parametrize(("declared", "needs"), [("3.13", ""), (None, ">=3.13"), ("3.11", ">=3.12")])
def test_pythons_that_are_not_there(declared: str | None, needs: str) -> None:
    with pytest.raises(Refused) as caught:
        choose(Flavour.PG, declared, SpecifierSet(needs), SERVERS)
    assert caught.value.cause.code is Code.PYTHON_UNAVAILABLE


WISH = a_wish(deployment_id=UUID("0badc0de-0000-4000-8000-000000000000"), number=7)


def site(**registry: Any) -> Site:
    return Site(
        plane="test",
        namespace="servers",
        build_namespace="builds",
        kubeconfig=None,
        keys=Path("keys"),
        registry=Registry(address="registry.example/gy", api="https://registry.example", **registry),
        images=Images(),
        database=Database(),
        door=Door(public_url="https://agents.example"),
    )


def mounted(pod: Manifest) -> dict[str, list[str]]:
    """The parts of the order by the volumes that they are mounted from."""
    return {
        volume["name"]: [item["key"] for item in volume["secret"]["items"]]
        for volume in pod["volumes"]
        if "secret" in volume
    }


def order(made: Recipe) -> Order:
    return Order(
        key="k",
        base=BASE,
        builder="registry.example/builder@sha256:2",
        image="registry.example/gy/agents:x",
        sha256="3",
        recipe=made,
    )


def test_a_build_has_no_rights() -> None:
    pod = job(site(), WISH, order(cooked(a_project())))["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod["initContainers"], *pod["containers"]]:
        context = container["securityContext"]
        assert (context["privileged"], context["allowPrivilegeEscalation"]) == (False, False)
        assert context["capabilities"]["drop"] == ["ALL"]
        assert not {"SYS_ADMIN", "NET_ADMIN", "NET_RAW", "MKNOD"} & set(context["capabilities"]["add"])


def test_what_is_ours_is_not_where_a_project_has_a_say() -> None:
    """Its steps run in `bake`; the registry's password and the source's address are elsewhere."""
    private = site(username="me", password="hush")
    made = order(cooked(a_project({"pip_config_file": "pip.conf"}, **{"pip.conf": PIP})))
    pod = job(private, WISH, made)["spec"]["template"]["spec"]
    assert mounted(pod) == {
        f"order-{FETCH}": ["url", "recipe.json", "auth.json"],
        f"order-{BAKE}": ["recipe.json", "Dockerfile", "pipconfig", "registry"],
        f"order-{PUSH}": ["recipe.json", "auth.json"],
    }
    (bake,) = [one for one in pod["initContainers"] if one["name"] == BAKE]
    assert [one["name"] for one in bake["volumeMounts"]] == ["work", "store", f"order-{BAKE}"]
    data = secret(private, WISH, made, "http://api.example/once", {"metadata": {"name": "b", "uid": "1"}})[
        "data"
    ]
    texts = {name: base64.b64decode(text).decode() for name, text in data.items()}
    assert "hush" not in texts["recipe.json"] + texts["Dockerfile"]
    assert "hush" not in json.dumps(job(private, WISH, made))


def test_who_vouches_for_the_api_is_told_to_whoever_fetches() -> None:
    made = order(cooked(a_project()))
    house = replace(site(), builders_trust="-----BEGIN")
    parts = mounted(job(house, WISH, made)["spec"]["template"]["spec"])
    assert parts[f"order-{FETCH}"] == ["url", "recipe.json", "ca.pem"]
    assert "ca.pem" not in parts[f"order-{BAKE}"] + parts[f"order-{PUSH}"]
    owner = {"metadata": {"name": "build", "uid": "1"}}
    assert base64.b64decode(secret(house, WISH, made, "https://x", owner)["data"]["ca.pem"]) == b"-----BEGIN"
    assert "ca.pem" not in secret(site(), WISH, made, "https://x", owner)["data"]


@pytest.mark.parametrize(
    ("files", "layered"),
    [
        (a_project(), False),
        (a_project({"dependencies": [".", "idna"]}), True),
        (a_project({"dockerfile_lines": ["run true"]}), True),
        (a_project({"dockerfile_lines": ["ENV A=1"]}), False),
        (
            {
                "agent.py": "def graph(): ...",
                "requirements.txt": "idna",
                "langgraph.json": a_project()["langgraph.json"],
            },
            True,
        ),
        ({f"app/{name}": text for name, text in a_project().items()}, False),
        (node(), False),
        (node(dockerfile_lines=["RUN apt-get install -y jq"]), True),
    ],
)
def test_what_is_run_before_the_source_is_there(files: dict[str, str | bytes], layered: bool) -> None:
    config_path = next(name for name in files if name.endswith("langgraph.json"))
    assert cooked(files, config_path=config_path).layered is layered


def test_layers_are_kept_where_they_help_and_tell_nobody_anything() -> None:
    lines = {"dockerfile_lines": ["RUN apt-get install -y jq"]}
    layered = cooked(a_project(lines))
    private = cooked(a_project({**lines, "pip_config_file": "pip.conf"}, **{"pip.conf": PIP}))
    assert cacheable(site(), layered)
    assert not cacheable(site(), cooked(a_project()))
    assert not cacheable(site(), private), "what it was let in for would be there for whoever asks the same"
    assert not cacheable(site(username="me", password="hush"), layered)
    assert not cacheable(replace(site(), build_cache=False), layered)
