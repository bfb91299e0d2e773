"""Settings of a worker whose surroundings a test starts and kills itself."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from sealing import Keyring
from settings import Settings
from tests.temporal_server import TemporalServer


@pytest.fixture
def home() -> Iterator[Path]:
    """Short on purpose: sockets below it have to fit into 107 bytes."""
    home = Path(tempfile.mkdtemp(prefix="gyw-"))
    for part in ("secrets", "logs", "data", "run"):
        (home / part).mkdir()
    Keyring.create(home / "secrets" / "sealing.keys")
    yield home
    shutil.rmtree(home)


@pytest.fixture
def temporal_server(tmp_path: Path) -> Iterator[TemporalServer]:
    """Not started yet; its state outlives a kill."""
    server = TemporalServer(tmp_path / "temporal.log", tmp_path / "temporal.db")
    yield server
    server.kill()


@pytest.fixture
def settings(home: Path, temporal_server: TemporalServer, database: str) -> Settings:
    return Settings(
        home=home,
        database_url=SecretStr(database),
        temporal_address=temporal_server.address,
        sealing_keys=home / "secrets" / "sealing.keys",
        api_socket=home / "run" / "api.sock",
        plane_postgres_admin=SecretStr(database),
    )


@pytest.fixture
def with_settings(settings: Settings) -> Callable[..., Settings]:
    """The same, but for what is said."""
    return lambda **change: settings.model_copy(update=change)
