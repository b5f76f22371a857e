"""Losing a ledger, in the ways in which ledgers are lost, and what must be true when it was recovered."""

import shutil
from pathlib import Path

from crashkit import outcome
from runnerkit import World

from batchrun.recovery.found import Recovered
from batchrun.recovery.recovering import RecoverOptions


def lose_home(world: World) -> None:
    """All of the home is gone."""
    shutil.rmtree(world.home.path)


def lose_database(world: World) -> None:
    """The ledger is gone, and the spool beside it is not."""
    world.home.database.unlink()


def back_up(world: World) -> Path:
    """A copy of the home as it is now."""
    target = world.folder / "backup"
    shutil.copytree(world.home.path, target)
    return target


def restore(world: World, backup: Path) -> None:
    """Put the copy in the place of the home, into the very folder: the home is not a copied one."""
    for path in list(world.home.path.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(backup, world.home.path, dirs_exist_ok=True)


def restore_database(world: World, backup: Path) -> None:
    """Put back the ledger alone: the spool is newer."""
    shutil.copy(backup / "batchrun.db", world.home.database)


def recover(world: World, *files: Path, **options: object) -> Recovered:
    """`batchrun recover FILE...`; of the job file where none is named."""
    return world.api().recover(files or (world.job_file,), RecoverOptions(**options))  # type: ignore[arg-type]


def became(recovered: Recovered) -> list[str]:
    """What became of each batch, in the order of their creation."""
    return [str(batch.became) for batch in recovered.batches]


def finish(world: World) -> None:
    """Submit the job file again, and go on to the end."""
    prepared = world.submit()
    assert prepared.error is None, prepared.error
    world.run()


def untroubled(world: World) -> tuple[bytes, bytes]:
    """The outputs of a world that lost nothing, after its end."""
    world.submit()
    world.run()
    return outcome(world)


def custom_ids_once(world: World) -> bool:
    """Whether no request was executed twice at the far end."""
    return all(times == 1 for times in world.charges().values())
