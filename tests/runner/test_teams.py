"""A profile per team: the same job file is a job of each, and what one uses is not counted for the other."""

from runnerkit import NewWorld, items

from batchrun.outputs.reporting import job_report

TEAMS = ("sales", "support")


def test_the_same_file_at_two_profiles_is_two_jobs_with_usage_of_their_own(
    new_world: NewWorld,
) -> None:
    world = new_world()
    (world.folder / "batchrun.toml").write_text(
        "".join(f'[profile.{team}]\npreset = "openai"\n' for team in TEAMS)
    )
    for count, team in enumerate(TEAMS, start=1):
        world.write(items(count))
        world.lent = {"backend": team}
        assert world.submit().error is None
    world.run()
    jobs = world.rows("select id, name, profile, outputs from jobs order by profile")
    assert [(job["name"], job["profile"]) for job in jobs] == [("reviews", t) for t in TEAMS]
    assert [job["outputs"].rpartition("/")[2] for job in jobs] == [f"reviews@{t}" for t in TEAMS]
    with world.ledger() as ledger:
        used = [job_report(ledger, job["id"])["by_profile"] for job in jobs]
    assert [{p: u["attempts"] for p, u in found.items()} for found in used] == [
        {"sales": 1},
        {"support": 2},
    ]
