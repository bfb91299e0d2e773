"""A Temporal dev server of our own for a test session, in memory, with our search attributes.

If the test process is killed, the kernel stops the server (`setpriv --pdeathsig`).
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from workflows.names import SEARCH_ATTRIBUTES


class TemporalServer:
    """One running server; with `database` its state outlives a kill, `config` is dynamic configuration; without
    `attributes` it is one that nobody prepared for us."""

    def __init__(
        self,
        log: Path,
        database: Path | None = None,
        config: Mapping[str, object] | None = None,
        attributes: bool = True,
    ) -> None:
        self._log = log
        self._database = database
        self._config = config or {}
        self._attributes = SEARCH_ATTRIBUTES if attributes else ()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        argv = ["setpriv", "--pdeathsig=KILL", str(Path(sys.executable).parent / "temporal")]
        argv += ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self._port)]
        argv += ["--http-port", str(_free_port()), "--metrics-port", str(_free_port())]
        argv += ["--log-format", "json", "--log-level", "error"]
        for kind in ("Read", "Write"):
            argv += ["--dynamic-config-value", f"matching.numTaskqueue{kind}Partitions=1"]
        for queue in ("transfer", "timer", "visibility"):
            argv += ["--dynamic-config-value", f"history.{queue}ProcessorMaxPollRPS=1000"]
        for name, value in self._config.items():
            argv += ["--dynamic-config-value", f"{name}={value}"]
        for attribute in self._attributes:
            argv += ["--search-attribute", f"{attribute.name}=Keyword"]
        if self._database:
            argv += ["--db-filename", str(self._database), "--sqlite-pragma", "journal_mode=wal"]
        with self._log.open("ab") as log:
            env = {**os.environ, "HOME": str(self._log.parent)}
            self._process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, env=env)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Temporal did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=20)

    def _answers(self) -> bool:
        command = [str(Path(sys.executable).parent / "temporal"), "operator", "search-attribute", "list"]
        asked = subprocess.run([*command, "--address", self.address], capture_output=True, check=False)
        first = self._attributes[0].name if self._attributes else ""
        return asked.returncode == 0 and first.encode() in asked.stdout


@asynccontextmanager
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose clock can be skipped; it forgets everything."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(Path(sys.executable).parent / "temporal-test-server"),
        data_converter=pydantic_data_converter,
    ) as environment:
        keyword = IndexedValueType.Value("INDEXED_VALUE_TYPE_KEYWORD")
        request = AddSearchAttributesRequest(
            search_attributes=dict.fromkeys([one.name for one in SEARCH_ATTRIBUTES], keyword)
        )
        await environment.client.operator_service.add_search_attributes(request)
        yield environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
