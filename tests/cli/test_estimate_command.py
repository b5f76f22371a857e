"""`batchrun estimate`: what a submit would cost, offline, before anything is sent."""

from typing import Any

import pytest
from clikit import Desk

from batchrun.service.service import BatchService

NOTHING = {"picodollars": 0, "usd": "0"}


def estimate(desk: Desk, *words: str) -> Any:
    (job,) = desk.call("estimate", "--json", *words).json["jobs"]
    return job


def test_it_says_what_is_asked_and_what_it_costs_in_each_way(desk: Desk) -> None:
    called = desk.call("estimate", desk.job())

    assert called.code == 0
    head, asked, given, made, _, batch, flex, live, time, *notes = called.out.splitlines()
    assert head == "faq (openai): 2 items: 2 new"
    assert asked == "  2 requests in 1 batch, to gpt-5-mini"
    assert given.startswith("  input   ")
    assert given.endswith("(o200k_base)")
    assert made == "  output  200 low, 1,000 expected, 4,000 at worst"
    assert [row.split()[0] for row in (batch, flex, live)] == ["batch", "flex", "live"]
    assert all("genai-prices 0." in row and "2026-" in row for row in (batch, flex, live))
    assert time == "  time    batch within 24 h; live about 15 s"
    assert "guessed" in notes[0]


def test_it_leaves_nothing_and_needs_no_key(desk: Desk) -> None:
    desk.call("estimate", desk.job())

    assert [path.name for path in desk.folder.iterdir()] == ["faq.jsonl"]


def test_figures_are_exact_in_json(desk: Desk) -> None:
    job = estimate(desk, desk.job())

    (model,) = job["models"]
    assert model["counted_with"] == "o200k_base"
    given, most = model["input_tokens"]["expected"], model["input_tokens"]["at_most"]
    assert job["mode"] == "batch"
    batch = job["costs"]["batch"]
    assert batch["expected"]["picodollars"] == 125_000 * given + 1_000_000 * 1_000
    assert batch["worst"]["picodollars"] == 125_000 * most + 1_000_000 * 4_000
    assert float(batch["worst"]["usd"]) == batch["worst"]["picodollars"] / 10**12
    assert (job["requests"], job["batches"], job["window_s"]) == (2, 1, 86_400)


def test_a_price_that_nobody_knows_ends_with_8_and_says_how_to_give_one(desk: Desk) -> None:
    path = desk.job(model="acme-7b")
    called = desk.call("estimate", path)

    assert called.code == 8
    assert '[price."acme-7b".batch]' in called.err
    assert "unknown" in called.out
    (desk.folder / "batchrun.toml").write_text(
        '[price."acme-7b".batch]\ninput = 1\noutput = 2\n[price."acme-7b"]\ndate = "2026-11-01"\n'
    )
    priced = desk.call("estimate", path)
    assert priced.code == 0
    assert "batchrun.toml, 2026-11-01" in priced.out


def test_models_are_compared_in_a_table(desk: Desk) -> None:
    called = desk.call("estimate", desk.job(), "--compare", "gpt-5-nano, gpt-4, acme-7b")

    table = called.out.split("MODEL")[1].splitlines()
    assert called.code == 0, "what is only compared may be unknown"
    assert [row.split()[0] for row in table[1:5]] == ["gpt-5-mini", "gpt-5-nano", "gpt-4", "acme-7b"]  # fmt: skip
    assert "unknown" in table[4]
    compared = estimate(desk, desk.job(), "--compare", "gpt-5-nano")["compared"]
    assert compared[0]["costs"]["batch"]["expected"] is not None


def test_a_model_on_this_machine_costs_nothing(desk: Desk) -> None:
    called = desk.call("estimate", desk.job(), "--backend", "local")

    assert called.code == 0
    assert "$0.00: it runs on this machine" in called.out
    assert desk.call("estimate", "--json", desk.job(), "--backend", "local").json["total"] == {
        **dict.fromkeys(("low", "expected", "worst"), NOTHING),
        "prices": [],
        "why_not": None,
    }


