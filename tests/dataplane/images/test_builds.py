"""What a build yields, with the real uv and small packages from the registry."""

import hashlib
import json
import subprocess
from typing import Any

import pytest

from tests.dataplane.images.inside import packages, run

MARKER = "hush-marker-7341"


async def test_makes_a_bundle_with_provenance(yard: Any, project: Any, pyproject: Any) -> None:
    image = await yard.build(project(**{"pyproject.toml": pyproject('dependencies = ["attrs==24.2.0"]')}))
    assert not image.reused
    bundle = yard.bundle(image)
    assert {"agent": "1", "attrs": "24.2.0", "idna": "3.10"}.items() <= packages(bundle).items()
    assert run(bundle, "import agent; print(agent.__file__)") == str(bundle.source / "agent.py")
    record = bundle.record
    lock = (bundle.path / "lock.txt").read_text()
    assert record.provenance.lock_digest == f"sha256:{hashlib.sha256(lock.encode()).hexdigest()}"
    assert "attrs==24.2.0" in lock
    assert "--hash=sha256:" in lock
    assert "://" not in lock
    for part in ("source_digest", "lock_digest", "server", "builder", "python", "size"):
        assert getattr(image, part) == getattr(record.provenance, part)
    assert image.server == "langgraph-api==0.11.1"
    assert image.size > 100_000
    assert image.graphs == ["agent"]
    assert (bundle.path.stat().st_mode & 0o777) == 0o700


async def test_variables_are_sealed_and_no_part_of_the_image(yard: Any, project: Any) -> None:
    as_map = await yard.build(project({"env": {"TOKEN": MARKER, "EMPTY": ""}}))
    other = await yard.build(project({"env": {"TOKEN": "other"}}))
    assert other.digest == as_map.digest
    assert other.reused
    opened = yard.keyring.open_map(as_map.defaults, str(yard.deployment))
    assert opened == {"TOKEN": MARKER, "EMPTY": ""}
    assert (await yard.build(project({"env": {}}))).defaults is None
    text = f"A={MARKER}\nB=${{A}}-b\nC='${{HOME}}'\nexport D=${{HOME}}x\n"
    text += "LANGSMITH_DEPLOYMENT_NAME=me\nDATABASE_URI=x\n"
    as_file = await yard.build(project({"env": "./prod.env"}, **{"prod.env": text}))
    changed = await yard.build(project({"env": "./prod.env"}, **{"prod.env": f"A={MARKER}2\n"}))
    assert as_file.digest == changed.digest
    assert yard.keyring.open_map(as_file.defaults, str(yard.deployment)) == {
        "A": MARKER,
        "B": f"{MARKER}-b",
        "C": "",
        "D": "x",
    }
    by_default = await yard.build(project(**{".env": f"TOKEN={MARKER}\n"}))
    assert yard.keyring.open_map(by_default.defaults, str(yard.deployment)) == {"TOKEN": MARKER}
    assert (await yard.build(project({"env": "./absent.env"}))).defaults is None
    for path in yard.home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert MARKER.encode() not in path.read_bytes(), path
            assert path.name not in (".env", "prod.env")


@pytest.fixture
def setup_py() -> str:
    fields = "name='shared-lib', version='3', py_modules=['shared'], install_requires=['sniffio']"
    return f"from setuptools import setup\nsetup({fields})\n"


async def test_monorepo_of_every_kind(yard: Any, project: Any, pyproject: Any, setup_py: str) -> None:
    config = {
        "dependencies": [".", "../../libs/shared", "../../libs/plain", "../../libs/flat", "attrs>=24"],
        "graphs": {"agent": "./agent.py:graph", "other": "../../libs/plain/tubes/main.py:graph"},
    }
    more = 'dependencies = ["shared-lib"]\n[project.optional-dependencies]\nextra = ["six"]\n'
    files = {
        "apps/one/agent.py": "import shared, tubes.main, flat.part\ngraph = shared.VALUE\n",
        "apps/one/langgraph.json": json.dumps(config),
        "apps/one/pyproject.toml": pyproject(more),
        "libs/shared/setup.py": setup_py,
        "libs/shared/shared.py": "VALUE = 'from shared'\n",
        "libs/plain/tubes/main.py": "graph = 1\n",
        "libs/plain/requirements.txt": "-r base.txt\n-c limits.txt\niniconfig\n",
        "libs/plain/base.txt": "toolz\n",
        "libs/plain/limits.txt": "toolz<1.0\niniconfig==2.0.0\n",
        "libs/flat/__init__.py": "",
        "libs/flat/part.py": "",
        "libs/with space/README": "",
    }
    image = await yard.build(files, config_path="apps/one/langgraph.json")
    bundle = yard.bundle(image)
    assert run(bundle, "import agent; print(agent.graph)") == "from shared"
    found = packages(bundle)
    assert {"shared-lib", "agent", "sniffio", "attrs", "toolz", "iniconfig"} <= found.keys()
    assert found["iniconfig"] == "2.0.0"
    assert "six" not in found
    assert run(bundle, "import sys; print(any('with space' in p for p in sys.path))") == "False"


async def test_extras(yard: Any, project: Any, pyproject: Any) -> None:
    more = "[project.optional-dependencies]\nextra = ['six', 'requests[socks]>=2']\n"
    files = project({"dependencies": [".[extra]", "anyio[trio]"]}, **{"pyproject.toml": pyproject(more)})
    found = packages(yard.bundle(await yard.build(files)))
    assert {"six", "pysocks", "trio"} <= {name.lower() for name in found}


async def test_programs_of_packages_belong_to_the_bundle(yard: Any, project: Any) -> None:
    config = {"dependencies": [".", "tabulate", "pip"], "keep_pkg_tools": ["wheel"]}
    bundle = yard.bundle(await yard.build(project(config)))
    for name in ("tabulate", "pip", "wheel"):
        first = (bundle.bin / name).read_text().splitlines()
        assert any(str(bundle.python) in line for line in first[:3])
        assert "bases" not in "".join(first[:3])
    said = subprocess.check_output([bundle.bin / "pip", "--version"], text=True)
    assert str(bundle.path) in said


async def test_server_finds_everything_compiled(yard: Any, project: Any) -> None:
    bundle = yard.bundle(await yard.build(project()))
    assert run(bundle, "import idna.core; print(idna.core.__cached__)").endswith(".pyc")
    site = next((bundle.path / "venv" / "lib").glob("python3.*/site-packages"))
    assert list(site.glob("idna/__pycache__/core.*.pyc"))
