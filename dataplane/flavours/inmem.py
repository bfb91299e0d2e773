"""For previews: the stock `langgraph-api` with its own in-memory runtime; state ends with the process.

One process only and nothing shared, so one replica only, and a new revision starts with nothing.
"""

from dataplane.flavours import ServerFlavour
from workflows.shapes import Flavour

INMEM = ServerFlavour(
    name=Flavour.INMEM,
    requirements=("langgraph-api==0.16.7", "langgraph-runtime-inmem==0.36.7"),
    version="0.16.7",
    environment={
        "LANGGRAPH_RUNTIME_EDITION": "inmem",
        "DATABASE_URI": ":memory:",
        "REDIS_URI": "fake",
        "MIGRATIONS_PATH": "__inmem",
        # It would pickle into the working directory, which is the image: shared, and not to be written to.
        "LANGGRAPH_DISABLE_FILE_PERSISTENCE": "true",
    },
    defaults={"N_JOBS_PER_WORKER": "10"},
    databases=False,
    most_replicas=1,
    health="/ok",
)
