"""Limits that bind: what does not fit waits and says so, and no pass spends more than it may."""

from typing import Any

from runnerkit import DAY_S, NewWorld, World, items

from batchrun.errors import Ambiguous, Transient
from batchrun.ledger.bills import standing
from batchrun.money.amounts import DOLLAR
from batchrun.money.limits import Limit, Period, Scope
from batchrun.service.options import Options
from batchrun.testing_backend import Fault

PRICE = '[price."gpt-4.1-mini"]\nbatch = { input = 10, output = 100 }\n'
# One of these requests: up to 18 input tokens, and 1,000 tokens of answer with what comes on top of a cap.
EACH = 0.11


def with_budget(world: World, text: str, **changes: Any) -> World:
    (world.folder / "batchrun.toml").write_text(PRICE + text, encoding="utf-8")
    world.write(items(20), **changes)
    world.submit()
    return world


def shortages(world: World) -> list[str]:
    return [row["reason"] for row in world.rows("select reason from short_of_money")]


def taken(world: World) -> float:
    limit = Limit(scope=Scope.HOME, name="", period=Period.TOTAL, amount=0)
    with world.ledger() as ledger:
        return standing(ledger, limit, world.clock.now()).taken / DOLLAR


def test_a_batch_that_fits_is_reserved_with_it_and_settled_with_its_end(world: World) -> None:
    with_budget(world, "[budget]\nmonth = 10\n")
    world.tick()
    (bill,) = world.rows("select * from bills")
    assert bill["cost"] is None
    assert 20 * 0.10 < bill["reserved"] / DOLLAR < 20 * EACH
    assert taken(world) == bill["reserved"] / DOLLAR
    world.run()
    (settled,) = world.rows("select * from bills")
    usage = world.rows("select sum(input_tokens) as i, sum(output_tokens) as o from results")[0]
    assert settled["cost"] == usage["i"] * 10 * 10**6 + usage["o"] * 100 * 10**6
    assert settled["presumed"] == 0
    assert world.tally() == {"succeeded": 20}


def test_what_does_not_fit_goes_in_parts_as_batches_settle(world: World) -> None:
    with_budget(world, "[budget]\nmonth = 1\n")
    world.tick()
    (first,) = world.batches()
    assert first["request_count"] == 9  # of 20: nine times 0.107 dollars fit into one
    assert "$1.00 a month" in shortages(world)[0]
    world.run()
    assert world.tally() == {"succeeded": 20}
    assert world.batches()[0]["request_count"] == 9
    assert taken(world) < 1
    assert shortages(world) == []


def test_a_limit_that_is_used_up_ends_the_work_and_the_next_month_goes_on(world: World) -> None:
    world.script = []
    with_budget(world, "[budget]\nmonth = 0.11\n")
    result = world.run()
    assert result.next_at is None
    assert world.tally()["pending"] > 0
    (why,) = shortages(world)
    assert "is left of $0.11 a month" in why
    done = world.tally()["succeeded"]
    world.clock.advance(31 * DAY_S)
    world.run()
    assert world.tally()["succeeded"] > done


def test_a_limit_of_nothing_stops_everything(world: World) -> None:
    with_budget(world, "[budget.tag.eu]\nday = 0\n", tags=["eu"])
    assert world.run().next_at is None
    assert world.tally() == {"pending": 20}
    (why,) = shortages(world)
    assert why.startswith("a limit of $0.00 a day of tag 'eu' lets nothing be sent. To raise it,")
    assert why.endswith(f"change 'day' under [budget.tag.eu] in {world.folder / 'batchrun.toml'}")


def test_a_limit_for_another_job_binds_nothing(world: World) -> None:
    with_budget(world, "[budget.job.other]\nday = 0\n")
    world.run()
    assert world.tally() == {"succeeded": 20}
    assert world.rows("select * from bills") == []


def test_a_limit_in_the_job_line_binds(world: World) -> None:
    with_budget(world, "", budget=0.25)
    world.tick()
    assert [b["request_count"] for b in world.batches()] == [2]


