"""The default: the stock `langgraph-api` on the MIT `langgraph-runtime-pg`, which needs Postgres and Redis.

Known faults and their cures (all in the entry module unless said otherwise): crons never fire because a
user is not JSON; a replica takes runs from the moment it starts and until its last; streams end at SIGTERM;
its fixed five seconds of grace; log lines that vanish without a log configuration; a dead replica's runs
wait five minutes (heartbeat, below); any origin may call (CORS, set by the plane).
"""

from dataplane.flavours import ServerFlavour
from workflows.shapes import Flavour

POOL, OVERFLOW = 5, 10
SAVER, STORE, MIGRATION = 10, 10, 1
"""The runtime's other pools have these sizes and no setting."""

PG = ServerFlavour(
    name=Flavour.PG,
    # They are released as a pair: a newer api breaks cancelling and interrupting on this runtime.
    requirements=("langgraph-api==0.11.1", "langgraph-runtime-pg==0.11.1.post1"),
    version="0.11.1",
    environment={
        "LANGGRAPH_RUNTIME_EDITION": "pg",
        "LG_RUNTIME_PG_AUTO_MIGRATE": "true",
        "PG_POOL_SIZE": str(POOL),
        "PG_MAX_OVERFLOW": str(OVERFLOW),
    },
    defaults={
        "N_JOBS_PER_WORKER": "10",
        # A run of a replica that was killed goes on elsewhere after some twenty seconds instead of 330.
        "LG_BG_JOB_HEARTBEAT": "5",
    },
    connections=POOL + OVERFLOW + SAVER + STORE + MIGRATION,
)
