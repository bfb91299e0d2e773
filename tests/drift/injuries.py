"""The table of injuries: what is done, what it has to be called, and what may come of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.drift import ailments, bundles, databases, doors, processes, valkeys, wishes
from tests.drift.patient import Patient
from workflows.drift import Field

Inflict = Callable[[Patient], Awaitable[None]]


class Kind(StrEnum):
    """What is hurt."""

    PROCESS = "process"
    GATEWAY = "gateway"
    DATABASE = "database"
    VALKEY = "valkey"
    BUNDLE = "bundle"
    AGENT = "agent"
    CONTROL = "control"


@dataclass(frozen=True)
class Injury:
    """One row."""

    kind: Kind
    inflict: Inflict
    field: Field | tuple[Field, ...]
    """What has to be told of it; of several, any."""
    seen: str = ""
    """A pattern in what is told to be seen."""
    evidence: str = ""
    """A pattern in the evidence."""
    two: bool = False
    """For the deployment with two replicas."""
    cure: Inflict | None = None
    """What ends the cause, once it was told; without that there would be no end."""
    empties: bool = False
    """It costs the data of Postgres, by its nature."""
    within: float = 60.0
    """Seconds until all is well; generous, as machines are shared."""
    chaos: bool = False
    """Much like another one, and only for those who have the time."""

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.inflict.__name__.replace('_', ' ')}"

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.field if isinstance(self.field, tuple) else (self.field,)


F, K = Field, Kind

TABLE = [
    Injury(K.PROCESS, processes.kill_the_server, F.PROCESS),
    Injury(K.PROCESS, processes.end_the_server, F.PROCESS, chaos=True),
    Injury(K.PROCESS, processes.suspend_the_server, F.PROCESS, "suspended"),
    Injury(K.PROCESS, processes.stop_the_program, F.PROCESS),
    Injury(K.PROCESS, processes.remove_the_conf, (F.PROCESS, F.ENVIRONMENT), chaos=True),
    Injury(K.PROCESS, processes.remove_the_conf_and_reload, (F.PROCESS, F.ENVIRONMENT), "missing"),
    Injury(K.PROCESS, processes.remove_the_spec, (F.PROCESS, F.ENVIRONMENT), chaos=True),
    Injury(K.PROCESS, processes.edit_the_environment, F.ENVIRONMENT),
    Injury(K.PROCESS, processes.edit_the_secrets, F.ENVIRONMENT, chaos=True),
    Injury(K.PROCESS, processes.edit_the_image, F.IMAGE),
    Injury(K.PROCESS, processes.kill_one_of_two, F.PROCESS, two=True),
    Injury(K.PROCESS, processes.suspend_one_of_two, F.PROCESS, "suspended", two=True, chaos=True),
    Injury(K.PROCESS, processes.start_one_of_an_old_revision, F.EXTRA),
    Injury(K.PROCESS, processes.start_one_by_hand, F.EXTRA),
    Injury(K.PROCESS, processes.kill_everything, F.PROCESS),
    Injury(K.VALKEY, valkeys.suspend_the_valkey, F.REDIS, "suspended"),
    Injury(K.VALKEY, valkeys.kill_the_valkey, F.REDIS),
    Injury(K.VALKEY, valkeys.stop_the_valkey, F.REDIS, chaos=True),
    Injury(K.VALKEY, valkeys.remove_the_valkeys_conf, F.REDIS),
    Injury(K.VALKEY, valkeys.stop_appending, F.PERSISTENCE),
    Injury(K.VALKEY, valkeys.change_the_password, F.REDIS_PASSWORD),
    Injury(K.VALKEY, valkeys.need_no_password, F.REDIS_PASSWORD),
    Injury(K.VALKEY, valkeys.forget_under_pressure, F.PERSISTENCE),
    Injury(K.VALKEY, valkeys.edit_the_configuration, F.PERSISTENCE),
    Injury(K.VALKEY, valkeys.remove_the_configuration, (F.PERSISTENCE, F.REDIS), chaos=True),
    Injury(K.VALKEY, valkeys.remove_the_socket, F.REDIS),
    Injury(K.VALKEY, valkeys.remove_the_data, (F.REDIS, F.PERSISTENCE)),
    Injury(K.GATEWAY, doors.remove_a_link, F.LINK),
    Injury(K.GATEWAY, doors.remove_all_links, F.LINK),
    Injury(K.GATEWAY, doors.lead_a_link_nowhere, F.LINK),
    Injury(K.GATEWAY, doors.lead_all_links_to_another, F.LINK),
    Injury(K.GATEWAY, doors.lead_a_link_to_an_old_revision, F.LINK, chaos=True),
    Injury(K.GATEWAY, doors.replace_a_link_by_a_file, F.LINK, chaos=True),
    Injury(K.GATEWAY, doors.close_the_door, F.ROUTE),
    Injury(K.GATEWAY, doors.take_away_the_marker, F.LINK),
    Injury(K.GATEWAY, doors.let_another_revision_take, F.LINK),
    Injury(K.GATEWAY, doors.remove_the_socket, (F.ANSWER, F.PROCESS)),
    Injury(K.GATEWAY, doors.lock_the_socket, F.LINK, "mode 0000"),
    Injury(K.DATABASE, databases.drop_the_role, F.ROLE, "missing"),
    Injury(K.DATABASE, databases.rename_the_role, F.ROLE, "renamed"),
    Injury(K.DATABASE, databases.forbid_the_login, F.ROLE, "log in"),
    Injury(K.DATABASE, databases.change_the_password, F.PASSWORD, "another"),
    Injury(K.DATABASE, databases.expire_the_password, F.PASSWORD, "expired", chaos=True),
    Injury(K.DATABASE, databases.make_a_superuser, F.ROLE, "superuser"),
    Injury(K.DATABASE, databases.allow_one_connection, F.CONNECTIONS, "limited to 1"),
    Injury(
        K.DATABASE, databases.allow_one_connection_to_the_database, F.CONNECTIONS, "limited to 1", chaos=True
    ),
    Injury(K.DATABASE, databases.revoke_the_database, F.GRANTS, "closed"),
    Injury(K.DATABASE, databases.open_the_database_to_all, F.GRANTS, "open", chaos=True),
    Injury(K.DATABASE, databases.give_the_database_away, F.GRANTS, "owned by"),
    Injury(K.DATABASE, databases.drop_the_extension, F.EXTENSION, "missing"),
    Injury(K.DATABASE, databases.rename_the_database, F.DATABASE, "renamed"),
    Injury(K.DATABASE, databases.close_the_database, F.GRANTS, "closed", chaos=True),
    Injury(K.DATABASE, databases.make_it_read_only, F.DATABASE, "read-only", chaos=True),
    Injury(K.DATABASE, databases.revoke_the_schema, F.GRANTS, "without rights"),
    Injury(K.DATABASE, databases.give_a_table_away, F.GRANTS, "without rights"),
    Injury(K.DATABASE, databases.revoke_a_table, F.GRANTS, "without rights", chaos=True),
    Injury(K.DATABASE, databases.drop_the_database, F.DATABASE, "missing|empty", empties=True),
    Injury(K.BUNDLE, bundles.remove_the_image, F.BUNDLE, "missing"),
    Injury(K.BUNDLE, bundles.remove_its_mark, F.BUNDLE),
    Injury(K.BUNDLE, bundles.damage_a_source, F.BUNDLE),
    Injury(K.BUNDLE, bundles.remove_the_python, F.BUNDLE),
    Injury(K.BUNDLE, bundles.remove_the_packages, F.BUNDLE, chaos=True),
    Injury(K.BUNDLE, bundles.lock_the_sources, F.BUNDLE, chaos=True),
    Injury(K.AGENT, ailments.stall_the_queue, F.WORK),
    Injury(K.AGENT, ailments.end_the_queue, F.WORK, chaos=True),
    Injury(K.AGENT, ailments.block_the_loop, F.ANSWER),
    Injury(
        K.AGENT,
        ailments.die_at_every_start,
        F.PROCESS,
        evidence="a flag says",
        cure=Patient.unflag,
        within=90,
    ),
    Injury(K.AGENT, ailments.eat_all_memory, F.PROCESS, evidence="memory limit exceeded"),
    Injury(K.CONTROL, wishes.end_the_idle_workflow, F.ROUTE),
    Injury(K.CONTROL, wishes.end_the_watch, F.ROUTE),
]

WISHES: list[Inflict] = [
    wishes.lose_a_nudge,
    wishes.end_the_rollout,
    wishes.end_the_deployment,
    wishes.end_both,
]