def test_a_soft_limit_reserves_and_lets_everything_go(world: World) -> None:
    with_budget(world, "[budget]\nsoft_month = 0.001\n")
    world.run()
    assert world.tally() == {"succeeded": 20}
    assert taken(world) > 0.001


def test_a_soft_limit_of_nothing_stops_nothing(world: World) -> None:
    with_budget(world, "[budget]\nsoft_month = 0\n").run()
    assert world.tally() == {"succeeded": 20}


def test_a_batch_that_cost_too_much_stops_its_own_account_until_it_is_let_go(world: World) -> None:
    with_budget(world, "[budget]\nmonth = 10\n").run()
    with world.ledger() as ledger:
        ledger.execute("update bills set is_overrun = 1")
    world.write(items(21))
    world.submit()
    world.run()
    assert world.tally() == {"succeeded": 20, "pending": 1}
    (why,) = shortages(world)
    assert "account 'default' sends nothing" in why
    other = "[profile.openai]\naccount = 'b'\n[budget]\nmonth = 10\n"
    (world.folder / "batchrun.toml").write_text(PRICE + other, encoding="utf-8")
    world.run()
    assert world.tally() == {"succeeded": 21}


def test_a_limit_that_is_lowered_takes_back_what_was_not_sent(new_world: NewWorld) -> None:
    world = new_world(faults=[Fault(call="upload", error=Transient("busy"))])
    with_budget(world, "[budget]\nmonth = 10\n")
    assert [b["name"] for b in world.batches()] == ["planned"]
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nmonth = 0.5\n")
    world.clock.advance(DAY_S)
    world.tick()
    world.tick()
    first, *_ = [b for b in world.batches() if b["name"] == "created"]
    assert first["request_count"] == 4
    assert taken(world) <= 0.5
    world.run()
    assert world.tally() == {"succeeded": 20}


def test_an_unknown_price_pauses_the_job_under_a_hard_limit_that_comes_later_only(
    new_world: NewWorld,
) -> None:
    for name, budget, states in (
        ("hard", "[budget]\nmonth = 1\n", {"pending": 20}),
        ("soft", "[budget]\nsoft_month = 1\n", {"succeeded": 20}),
    ):
        world = new_world()
        world.write(items(20), model="nobody-knows-it")
        world.submit(send=False)
        (world.folder / "batchrun.toml").write_text(PRICE + budget)
        world.run()
        assert world.tally() == states
        (job,) = world.rows("select paused from jobs")
        is_paused = "no batch price of 'nobody-knows-it'" in (job["paused"] or "")
        assert is_paused is (name == "hard")


def test_fees_of_tools_are_reserved_and_stay_spent_since_no_usage_tells_them(world: World) -> None:
    text = "[fee]\nweb_search = 0.01\n[budget]\nmonth = 1000\n"
    body = {"tools": [{"type": "web_search"}], "max_tool_calls": 3}
    with_budget(world, text, body=body).run()
    assert world.tally() == {"succeeded": 20}
    (bill,) = world.rows("select * from bills")
    usage = world.rows("select sum(input_tokens) as i, sum(output_tokens) as o from results")[0]
    assert bill["fees"] == 20 * 3 * DOLLAR // 100
    assert bill["cost"] == bill["fees"] + usage["i"] * 10 * 10**6 + usage["o"] * 100 * 10**6


def test_a_limit_that_comes_later_counts_what_was_sent_before_it(world: World) -> None:
    with_budget(world, "")
    world.run()
    assert world.rows("select * from bills") == []
    world.write(items(40))
    world.submit(send=False)
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nmonth = 0.5\n")
    world.tick()
    old, new = world.rows("select * from bills order by batch")
    assert old["cost"] > 0
    assert (old["is_overrun"], old["reserved"] >= old["cost"]) == (0, True)
    assert old["cost"] + new["reserved"] <= 0.5 * DOLLAR


def test_a_batch_that_is_out_when_a_limit_comes_reserves_its_worst_case(world: World) -> None:
    with_budget(world, "")
    world.tick()
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nmonth = 10\n")
    world.tick()
    assert taken(world) > 2
    world.run()
    assert taken(world) < 0.1


