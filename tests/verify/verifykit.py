"""Breaking things by hand, and seeing what verify says."""

from pathlib import Path

from runnerkit import World

from batchrun.verifying.verify import verify


def broken(world: World, *, is_quick: bool = False) -> dict[str, tuple[str, ...]]:
    """What does not hold: findings by name."""
    with world.ledger() as ledger:
        return {o.name: o.findings for o in verify(ledger, is_quick=is_quick).broken}


def change(world: World, sql: str, *parameters: object) -> None:
    """Change the ledger behind batchrun's back; foreign keys do not stop it."""
    with world.ledger() as ledger:
        ledger.connection.execute("pragma foreign_keys = off")
        changed = ledger.connection.execute(sql, parameters).rowcount
        assert changed != 0, "nothing was broken"


def item(world: World, job: str, state: int) -> int:
    """An item of the job in this state."""
    rows = world.rows(
        "select i.id from item_rows i join jobs j on j.id = i.job where j.name = ? and i.state = ? order by i.id",
        job,
        state,
    )
    found: int = rows[0]["id"]
    return found


def batch(world: World, state: int) -> int:
    """The first batch in this state."""
    found: int = world.rows("select id from batch_rows where state = ? order by id", state)[0]["id"]
    return found


def edit(path: Path, old: bytes, new: bytes) -> None:
    """Change a file where it stands."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
