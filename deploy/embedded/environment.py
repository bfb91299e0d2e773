"""What a shell needs to talk to a stack: the variables the official CLI reads, quoted for `eval`."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.embedded.home import Home
from deploy.embedded.ports import Stack

COMMANDS = Path(sys.prefix) / "commands"


def client_variables(home: Home, stack: Stack, environ: Mapping[str, str]) -> dict[str, str]:
    """Where to, with which key, and no proxy on the way to this machine."""
    direct = _direct(environ, stack)
    return {
        "GRAPHYARD_HOME": str(home.root),
        "LANGGRAPH_HOST_URL": f"{stack.url}/api-host",
        "LANGGRAPH_HOST_API_KEY": home.api_key.read_text().strip(),
        "LANGSMITH_TENANT_ID": stack.tenant_id,
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "no_proxy": direct,
        "NO_PROXY": direct,
    }


def _direct(environ: Mapping[str, str], stack: Stack) -> str:
    """The hosts reached without a proxy: those that were, and ours; each once."""
    known = f"{environ.get('no_proxy', '')},{environ.get('NO_PROXY', '')}".split(",")
    hosts = [*known, urlsplit(stack.url).hostname or "", "127.0.0.1", "localhost", "::1"]
    return ",".join(dict.fromkeys(host.strip() for host in hosts if host.strip()))


def exports(variables: Mapping[str, str], commands: Path | None = COMMANDS) -> str:
    """Lines for `eval`; the commands' directory goes last on the PATH, and only once."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    if commands is not None and commands.is_dir():
        path = shlex.quote(str(commands))
        lines.append(f'case ":$PATH:" in *:{path}:*) ;; *) export PATH="$PATH":{path} ;; esac')
    return "\n".join(lines) + "\n"
