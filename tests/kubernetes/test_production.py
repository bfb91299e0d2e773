"""The chart as docs/kubernetes.md has a team install it: Postgres and Temporal are somebody else's, the latter asks
everybody for a certificate, whatever is secret is named and nothing of it made, and each of two planes has a namespace
of its own."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import DEPLOYMENT, POD, SECRET
from sealing import Keyring
from tests.certificates import Authority
from tests.cluster import DOOR, kubeconfig
from tests.deploy.helm import chart
from tests.deploy.helm.release import OWN_IMAGE, Led, Release, answered, build, releasing
from tests.journeys.yard import Yard, project
from tests.kubernetes.installed import HOST, RELAY, SLIM, left_at, plane_defaults, relayed
from tests.postgres import Server
from tests.proxy import Proxy
from tests.temporal_server import TemporalServer
from workflows import names as plain

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PATIENCE = 300.0
OWN_RELAY = RELAY + 3
PLANES = ("east", "west")
TEMPORAL = "temporal.example.test"
KEY = "gy_a-first-key-that-somebody-chose"
TOKENS = {"east": "the-token-of-the-eastern-plane", "west": "the-token-of-the-western-plane"}


@dataclass(frozen=True)
class House:
    """A release that runs, and what it stands on."""

    release: Release
    values: dict[str, Any]
    postgres: Server

    def namespace(self, plane: str) -> str:
        return f"{self.release.cluster.namespace}-{plane}"

    def databases(self) -> set[str]:
        """Of deployments, and the roles of their names."""
        with psycopg.connect(self.postgres.dsn()) as connection:
            rows = connection.execute(
                "select datname from pg_database where datname like 'gy\\_%'"
                " union select rolname from pg_roles where rolname like 'gy\\_%'"
            )
            return {str(row[0]) for row in rows.fetchall()}


async def hand_in(release: Release, name: str, **values: str) -> None:
    """A Secret, as an external-secrets operator would make it."""
    data = {
        key.replace("__", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()
    }
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
    await release.cluster.ask("POST", f"/api/v1/namespaces/{release.cluster.namespace}/secrets", body=body)


async def secrets(release: Release, temporal: Authority, dsn: str, folder: Path) -> None:
    keys = folder / "sealing.keys"
    Keyring.create(keys)
    certificate, key = temporal.vouch("graphyard.example.test")
    records = dsn.replace("postgresql://", "postgresql+psycopg://") + "graphyard"
    await hand_in(release, "records", url=records)
    await hand_in(release, "agents-postgres", dsn=f"{dsn}postgres")
    await hand_in(release, "temporal-mtls", ca__crt=temporal.certificate, tls__crt=certificate, tls__key=key)
    await hand_in(release, "sealing", sealing__keys=keys.read_text())
    await hand_in(release, "first-key", **{"api-key": KEY})
    await hand_in(release, "tokens", **TOKENS, all__json=json.dumps(TOKENS))


def values(release: Release, temporal: str) -> dict[str, Any]:
    return chart.on_one_node(
        {
            "image": OWN_IMAGE,
            "publicUrl": f"http://{release.host}",
            "database": {"existingSecret": "records"},
            "temporal": {
                "address": temporal,
                "tls": {"existingSecret": "temporal-mtls", "serverName": TEMPORAL},
            },
            "sealing": {"existingSecret": "sealing"},
            "bootstrap": {"existingSecret": "first-key"},
            "planeTokens": {"existingSecret": "tokens"},
            "planes": [
                {"name": plane, "namespace": f"{release.cluster.namespace}-{plane}", "createNamespace": True}
                for plane in PLANES
            ],
            "planeDefaults": {
                **plane_defaults(OWN_RELAY),
                "databases": {"mode": "shared", "existingSecret": "agents-postgres"},
            },
            "settings": {"sweepSeconds": 10},
        }
    )


@asynccontextmanager
async def standing_on(release: Release, folder: Path) -> AsyncIterator[tuple[Server, str]]:
    """The Postgres, and Temporal's address; the Secrets that lead there are handed in."""
    postgres, temporal = Server(folder), TemporalServer(folder / "temporal.log", attributes=False)
    authority = Authority()
    asks = authority.server(folder, TEMPORAL)
    asks.verify_mode = ssl.CERT_REQUIRED
    asks.load_verify_locations(cadata=authority.certificate)
    asks.set_alpn_protocols(["h2"])
    try:
        await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(temporal.start))
        with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
            admin.execute("create database graphyard")
        # Both are on this machine's loopback; pods reach them by a door on their own network.
        here, port = temporal.address.split(":")
        async with (
            Proxy(here, postgres.port, at=HOST) as door,
            Proxy(here, int(port), at=HOST, shows=asks) as guarded,
        ):
            dsn = postgres.dsn("").replace(f"{here}:{postgres.port}", door.address)
            await secrets(release, authority, dsn, folder)
            yield postgres, guarded.address
    finally:
        temporal.kill()
        postgres.stop()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    kubeconfig()
    await asyncio.to_thread(build, "server", "builder", "valkey")
    with relayed(OWN_RELAY):
        async with releasing() as release, standing_on(release, tmp_path) as (postgres, temporal):
            made = House(release, values(release, temporal), postgres)
            try:
                await release.install(made.values)
                await release.until_answered()
                await release.until_rolled_out()
                yield made
            finally:
                await release.uninstall()
                for plane in PLANES:
                    path = f"/api/v1/namespaces/{made.namespace(plane)}"
                    await release.cluster.ask("DELETE", path, missing=True)