def test_what_is_out_without_a_price_when_a_limit_comes_pauses_its_job_and_is_collected(
    world: World,
) -> None:
    world.write(items(2), model="nobody-knows-it")
    world.submit()
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nmonth = 10\n")
    world.run()
    assert world.tally() == {"succeeded": 2}
    (job,) = world.rows("select paused from jobs")
    assert "no batch price of 'nobody-knows-it'" in job["paused"]
    assert world.incidents() == ["unpriced"]


def test_a_limit_that_is_taken_away_leaves_no_word_of_it(world: World) -> None:
    with_budget(world, "[budget]\nmonth = 0.05\n")
    assert len(shortages(world)) == 1
    (world.folder / "batchrun.toml").write_text(PRICE, encoding="utf-8")
    world.tick()
    assert shortages(world) == []
    world.run()
    assert world.tally() == {"succeeded": 20}


def test_sound_is_settled_at_the_price_of_sound(world: World) -> None:
    text = '[price."gpt-audio"]\nbatch = { input = 10, output = 100, audio_input = 320 }\ncontext_tokens = 1000\n'
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    (world.folder / "batchrun.toml").write_text(f"{text}[budget]\nmonth = 100\n")
    world.write(
        [
            {
                "id": "a",
                "input": [{"role": "user", "content": [{"type": "text", "text": "hear"}, sound]}],
            }
        ],
        model="gpt-audio",
        endpoint="/v1/chat/completions",
        prompt=None,
        max_output_tokens=None,
        body={"max_completion_tokens": 10},
    )
    assert world.submit().error is None
    world.run()
    (bill,) = world.rows("select * from bills")
    usage = world.rows("select sum(input_tokens) as i, sum(output_tokens) as o from results")[0]
    assert usage["i"] > 0
    assert bill["cost"] == usage["i"] * 320 * 10**6 + usage["o"] * 100 * 10**6


def test_where_a_good_part_of_a_limit_is_free_a_part_goes_while_others_are_out(
    world: World,
) -> None:
    with_budget(world, "[budget]\nmonth = 1\n")
    small = world.write(items(2), job="small", path=world.folder / "small.jsonl")
    world.submit(small)
    assert [b["request_count"] for b in world.batches()] == [9]  # nothing is left for the other
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nmonth = 2\n")
    world.tick()
    # The other whole, and of the rest as many as fit into what is left of a limit of which a good part was free.
    assert sum(b["request_count"] for b in world.batches()) == 18
    assert taken(world) <= 2
    world.run()


def test_what_a_service_made_twice_is_presumed_twice_and_once_only(new_world: NewWorld) -> None:
    lost = Fault(call="create", error=Ambiguous("lost"), when="after")
    world = new_world(faults=[lost], options=Options(validating_s=3_600))
    with_budget(world, "[budget]\nmonth = 10\n")
    (row,) = world.batches()
    (bill,) = world.rows("select reserved from bills")
    world.embedded.create(
        input_file_id=row["input_file_id"],
        endpoint=row["endpoint"],
        window=row["window"],
        metadata={"batchrun": row["token"]},
    )
    world.clock.advance(60)
    for _ in range(3):
        world.tick()
        world.clock.advance(60)
    assert world.incidents() == ["duplicate_batch"]
    assert round(taken(world) * DOLLAR) == 2 * bill["reserved"]
    world.run()


def test_what_ended_without_a_price_and_whose_requests_are_gone_is_told_once(world: World) -> None:
    world.write(items(2), model="nobody-knows-it")
    world.submit()
    world.run()
    world.api().prune()
    assert list(world.home.requests.iterdir()) == []
    (world.folder / "batchrun.toml").write_text(PRICE + "[budget]\nmonth = 10\n")
    for _ in range(2):
        world.tick()
    (incident,) = world.rows("select kind, message from incidents")
    assert incident["kind"] == "unpriced"
    assert "batch 1 is in no limit: no batch price of 'nobody-knows-it'" in incident["message"]
