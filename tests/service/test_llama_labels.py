"""The choice between labels: which schemas ask for one, how prompts are taken apart, and the arithmetic. No model."""

import math
from collections.abc import Sequence

import pytest

from batchrun.endpoints.schemas import label_schema
from batchrun.model import JsonObject
from batchrun.service.bodies import Message
from batchrun.service.llama.labels import (
    LOG_FLOOR,
    REFERENCE_TEXTS,
    LabelQuestion,
    Tokens,
    choose,
    frame,
    label_question,
    log_chances,
    mean_scores,
    path_after,
    score,
    spellings,
)

END = 0
QUESTION = LabelQuestion(key="label", labels=("good", "bad"))


def test_the_schema_that_labels_build_asks_a_label_question() -> None:
    assert label_question(label_schema(("a", "b", "a"))) == LabelQuestion(
        key="label", labels=("a", "b")
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "array"},
        {"properties": []},
        {"properties": {}},
        {"properties": {"a": {"enum": ["x"]}, "b": {"enum": ["y"]}}},
        {"properties": {"label": True}},
        {"properties": {"label": {"type": "string"}}},
        {"properties": {"label": {"enum": []}}},
        {"properties": {"label": {"enum": "ab"}}},
        {"properties": {"label": {"enum": ["a", 1]}}},
        {"properties": {"label": {"enum": ["a", ""]}}},
        {"required": []},
    ],
    ids=str,
)
def test_any_other_schema_is_left_to_decoding(changed: JsonObject) -> None:
    assert label_question({**label_schema(("a", "b")), **changed}) is None


def _prompt(system: str, *turns: str) -> list[Message]:
    roles = ["user", "assistant"] * len(turns)
    said = [Message(role=role, text=text) for role, text in zip(roles, turns, strict=False)]
    return [Message(role="system", text=system), *said]


def test_a_last_line_with_a_colon_is_the_cue() -> None:
    framing = frame(_prompt("good or bad?", "Nice: it works.\n\n  Mood: \n"), QUESTION)
    assert (framing.text, framing.cue) == ("Nice: it works.", "Mood:")


def test_a_full_width_colon_makes_a_cue_too() -> None:
    assert frame(_prompt("", "いいね\n感情\uff1a"), QUESTION).cue == "感情\uff1a"


@pytest.mark.parametrize("text", ["Mood:", "one line", "text\nno colon", "text\n" + "x" * 50 + ":"])
def test_without_such_a_line_the_name_of_the_property_is_the_cue(text: str) -> None:
    framing = frame(_prompt("", text), LabelQuestion(key="issue_kind", labels=("a", "b")))
    assert (framing.text, framing.cue) == (text, "Issue kind:")


def test_labels_that_the_system_message_does_not_name_are_added_to_it() -> None:
    told = frame(_prompt("Is it Good or BAD?", "x"), QUESTION).before[0].text
    untold = frame(_prompt("Judge.", "x"), QUESTION).before[0].text
    one = frame(_prompt("", "x"), LabelQuestion(key="label", labels=("only",))).before[0].text
    assert told == "Is it Good or BAD?"
    assert untold == "Judge.\nClassify the text as good or bad."
    assert one == "Classify the text as only."


def test_another_text_takes_the_place_of_the_last_message_only() -> None:
    framing = frame(_prompt("good, bad", "first", "answer", "last"), QUESTION)
    assert [one.text for one in framing.messages("other")] == [
        "good, bad",
        "first",
        "answer",
        "other",
    ]


def test_a_label_may_begin_with_a_capital() -> None:
    assert spellings("not spam") == ("not spam", "Not spam")
    assert spellings("URGENT") == ("URGENT",)
    assert spellings("良い") == ("良い",)


def test_the_tokens_of_a_label_are_those_after_the_cue() -> None:
    assert path_after([1, 2, 3, 4], [1, 2]) == (3, 4)


