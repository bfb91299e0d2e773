"""What happens to processes and to what supervises them."""

import os
import signal
import subprocess

from dataplane.local.programs import Program
from tests.drift.patient import Patient


async def kill_the_server(patient: Patient) -> None:
    await patient.send(patient.server(), signal.SIGKILL)


async def end_the_server(patient: Patient) -> None:
    """As politely as anybody can."""
    await patient.send(patient.server(), signal.SIGTERM)


async def suspend_the_server(patient: Patient) -> None:
    await patient.send(patient.server(), signal.SIGSTOP)


async def stop_the_program(patient: Patient) -> None:
    """`supervisorctl stop`."""
    await patient.supervisor.stop([patient.server()], urge="KILL")


async def remove_the_conf(patient: Patient) -> None:
    patient.conf(patient.server()).unlink()


async def remove_the_conf_and_reload(patient: Patient) -> None:
    """`supervisorctl update` ends what has no file any more."""
    patient.conf(patient.server()).unlink()
    await patient.supervisor.reload()


async def remove_the_spec(patient: Patient) -> None:
    patient.spec(patient.server()).unlink()


async def edit_the_environment(patient: Patient) -> None:
    patient.rewrite(patient.server(), lambda spec: spec["env"].update(LOG_LEVEL="CRITICAL"))


async def edit_the_secrets(patient: Patient) -> None:
    """Leave out the layer of the revision's own variables."""
    patient.rewrite(patient.server(), lambda spec: spec["sealed"].pop(0))


async def edit_the_image(patient: Patient) -> None:
    """Another deployment's."""
    own = patient.bundle()
    other = next(place.parent for place in own.parent.glob("*/.complete") if place.parent.name != own.name)
    patient.rewrite(
        patient.server(),
        lambda spec: spec.update(argv=[w.replace(own.name, other.name) for w in spec["argv"]]),
    )


async def kill_one_of_two(patient: Patient) -> None:
    assert patient.replicas == 2
    await patient.send(patient.server(1), signal.SIGKILL)


async def suspend_one_of_two(patient: Patient) -> None:
    assert patient.replicas == 2
    await patient.send(patient.server(1), signal.SIGSTOP)


async def start_one_of_an_old_revision(patient: Patient) -> None:
    """Under the supervisor, with the name that a replica of revision 1 had."""
    name = patient.server().replace(f"-{patient.number}-0", "-1-0")
    log = patient.home / "logs" / "deploy" / patient.short / "1-0.log"
    await patient.supervisor.put(Program(name, ("/bin/sleep", "600"), patient.home, log))


async def start_one_by_hand(patient: Patient) -> None:
    """Under nobody's eyes, with the socket of a replica of revision 1."""
    socket = patient.home / "run" / "rev" / f"{patient.short}-1-0.sock"
    process = subprocess.Popen(["/bin/sleep", "600"], env={"GRAPHYARD_SOCKET": str(socket)})

    async def reap() -> None:
        process.kill()
        process.wait()

    patient.undo.append(reap)


async def kill_everything(patient: Patient) -> None:
    """Servers and Valkey at once."""
    pids = [await patient.pid(patient.server(index)) for index in range(patient.replicas)]
    for pid in (*pids, await patient.pid(patient.redis)):
        os.kill(pid, signal.SIGKILL)
