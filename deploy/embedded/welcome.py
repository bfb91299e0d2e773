"""The first deployment of a fresh stack, made as any user would: the official CLI, then the official SDK."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from langgraph_sdk import get_client

from deploy.embedded.deployments import deployments
from deploy.embedded.environment import client_variables
from deploy.embedded.home import CHECKOUT, Home
from deploy.embedded.ports import Stack
from deploy.embedded.show import Progress
from deploy.embedded.troubles import Trouble

EXAMPLE = CHECKOUT / "examples" / "echo-agent"
NAME = EXAMPLE.name


async def first_deployment(home: Home, stack: Stack, environ: Mapping[str, str]) -> str:
    """Deploy the example and run it once; its URL."""
    with tempfile.TemporaryDirectory() as directory:
        # A copy: the CLI may keep notes beside the project, and a checkout should stay as it is.
        project = Path(directory) / NAME
        shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        click.echo(f"\n$ langgraph deploy --remote --name {NAME}      # in examples/{NAME}")
        process = await asyncio.create_subprocess_exec(
            *(
                str(Path(sys.executable).parent / "langgraph"),
                "deploy",
                "--remote",
                "--no-input",
                "--name",
                NAME,
            ),
            cwd=project,
            env={**environ, **client_variables(home, stack, environ), "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
        )
        code = await process.wait()
    if code != 0:
        raise Trouble(
            f"The stack is up, but examples/{NAME} could not be deployed (see above): put that right and run"
            f" `graphyard up` again, or look into {home.log('worker')}."
        )
    url = next(found["url"] for found in await deployments(home) if found["name"] == NAME)
    state: Any = await get_client(url=url, api_key=None).runs.wait(None, "echo", input={"text": "hello"})
    click.echo(
        f"\n$ client.runs.wait(None, 'echo', input={{'text': 'hello'}})['result']\n{state['result']!r}"
    )
    return str(url)


async def welcome(home: Home, stack: Stack, environ: Mapping[str, str]) -> str | None:
    """The example, once in a stack's life and only into an empty one; its URL if it is there."""
    known = await deployments(home)
    # One that failed here before is tried again, not taken for the owner's own.
    empty = not [found for found in known if found["name"] != NAME or found.get("url")]
    if empty and not (mark := home.root / "data" / "welcomed").exists():
        url = await first_deployment(home, stack, environ)
        mark.touch()
        return url
    return next((found["url"] for found in known if found["name"] == NAME), None)


def closing(home: Home, stack: Stack, url: str | None, progress: Progress) -> None:
    """Where everything is, and what to try next."""
    command = "graphyard" if shutil.which("graphyard") else _near(Path(sys.prefix) / "bin" / "graphyard")
    progress.say(f"\nGraphyard is up, after {progress.elapsed:.1f} s.\n")
    told = {
        "everything": stack.url,
        NAME: url,
        "Temporal UI": stack.temporal_ui,
        "API key": f"in {_near(home.api_key)}",
    }
    for name, value in told.items():
        if value:
            progress.say(f"  {name:<12} {value}")
    progress.say("\nNext, in this shell:\n")
    progress.say(f'  eval "$({command} env)"         # langgraph and graphyard now talk to this stack')
    progress.say("  graphyard status")
    progress.say("  langgraph deploy --remote       # in any LangGraph project")


def _near(path: Path) -> str:
    """A path as short as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