async def a_deployment(yard: Yard, name: str, listener: str) -> tuple[str, str]:
    """Its id, and its URL once it serves."""
    made = await yard.create(name, listener=listener)
    revision = await yard.push(made["id"], project(), resources=SLIM)
    return made["id"], (await yard.deployed(made["id"], revision, PATIENCE))["url"]


async def made_by_the_chart(release: Release) -> set[str]:
    """Secrets that nobody handed in, but what Helm and the cluster keep for themselves."""
    own = {"records", "agents-postgres", "temporal-mtls", "sealing", "first-key", "tokens"}
    found = await release.cluster.all(SECRET, {})
    kept = {"helm.sh/release.v1", "kubernetes.io/service-account-token"}
    return {one["metadata"]["name"] for one in found if one["type"] not in kept} - own


async def test_a_team_s_installation(house: House) -> None:
    release = house.release
    async with Yard(f"http://{release.host}", KEY, transport=Led(DOOR)) as yard:
        assert await made_by_the_chart(release) == set()
        listeners = {
            one["compute_id"]: one["id"] for one in (await yard.call("GET", "/v2/listeners"))["resources"]
        }
        assert listeners.keys() == {*PLANES}
        # One after the other: the second finds the image that was built for the first.
        made = [await a_deployment(yard, f"agent-{plane}", listeners[plane]) for plane in PLANES]
        for plane, (deployment, url) in zip(PLANES, made, strict=True):
            assert await answered(url) == "X"
            for place in PLANES:
                there = await left_at(release.cluster, house.namespace(place), deployment, plane)
                assert bool(there) is (place == plane), (plane, place, there)
        wanted = {
            plain.database(f"agent-{plane}", UUID(deployment))
            for plane, (deployment, _) in zip(PLANES, made, strict=True)
        }
        assert house.databases() == wanted

        # The schema goes first, by a hook; workers find their way to Temporal again, and agents serve on.
        before = await servers(house)
        await release.upgrade(chart.merged(house.values, {"settings": {"logLevel": "debug"}}))
        await release.until_rolled_out()
        await release.until_answered()
        (deployment, url), _ = made
        second = await yard.revise(deployment, secrets=[{"name": "ECHO_PREFIX", "value": "new-"}])
        await yard.deployed(deployment, second, PATIENCE)
        await yard.retired(deployment, second, PATIENCE)
        assert [await answered(url) for _, url in made] == ["new-X", "X"]
        assert (await servers(house))["west"] == before["west"]

        for deployment, _ in made:
            await yard.delete(deployment)
        for plane, (deployment, _) in zip(PLANES, made, strict=True):
            await yard.until_gone(deployment, PATIENCE)
            assert await left_at(release.cluster, house.namespace(plane), deployment, plane) == []
        assert house.databases() == set()
    await release.uninstall()
    assert [one["metadata"]["name"] for one in await release.cluster.all(DEPLOYMENT, {})] == []
    for plane in PLANES:
        found = await release.cluster.ask("GET", f"/api/v1/namespaces/{house.namespace(plane)}")
        assert found["status"]["phase"] == "Active", "a plane's namespace was taken away with a release"


async def servers(house: House) -> dict[str, set[str]]:
    """The pods of agents, by plane."""
    return {
        plane: {
            one["metadata"]["uid"]
            for one in await house.release.cluster.all(POD, {names.ROLE: "server"}, house.namespace(plane))
        }
        for plane in PLANES
    }
