"""The deployments' databases on a cluster: on one server that all share, or on a server each."""

from typing import Protocol

import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dataplane.kubernetes import manifests_postgres as described
from dataplane.kubernetes import names as called
from dataplane.kubernetes.dedicated import Dedicated
from dataplane.kubernetes.site import Site
from dataplane.postgres.databases import Postgres, database_uri
from sealing import Keyring
from workflows import names
from workflows.drift import Fact, Field
from workflows.shapes import Resource, ResourceKind, Wish

log = structlog.get_logger()


class Databases(Protocol):
    """Where databases are, whoever keeps the server."""

    catalogue: Postgres | None
    """The server that holds all of them, if one does: what can be looked over at once."""

    async def provision(self, wish: Wish) -> None: ...

    async def remove(self, wish: Wish) -> None: ...

    async def observe(self, wish: Wish) -> list[Resource]: ...

    async def facts(self, wish: Wish) -> list[Fact]:
        """All that a look shows. Raises when the server is away and is not ours to bring back."""

    async def of(self, wish: Wish) -> Postgres:
        """The server to look with. Raises when it is not to be reached."""

    def uri(self, wish: Wish) -> str:
        """What the deployment's servers connect with. Holds the password."""

    async def close(self) -> None: ...


class Shared:
    """A role and a database each, on a server that somebody else keeps."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._postgres = Postgres(site.database.admin, site.keys)
        self.catalogue: Postgres | None = self._postgres
        self.provision = self._postgres.provision
        self.remove = self._postgres.remove
        self.observe = self._postgres.observe
        self.facts = self._postgres.facts
        self.close = self._postgres.close

    async def of(self, wish: Wish) -> Postgres:
        return self._postgres

    def uri(self, wish: Wish) -> str:
        name = names.database(wish.name, wish.deployment_id)
        admin = elsewhere(self._site.database.admin, self._site.database.host)
        return database_uri(admin, name, _password(self._site, wish))


class Own:
    """A server each, made here."""

    def __init__(self, site: Site, servers: Dedicated) -> None:
        self._site = site
        self._servers = servers
        self.catalogue: Postgres | None = None
        self._known: dict[str, tuple[str, Postgres]] = {}

    async def provision(self, wish: Wish) -> None:
        dsn = await self._servers.provision(wish)
        await (await self._at(wish, dsn)).provision(wish)

    async def remove(self, wish: Wish) -> None:
        await self._forget(wish)
        await self._servers.remove(wish)

    async def observe(self, wish: Wish) -> list[Resource]:
        """What is inside, or both if that cannot be told: a server that is there may hold everything."""
        if not await self._servers.left(wish):
            return []
        try:
            return await (await self.of(wish)).observe(wish)
        except Exception as error:  # whatever keeps it from answering
            log.info("a Postgres that is there does not answer", error=type(error).__name__)
        name = names.database(wish.name, wish.deployment_id)
        return [Resource(kind=kind, name=name) for kind in (ResourceKind.ROLE, ResourceKind.DATABASE)]

    async def facts(self, wish: Wish) -> list[Fact]:
        """What is wrong with the server is told of the database: it is not to be used."""
        stands, name = await self._servers.standing(wish), names.database(wish.name, wish.deployment_id)
        if not stands.there:
            return []
        told = [Fact(field=Field.DATABASE, name=name, seen=stands.wrong, code=stands.code)]
        try:
            found = await (await self.of(wish)).facts(wish)
        except Exception:
            if stands.wrong:
                return told
            raise
        if not stands.wrong:
            return found
        return [*told, *(one for one in found if one.field is not Field.DATABASE)]

    async def of(self, wish: Wish) -> Postgres:
        return await self._at(wish, await self._servers.admin(wish))

    def uri(self, wish: Wish) -> str:
        name = names.database(wish.name, wish.deployment_id)
        host = f"{called.postgres(wish.deployment_id)}.{self._site.namespace}.svc"
        admin = make_conninfo(host=host, port=described.PORT)
        return database_uri(admin, name, _password(self._site, wish))

    async def close(self) -> None:
        for _, postgres in self._known.values():
            await postgres.close()
        self._known = {}

    async def _at(self, wish: Wish, dsn: str) -> Postgres:
        """Its connection is kept for as long as the server is where it was."""
        short = names.short(wish.deployment_id)
        known = self._known.get(short)
        if known is None or known[0] != dsn:
            await self._forget(wish)
            known = self._known[short] = dsn, Postgres(dsn, self._site.keys)
        return known[1]

    async def _forget(self, wish: Wish) -> None:
        if (known := self._known.pop(names.short(wish.deployment_id), None)) is not None:
            await known[1].close()


def elsewhere(admin: str, host: str) -> str:
    """The same server, as those reach it for whom it is at `host` (`host:port`)."""
    if not host:
        return admin
    parts = conninfo_to_dict(admin)
    name, _, port = host.rpartition(":") if ":" in host else (host, "", "")
    return make_conninfo(admin, host=name, port=port or parts.get("port") or described.PORT)


def _password(site: Site, wish: Wish) -> str:
    return Keyring.load(site.keys).open_map(wish.credentials, str(wish.deployment_id))["postgres"]