@pytest.mark.parametrize("whole", [[1, 9, 3], [1, 2], [1]])
def test_a_label_that_merges_with_the_cue_has_no_tokens_after_it(whole: list[int]) -> None:
    assert path_after(whole, [1, 2]) is None


class Table:
    """Log-probabilities from a table of the tokens so far; remembers what it was asked."""

    def __init__(self, chances: dict[Tokens, dict[int, float]]) -> None:
        self.chances = chances
        self.asked: list[Tokens] = []

    def __call__(self, so_far: Tokens, candidates: Sequence[int]) -> dict[int, float]:
        self.asked.append(so_far)
        return {token: math.log(self.chances[so_far][token]) for token in candidates}


def _chances(scores: dict[str, float]) -> dict[str, float]:
    return {label: round(math.exp(value), 6) for label, value in scores.items()}


def test_labels_of_different_first_tokens_take_one_question() -> None:
    table = Table({(): {1: 0.2, 2: 0.8}})
    scores = score({"a": [(1, 5, 6)], "b": [(2,)]}, END, table)
    assert _chances(scores) == {"a": 0.2, "b": 0.8}
    assert table.asked == [()]


def test_labels_that_begin_alike_are_told_apart_where_they_part() -> None:
    table = Table({(): {1: 0.5, 2: 0.5}, (1, 7): {3: 0.9, 4: 0.1}})
    scores = score({"ax": [(1, 7, 3)], "ay": [(1, 7, 4)], "b": [(2,)]}, END, table)
    assert _chances(scores) == {"ax": 0.45, "ay": 0.05, "b": 0.5}
    assert table.asked == [(), (1, 7)]


def test_a_label_that_begins_another_is_told_apart_by_the_end() -> None:
    scores = score({"spam": [(1,)], "spam mail": [(1, 2)]}, END, Table({(1,): {END: 0.3, 2: 0.7}}))
    assert _chances(scores) == {"spam": 0.3, "spam mail": 0.7}


def test_the_spellings_of_a_label_add_up() -> None:
    table = Table({(): {1: 0.1, 2: 0.3, 3: 0.6}})
    assert _chances(score({"a": [(1,), (2,)], "b": [(3,)]}, END, table)) == {"a": 0.4, "b": 0.6}


def test_labels_of_the_same_tokens_score_the_same() -> None:
    table = Table({(): {1: 0.25, 2: 0.75}})
    assert _chances(score({"a": [(1,)], "b": [(1,)], "c": [(2,)]}, END, table)) == {
        "a": 0.25,
        "b": 0.25,
        "c": 0.75,
    }


def test_a_single_label_needs_no_question() -> None:
    table = Table({})
    assert score({"only": [(1,), (2,)]}, END, table) == {"only": 0.0}
    assert table.asked == []


def test_what_a_label_scores_on_anything_is_taken_away() -> None:
    scores = {"positive": math.log(0.7), "negative": math.log(0.3)}
    always = [{"positive": math.log(0.9), "negative": math.log(0.1)}] * 3
    assert choose(scores, {"positive": 0.0, "negative": 0.0}) == "positive"
    assert choose(scores, mean_scores(always)) == "negative"


def test_the_first_of_equal_labels_wins() -> None:
    assert choose({"b": -1.0, "a": -1.0}, {"a": 0.0, "b": 0.0}) == "b"


def test_the_prior_is_the_mean_of_the_log_probabilities() -> None:
    assert mean_scores([{"a": -1.0}, {"a": -3.0}]) == {"a": -2.0}


def test_a_candidate_without_probability_gets_the_floor() -> None:
    assert log_chances({1: 1.0, 2: 0.0}, [1, 2, 3]) == {1: 0.0, 2: LOG_FLOOR, 3: LOG_FLOOR}


def test_the_reference_texts_are_distinct_lines() -> None:
    """They decide answers, so a slip in editing them must not go unnoticed."""
    assert len(set(REFERENCE_TEXTS)) == 12
    assert not [text for text in REFERENCE_TEXTS if "\n" in text or text != text.strip()]
