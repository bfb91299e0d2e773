"""`graphyard`: the verbs of a stack on one machine, and the programs that run inside it.

Modules are imported where they are used: `graphyard env` in a shell's start-up file must cost nothing.
"""

import asyncio
import errno
import os
import signal
import sys
from typing import Any

import click

from deploy.embedded.home import Home
from deploy.embedded.troubles import Trouble


class Verbs(click.Group):
    """A group that tells a trouble as one sentence and ends with 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Trouble as trouble:
            click.echo(f"graphyard: {trouble}", err=True)
            ctx.exit(1)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            click.echo(f"graphyard: The disk is full ({error}): free some space and try again.", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("graphyard: interrupted; what had been started is ended again.", err=True)
            ctx.exit(130)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A self-hosted LangGraph Cloud on this machine."""


@main.command()
@click.option("--example/--no-example", default=True, help="Deploy examples/echo-agent into a fresh stack.")
def up(example: bool) -> None:
    """Bring everything up, or put right what is down."""
    from deploy.embedded.serving import await_serving
    from deploy.embedded.show import Progress
    from deploy.embedded.up import Up
    from deploy.embedded.welcome import closing, welcome

    home, progress = Home.of(os.environ), Progress()

    async def story() -> None:
        # A closed terminal is a Ctrl-C too: what was started ends again.
        this = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, this.cancel if this else sys.exit)
        bringing = Up(home, os.environ, progress)
        stack = await bringing.run()
        await await_serving(home, stack, progress, cold=bringing.cold)
        url = await welcome(home, stack, os.environ) if example else None
        closing(home, stack, url, progress)

    try:
        asyncio.run(story())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@main.command()
@click.option("--purge", is_flag=True, help="Remove all state as well: deployments, databases, keys, logs.")
def down(purge: bool) -> None:
    """End everything; state stays for the next `up`."""
    from dataplane.local.supervisor import Supervisor
    from deploy.embedded.daemon import Daemon, alone
    from deploy.embedded.down import down as end

    home = Home.of(os.environ)
    home.check_purgeable() if purge else home.check_owner()
    if home.up_lock.parent.is_dir():
        with alone(home):
            supervisor = Supervisor(home.root)
            ended = asyncio.run(end(home, supervisor, Daemon(home, supervisor)))
            click.echo(f"{ended} processes ended." if ended else "Nothing was running.")
            if purge:
                home.purge()
                click.echo(f"{home.root} is removed.")
    else:
        click.echo(f"There is no stack in {home.root}.")


@main.command()
def status() -> None:
    """Say what is up, what is down, and what is deployed; exit 0 if all is well."""
    from dataplane.local.supervisor import Supervisor
    from deploy.embedded import secrets
    from deploy.embedded import status as look
    from deploy.embedded.daemon import Daemon
    from deploy.embedded.ports import Stack
    from deploy.embedded.ready import Readiness

    home = _existing()
    stack, supervisor = Stack.load(home.stack), Supervisor(home.root)

    async def story() -> bool:
        daemon = Daemon(home, supervisor)
        lines = await look.parts(supervisor, daemon, Readiness(home, stack, secrets.settle(home)))
        agents = await look.agents(home, await supervisor.all_states() if await supervisor.alive() else {})
        plane = await look.plane(home)
        look.show(lines, agents, stack, plane)
        return look.well(lines, agents, plane)

    if not asyncio.run(story()):
        sys.exit(1)


@main.command()
@click.argument("name", required=False)
def drift(name: str | None) -> None:
    """Say what is not as the records say, and what is done about it; of one deployment with all details."""
    from datetime import UTC, datetime

    from deploy.embedded import drift as account

    home = _existing()
    if name is None:
        found = asyncio.run(account.everything(home))
        account.show(*found, datetime.now(UTC))
    else:
        account.show_one(name, asyncio.run(account.named(home, name)), datetime.now(UTC))


@main.command()
def env() -> None:
    """Print what `eval` needs for `langgraph deploy` to come here."""
    from deploy.embedded.environment import client_variables, exports
    from deploy.embedded.ports import Stack

    home = _existing()
    stack = Stack.load(home.stack)
    if not (stack.tenant_id and home.api_key.is_file()):
        raise Trouble(f"The stack in {home.root} was never up: run `graphyard up` first.")
    click.echo(exports(client_variables(home, stack, os.environ)), nl=False)


@main.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--lines", default=100, show_default=True, help="How many of the last lines.")
def logs(name: str, follow: bool, lines: int) -> None:
    """Show the log of a part (api, worker, postgres, temporal, caddy) or of a deployment."""
    from deploy.embedded.logs import files

    found = asyncio.run(files(_existing(), name))
    argv = ["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, found)]
    os.execvp("tail", argv)  # noqa: S606


@main.command()
def version() -> None:
    """Say which Graphyard this is."""
    from deploy.embedded.version import digest, release

    click.echo(f"graphyard {release()} (code {digest()})")


@main.command(hidden=True)
def api() -> None:
    """Run the api; the stack does this itself."""
    from api.main import serve
    from settings import Settings

    serve(Settings())


@main.command(hidden=True)
@click.option("--control", is_flag=True, help="Only the control side: workflows and records.")
@click.option("--plane", is_flag=True, help="Only the plane that the settings speak of.")
def worker(control: bool, plane: bool) -> None:
    """Run control side and plane in one worker, or one of them; the stack does this itself."""
    from settings import Settings
    from worker.main import Role, serve

    chosen = (Role.CONTROL if control else Role(0)) | (Role.PLANE if plane else Role(0))
    serve(Settings(), chosen or Role.BOTH)


@main.command(hidden=True)
@click.option("--bootstrap", is_flag=True, help="See to the first workspace and its key as well.")
def migrate(bootstrap: bool) -> None:
    """Bring the records' schema up to date; the stack does this itself."""
    import json

    from records.migrations import upgrade
    from settings import Settings

    settings = Settings()
    upgrade(settings.database_url.get_secret_value())
    if bootstrap:
        from deploy.embedded.bootstrap import bootstrap as first
        from deploy.embedded.bootstrap import kept

        secret = settings.bootstrap_key.get_secret_value() or kept(Home(settings.home).api_key)
        tenant = asyncio.run(first(settings.database_url.get_secret_value(), secret))
        click.echo(json.dumps({"tenant_id": str(tenant)}))


def _existing() -> Home:
    home = Home.of(os.environ)
    home.check_owner()
    if not home.exists:
        raise Trouble(
            f"There is no stack in {home.root}: run `graphyard up`, or set GRAPHYARD_HOME to where it is."
        )
    return home


if __name__ == "__main__":
    main(prog_name="graphyard")
