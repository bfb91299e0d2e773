"""`graphyard drift`: what is not as the records say, what is being done about it, and how long that takes.

The api is asked over its socket, by the stack's own key; what it does not say is not guessed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import click
import httpx

from deploy.embedded.deployments import client, deployments
from deploy.embedded.home import Home
from deploy.embedded.troubles import Trouble

PLANE = "local"
AT_ONCE = 8
DOWN = "The api does not answer, so nobody knows what differs: see `graphyard status`, or run `graphyard up`."
TOLD = 20
"""Past differences that are shown of one deployment."""


async def everything(home: Home) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """The plane, and every deployment's name and drift; a trouble while the api does not answer."""
    turns = asyncio.Semaphore(AT_ONCE)
    async with _asked(home) as api:

        async def one(found: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
            async with turns:
                told = await _of(api, found["id"])
            return (found["name"], told) if told else None

        where = await plane(api)
        told = await asyncio.gather(*(one(found) for found in await deployments(home)))
        return where, [found for found in told if found is not None]


async def named(home: Home, name: str) -> dict[str, Any]:
    """One deployment's drift; a trouble if there is none of that name."""
    async with _asked(home) as api:
        for found in await deployments(home):
            if name in (found["name"], found["id"]) and (told := await _of(api, found["id"])):
                return told
    raise Trouble(f"There is no deployment named '{name}': `graphyard drift` lists them.")


async def plane(api: httpx.AsyncClient) -> dict[str, Any]:
    """The stack's own plane, as the records know it."""
    answer = await api.get(f"/v2/listeners/{PLANE}/drift")
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


@asynccontextmanager
async def _asked(home: Home) -> AsyncIterator[httpx.AsyncClient]:
    """The api; that it cannot answer is a trouble."""
    try:
        async with client(home) as api:
            yield api
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            raise
        raise Trouble(str(error.response.json()["detail"])) from None
    except (httpx.HTTPError, OSError):
        raise Trouble(DOWN) from None


async def _of(api: httpx.AsyncClient, deployment_id: str) -> dict[str, Any] | None:
    """One deployment's drift; None if it was deleted meanwhile."""
    answer = await api.get(f"/v2/deployments/{deployment_id}/drift", params={"limit": TOLD})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    told: dict[str, Any] = answer.raise_for_status().json()
    return told


def show(where: dict[str, Any], found: list[tuple[str, dict[str, Any]]], now: datetime) -> None:
    """A line a deployment, and what is to be known of the plane."""
    click.echo(sight(where, now))
    if where["swept"]:
        swept = where["swept"]
        click.echo(f"last sweep {ago(swept['at'], now)}: {swept['sentence']}")
    click.echo()
    if not found:
        click.echo("deployments: none yet")
    else:
        head = ("deployment", "state", "open", "last repair", "repaired in (p95, 24 h)")
        _table([head, *(_line(name, told, now) for name, told in found)])
    for one in where["orphans"]:
        data = ", holds data" if one["holds_data"] else ""
        click.echo(
            f"orphan {one['id']}: {one['kind']} {one['name']}, since {ago(one['first_seen'], now)}{data}"
        )


def show_one(name: str, told: dict[str, Any], now: datetime) -> None:
    """All that is known of one deployment, with what dead processes said last."""
    lasts = f", for {span(told['since'], now)}" if told["since"] else ""
    click.echo(f"{name}: {told['state']}{lasts}")
    if told["why"]:
        click.echo(f"  {told['why']}")
    if told["next_try_at"]:
        click.echo(f"  next try at {clock(told['next_try_at'])}")
    looked = ago(told["looked_at"], now) if told["looked_at"] else "never"
    click.echo(f"  policy {told['policy']}; looked at {looked}; {sight(told['plane'], now)}")
    click.echo()
    click.echo("now: nothing differs" if not told["open"] else "now:")
    _tell(told["open"])
    if told["recent"]["resources"]:
        click.echo("before:")
        _tell(told["recent"]["resources"])
    click.echo()
    head = ("", "found", "repaired", "gone", "noticed in p50/p95", "repaired in p50/p95")
    _table(
        [
            head,
            *(
                (
                    f"last {window}",
                    str(score["found"]),
                    str(score["repaired"]),
                    str(score["gone"]),
                    f"{seconds(score['detected_p50'])} / {seconds(score['detected_p95'])}",
                    f"{seconds(score['repaired_p50'])} / {seconds(score['repaired_p95'])}",
                )
                for window, score in told["score"].items()
            ),
        ]
    )


def sight(where: dict[str, Any], now: datetime) -> str:
    """Whether a plane can be seen, in half a sentence."""
    said = f"plane {where['name']} {where['status']}"
    if where["status"] == "offline":
        said += f" since {clock(where['offline_since'])} ({ago(where['offline_since'], now)})"
    return said


def seconds(value: float | None) -> str:
    """9 ms, 1.2 s, 43 s, or - where nothing was measured."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def span(moment: str, now: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    past = max(0, int((now - datetime.fromisoformat(moment)).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if past >= size:
            return f"{past // size} {unit}"
    return f"{past} s"


def ago(moment: str, now: datetime) -> str:
    return f"{span(moment, now)} ago"


def clock(moment: str) -> str:
    """A moment as this machine's clock shows it."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _line(name: str, told: dict[str, Any], now: datetime) -> tuple[str, ...]:
    worst = told["open"][0]["sentence"] if told["open"] else ""
    more = f" (and {len(told['open']) - 1} more)" if len(told["open"]) > 1 else ""
    repairs = [one["closed_at"] for one in told["recent"]["resources"] if one["outcome"] == "repaired"]
    return (
        name,
        told["state"],
        f"{worst}{more}" or "-",
        ago(repairs[0], now) if repairs else "-",
        seconds(told["score"]["24h"]["repaired_p95"]),
    )


def _tell(differences: Iterable[dict[str, Any]]) -> None:
    for one in differences:
        code = f" [{one['code']}]" if one["code"] else ""
        click.echo(f"  {clock(one['since'] or one['noticed_at'])}  {one['sentence']}{code}")
        click.echo(f"    wanted {one['wanted']}; {one['severity']}; found by {one['found_by']}")
        if one["treatment"]:
            took = f" after {seconds(one['lasted_ms'] / 1000)}" if one["lasted_ms"] is not None else ""
            vain = f"; {one['rounds']} repairs did not hold" if one["rounds"] else ""
            click.echo(f"    {one['outcome'] or 'tried'}{took}: {one['treatment']}{vain}")
        for line in one["evidence"].splitlines():
            click.echo(f"    | {line}")


def _table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
