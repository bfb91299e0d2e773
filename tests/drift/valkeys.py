"""What somebody with a Redis client, or an editor, does to a deployment's Valkey."""

import shutil
import signal

from tests.drift.patient import Patient


async def suspend_the_valkey(patient: Patient) -> None:
    await patient.send(patient.redis, signal.SIGSTOP)


async def kill_the_valkey(patient: Patient) -> None:
    await patient.send(patient.redis, signal.SIGKILL)


async def stop_the_valkey(patient: Patient) -> None:
    await patient.supervisor.stop([patient.redis])


async def remove_the_valkeys_conf(patient: Patient) -> None:
    """And have supervisor hear of it."""
    patient.conf(patient.redis).unlink()
    await patient.supervisor.reload()


async def stop_appending(patient: Patient) -> None:
    """From then on nothing would outlive a restart."""
    await patient.valkey("CONFIG", "SET", "appendonly", "no")


async def change_the_password(patient: Patient) -> None:
    await patient.valkey("CONFIG", "SET", "requirepass", "guessed")


async def need_no_password(patient: Patient) -> None:
    await patient.valkey("ACL", "SETUSER", "default", "nopass")


async def forget_under_pressure(patient: Patient) -> None:
    """Runs would vanish from the queue once memory is short."""
    await patient.valkey("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")


async def edit_the_configuration(patient: Patient) -> None:
    file = patient.redis_data() / "valkey.conf"
    file.write_text(file.read_text().replace("appendonly yes", "appendonly no"))


async def remove_the_configuration(patient: Patient) -> None:
    (patient.redis_data() / "valkey.conf").unlink()


async def remove_the_socket(patient: Patient) -> None:
    (patient.home / "run" / "redis" / f"{patient.short}.sock").unlink()


async def remove_the_data(patient: Patient) -> None:
    shutil.rmtree(patient.redis_data())
