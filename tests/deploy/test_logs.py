"""`graphyard logs NAME`: a part, or a deployment by name or slug, also when the api is down."""

import pytest

from deploy.embedded.home import Home
from deploy.embedded.logs import files
from deploy.embedded.troubles import Trouble


@pytest.fixture
def written(home: Home) -> Home:
    home.make()
    home.api_key.write_text("gy_key\n")
    for part in ("api", "worker"):
        home.log(part).write_text("")
    (home.root / "run" / "up" / "my-agent-0a1b2c3d.on").touch()
    (home.root / "run" / "up" / "young-11111111.on").touch()
    deploy, build = home.root / "logs" / "deploy" / "0a1b2c3d", home.root / "logs" / "build" / "11111111"
    deploy.mkdir()
    build.mkdir()
    for name in ("2-0.log", "9-0.log", "10-0.log", "10-1.log"):
        (deploy / name).write_text("")
    (build / "1.log").write_text("")
    return home


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("api", ["logs/api.log"]),
        ("my-agent", ["logs/deploy/0a1b2c3d/10-0.log", "logs/deploy/0a1b2c3d/10-1.log"]),
        ("my-agent-0a1b2c3d", ["logs/deploy/0a1b2c3d/10-0.log", "logs/deploy/0a1b2c3d/10-1.log"]),
        ("young", ["logs/build/11111111/1.log"]),
    ],
    ids=["a part", "newest revision", "by slug", "not served yet: its build"],
)
async def test_a_name_stands_for_files(written: Home, name: str, found: list[str]) -> None:
    assert await files(written, name) == [written.root / path for path in found]


@pytest.mark.parametrize("name", ["nobody", "../secrets/api-key", "deploy", "", "a/b"])
async def test_an_unknown_name_is_told_with_those_there_are(written: Home, name: str) -> None:
    with pytest.raises(Trouble, match=r"Nothing here is called .*: ask for one of api, worker, my-agent"):
        await files(written, name)


async def test_a_deployment_without_logs_says_so(written: Home) -> None:
    (written.root / "run" / "up" / "new-22222222.on").touch()
    with pytest.raises(Trouble, match="new has no logs yet"):
        await files(written, "new")
