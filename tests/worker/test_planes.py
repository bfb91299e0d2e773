"""Which plane the settings speak of, and what a cluster's is told."""

from pathlib import Path

from pydantic import SecretStr

from cluster_settings import KubernetesSettings
from dataplane.kubernetes.site import PostgresMode
from settings import Settings
from worker.planes import site
from workflows.shapes import PlaneKind


def test_a_site_is_what_the_settings_say(tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("-----BEGIN")
    settings = Settings(
        plane="east",
        plane_kind=PlaneKind.KUBERNETES,
        public_url="https://agents.example/",
        api_url="https://internal.example/",
        api_ca=authority,
        sealing_keys=Path("/etc/graphyard/sealing.keys"),
        drain_seconds=30,
    )
    made = site(
        settings,
        KubernetesSettings(
            namespace="servers",
            registry_address="registry.example:5000/yard",
            registry_password=SecretStr("hush"),
            registry_insecure=True,
            server_images={"pg-3.11": "registry.example/server:1"},
            database_mode=PostgresMode.DEDICATED,
            database_admin=SecretStr("postgresql://root:hush@db/postgres"),
            door_sources=({"namespaceSelector": {}},),
            build_resources={"limits": {"memory": "2Gi"}},
        ),
    )
    assert (made.plane, made.namespace, made.build_namespace) == ("east", "servers", "servers")
    assert made.registry.api == "http://registry.example:5000"
    assert made.images.server["pg-3.11"] == "registry.example/server:1"
    assert made.database.mode is PostgresMode.DEDICATED
    assert made.door.public_url == "https://agents.example"
    assert made.door.sources == ({"namespaceSelector": {}},)
    assert (made.builder_reaches, made.builders_trust) == ("https://internal.example", "-----BEGIN")
    assert made.drain_seconds == 30
    assert "hush" not in repr(made)
