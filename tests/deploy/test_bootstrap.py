"""The first workspace and its key, when a Secret keeps the key instead of a home."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli import main
from records import key
from records.session import connect, sessions

SECRET = "gy_a-key-that-a-secret-of-the-cluster-keeps"


async def opens(database: str, secret: str) -> bool:
    engine = connect(database)
    try:
        async with sessions(engine)() as session:
            return await key.find(session, secret) is not None
    finally:
        await engine.dispose()


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: str) -> Path:
    """A file as a Secret is mounted, and settings that name it."""
    file = tmp_path / "api-key"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv("GRAPHYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GRAPHYARD_DATABASE_URL", database)
    monkeypatch.setenv("GRAPHYARD_BOOTSTRAP_KEY_FILE", str(file))
    return file


def test_a_key_that_somebody_else_keeps(mounted: Path, database: str) -> None:
    said = [CliRunner().invoke(main, ["migrate", "--bootstrap"]) for _ in range(2)]
    assert [one.exit_code for one in said] == [0, 0], [one.output for one in said]
    first, again = (json.loads(one.output)["tenant_id"] for one in said)
    assert first == again
    assert not (mounted.parent / "home").exists(), "nothing is written beside the records"


async def test_it_opens_the_workspace(mounted: Path, database: str) -> None:
    from deploy.embedded.bootstrap import bootstrap

    await bootstrap(database, SECRET)
    assert await opens(database, SECRET)
    engine = connect(database)
    async with sessions(engine).begin() as session:
        row = await key.find(session, SECRET)
        assert row is not None
        await key.revoke(session, row.workspace_id, row.id)
    await engine.dispose()
    await bootstrap(database, SECRET)
    assert not await opens(database, SECRET), "what was revoked stays so"


def test_a_key_that_could_be_guessed_is_refused(mounted: Path) -> None:
    mounted.write_text("secret")
    refused = CliRunner().invoke(main, ["migrate", "--bootstrap"])
    assert refused.exit_code == 1
    assert "24 or more" in refused.output
    assert "secret" not in refused.output