def test_what_is_asked_line_by_line_has_no_window(desk: Desk) -> None:
    job = estimate(desk, desk.job(), "--backend", "direct")

    assert (job["mode"], job["window_s"]) == ("live", None)
    assert list(job["costs"]) == ["live", "batch", "flex"]
    flex = estimate(desk, desk.job(body={"service_tier": "flex"}), "--backend", "direct")
    assert flex["mode"] == "flex"
    first = estimate(desk, desk.job(body={"service_tier": "priority"}), "--backend", "direct")
    costs = first["costs"]
    assert costs["priority"]["low"]["picodollars"] > costs["live"]["low"]["picodollars"]


def test_an_attached_image_counts_by_its_own_size(desk: Desk) -> None:
    (desk.folder / "a.gif").write_bytes(b"GIF89a\x00\x04\x00\x04" + bytes(9))
    line = {"job": "faq", "endpoint": "/v1/responses", "model": "gpt-4.1", "prompt": "x"}
    path = desk.write("faq.jsonl", {**line, "attach": "a.gif", "max_output_tokens": 9}, {"id": "a"})
    job = estimate(desk, path)

    assert job["models"][0]["input_tokens"]["at_most"] < 85 + 4 * 170 + 30
    assert "765 to 765 tokens" in " ".join(job["notes"] + job["models"][0]["notes"])


def test_what_the_figures_leave_out_is_told(desk: Desk) -> None:
    path = desk.job(
        canary={"items": 1, "live": True},
        deadline="20h",
        repair={"max_output_tokens": 4_000},
    )

    notes = " ".join(estimate(desk, path)["notes"])
    assert all(word in notes for word in ("canary", "'deadline'", "'repair'"))


def test_what_is_billed_by_the_second_is_not_priced_by_tokens(desk: Desk) -> None:
    line = {"job": "clips", "endpoint": "/v1/videos", "model": "sora-2", "prompt": "{{ x }}"}
    called = desk.call("estimate", desk.write("clips.jsonl", line, {"id": "a", "x": "a cat"}))

    assert called.code == 8
    assert "billed by the second" in called.err


def test_answered_items_cost_nothing_and_their_answers_tell_what_others_take(
    desk: Desk, service: BatchService
) -> None:
    assert desk.call("run", desk.job()).code == 0

    same = desk.call("estimate", desk.job())
    assert "nothing would be asked: it costs nothing" in same.out
    more = estimate(desk, desk.job("faq", "one", "two", "three", "four"))
    assert more["requests"] == 2
    assert more["answers"] == 2
    assert any("2 answers of this job" in note for note in more["notes"])
    assert more["models"][0]["output_tokens"]["expected"] < 200
    assert desk.call("status", "--json").json["jobs"][0]["counts"]["items"] == 2


def test_items_that_a_cancel_took_back_are_asked_again_and_paid(
    desk: Desk, service: BatchService
) -> None:
    desk.call("submit", desk.job("first"))
    desk.call("hold")
    desk.call("submit", desk.job())
    desk.call("cancel", "faq", "--yes")

    again = estimate(desk, desk.job())
    assert (again["items"]["requeued"], again["requests"], again["batches"]) == (2, 2, 1)


def test_a_change_that_waits_for_the_answer_under_way_is_paid_too(
    desk: Desk, service: BatchService
) -> None:
    desk.call("submit", desk.job())

    changed = estimate(desk, desk.job("faq", "one", "another two"))
    assert (changed["items"]["superseded"], changed["requests"], changed["batches"]) == (1, 1, 1)


def test_changed_items_are_counted_without_a_guard_in_the_way(
    desk: Desk, service: BatchService
) -> None:
    texts = [f"text {n}" for n in range(120)]
    assert desk.call("run", desk.job("faq", *texts), "--yes").code == 0

    changed = estimate(desk, desk.job("faq", *texts, prompt="Now: {{ text }}"))
    assert (changed["error"], changed["requests"]) == (None, 120)


def test_an_error_in_the_data_is_told_as_check_tells_it(desk: Desk) -> None:
    path = desk.write("faq.jsonl", {"job": "faq", "model": "m", "prompt": "{{ x }}"}, {"y": 1})
    called = desk.call("estimate", path, desk.job("good"))

    assert called.code == 5
    assert "faq.jsonl:2" in called.err
    assert "good (openai): 2 items" in called.out


def test_several_jobs_are_added_up(desk: Desk) -> None:
    document = desk.call("estimate", "--json", desk.job("a"), desk.job("b")).json

    both = [job["costs"]["batch"]["worst"]["picodollars"] for job in document["jobs"]]
    assert document["total"]["worst"]["picodollars"] == sum(both)
    assert "total: $" in desk.call("estimate", desk.job("a"), desk.job("b")).out


@pytest.mark.parametrize("cap", [None, 2_000])
def test_a_missing_cap_is_told_with_what_it_may_cost(desk: Desk, cap: int | None) -> None:
    job = estimate(desk, desk.job(max_output_tokens=cap) if cap else _without_cap(desk))

    (model,) = job["models"]
    assert model["output_tokens"]["worst"] == 2 * (cap or 128_000)
    assert any("no cap" in note for note in model["notes"]) is (cap is None)


def _without_cap(desk: Desk) -> str:
    line = {"job": "faq", "model": "gpt-5-mini", "prompt": "Q: {{ text }}"}
    return desk.write("faq.jsonl", line, {"id": "a", "text": "x"}, {"id": "b", "text": "y"})


def advice(desk: Desk, *words: str) -> dict[str, Any]:
    return {one["topic"]: one for one in estimate(desk, *words)["advice"]}


def test_what_would_cost_less_is_said_with_its_figure(desk: Desk) -> None:
    found = advice(desk, _without_cap(desk))

    assert found["no_cap"]["saves"]["picodollars"] == 2 * (128_000 - 4_000) * 1_000_000
    assert found["smaller_model"]["text"].startswith('a smaller model: "model": "gpt-5-nano"')
    lines = desk.call("estimate", "faq.jsonl").out.splitlines()
    assert [line.removeprefix("  advice: ") for line in lines if "  advice: " in line] == [
        one["text"] for one in found.values()
    ]


def test_with_models_to_compare_the_cheapest_of_them_is_advised(desk: Desk) -> None:
    assert "smaller_model" not in advice(desk, desk.job(), "--compare", "gpt-5")
    found = advice(desk, desk.job(), "--compare", "gpt-5,gpt-4.1-nano")["smaller_model"]
    assert '"model": "gpt-4.1-nano"' in found["text"]


def test_a_text_of_ones_own_is_counted_in_place_of_the_instructions(desk: Desk) -> None:
    path = desk.job(instructions="Antworte kurz und bündig, in ganzen Sätzen. " * 9)
    (desk.folder / "short.txt").write_text("Answer briefly.\n", "utf-8")
    found = advice(desk, path, "--instead", "short.txt")["instead"]

    assert found["text"].startswith("short.txt has 3 tokens where the instructions have ")
    assert found["saves"]["picodollars"] == found["tokens"] * 125_000 > 0
    assert "repeated" in advice(desk, path)
    (desk.folder / "short.txt").write_bytes(b"\xff")
    assert desk.call("estimate", path, "--instead", "short.txt").code == 2
    assert desk.call("estimate", path, "--instead", "none.txt").code == 2


def test_what_costs_more_is_told_below_zero(desk: Desk) -> None:
    path = desk.job(instructions="Be brief.")
    (desk.folder / "long.txt").write_text("Be as brief as you can.")
    saves = advice(desk, path, "--instead", "long.txt")["instead"]["saves"]

    assert saves["picodollars"] < 0
    assert float(saves["usd"]) * 10**12 == saves["picodollars"]


def test_there_is_no_advice_on_what_costs_nothing_or_asks_nothing(
    desk: Desk, service: BatchService
) -> None:
    assert estimate(desk, _without_cap(desk), "--backend", "local")["advice"] == []
    assert desk.call("run", _without_cap(desk)).code == 0
    assert estimate(desk, _without_cap(desk))["advice"] == []


def test_check_says_what_the_job_line_alone_tells(desk: Desk) -> None:
    called = desk.call("check", _without_cap(desk))

    told = "no output cap: nothing bounds 2 answers;"
    assert called.out.splitlines()[1].startswith(f"  advice: {told}")
    (job,) = desk.call("check", "--json", "faq.jsonl").json["jobs"]
    assert job["advice"][0].startswith(told)
    (capped,) = desk.call("check", "--json", desk.job()).json["jobs"]
    assert capped["advice"] == []
