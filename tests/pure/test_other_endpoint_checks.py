"""What completions, moderations, images and videos are asked, and what of it is refused before anything is sent."""

import pytest

from batchrun.endpoints import endpoint_of
from batchrun.model import JobSettings, Json, JsonObject
from batchrun.requests import BadItem, RequestBuilder

COMPLETIONS, MODERATIONS, VIDEOS = "/v1/completions", "/v1/moderations", "/v1/videos"
EMBEDDINGS = "/v1/embeddings"
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
LINK, FILE = {"image_url": "https://images.example/a.png"}, {"file_id": "file-1"}


def job(url: str, **keys: Json) -> JobSettings:
    return JobSettings(name="j", path="/jobs/j.jsonl", line=1, endpoint=url, model="m", **keys)


def build(settings: JobSettings, prompt: Json = "Hello") -> JsonObject:
    endpoint = endpoint_of(settings.endpoint)
    return endpoint.build(settings, model=None, prompt=prompt, instructions=None, body={})


def problems(url: str, body: JsonObject) -> tuple[str, ...]:
    return endpoint_of(url).check_body(body)[0]


@pytest.mark.parametrize(
    ("url", "name"),
    [(COMPLETIONS, "prompt"), (MODERATIONS, "input"), (GENERATIONS, "prompt"), (VIDEOS, "prompt")],
)
def test_the_prompt_goes_where_the_endpoint_takes_it(url: str, name: str) -> None:
    assert build(job(url)) == {"model": "m", name: "Hello"}


def test_completions_have_their_own_name_for_the_cap() -> None:
    assert build(job(COMPLETIONS, max_output_tokens=9))["max_tokens"] == 9


def test_moderations_take_arrays_of_texts_and_of_parts() -> None:
    parts = [
        {"type": "text", "text": "x"},
        {"type": "image_url", "image_url": {"url": "https://x"}},
    ]
    for given in (["a", "b"], parts):
        body = build(job(MODERATIONS), given)
        assert endpoint_of(MODERATIONS).check_body(body, is_complete=True) == ((), ())


@pytest.mark.parametrize(
    ("url", "name", "right"),
    [
        (COMPLETIONS, "max_completion_tokens", "max_tokens"),
        (MODERATIONS, "prompt", "input"),
        (GENERATIONS, "input", "prompt"),
        (EDITS, "image", "images"),
        (VIDEOS, "image", "input_reference"),
        (VIDEOS, "duration", "seconds"),
    ],
)
def test_another_endpoints_name_is_a_problem_that_names_the_right_one(
    url: str, name: str, right: str
) -> None:
    (said,) = problems(url, {name: "x"})
    assert said.startswith(f"unknown parameter {name!r} of {url}. Did you mean {right!r}? ")


@pytest.mark.parametrize(
    ("url", "body", "said"),
    [
        (COMPLETIONS, {"stream": True}, "'stream' cannot be true"),
        (GENERATIONS, {"background": True}, "'background' must be"),
        (COMPLETIONS, {"background": True}, "'background' cannot be true"),
        (COMPLETIONS, {"prompt": ["a", "b"]}, "Make each of them an item of its own"),
        (GENERATIONS, {"stream": True}, "'stream' cannot be true"),
        (GENERATIONS, {"partial_images": 1}, "'partial_images' is for streams"),
        (EDITS, {"images": []}, "'images' must be 1 to 16 images, not 0."),
        (EDITS, {"images": [LINK] * 17}, "'images' must be 1 to 16 images, not 17."),
        (EDITS, {"images": [{}]}, "'images[0]' must name one image"),
        (EDITS, {"images": [{**LINK, **FILE}]}, "'images[0]' must name one image"),
        (EDITS, {"images": ["https://a"]}, '{"image_url": "https://a"}'),
        (EDITS, {"images": [LINK, 3]}, "'images[1]' must be"),
        (EDITS, {"images": LINK}, "'images' must be array, not object."),
        (EDITS, {"images": [LINK], "mask": {}}, "'mask' must name one image"),
        (VIDEOS, {"input_reference": "https://a"}, "'input_reference' must be object, not string."),
        (
            VIDEOS,
            {"input_reference": {"image_url": 3}},
            "'input_reference.image_url' must be string",
        ),
        (VIDEOS, {"input_reference": {}}, "'input_reference' must name one image"),
        (VIDEOS, {"input_reference": {"image_url": "a.png"}}, "is no URL"),
        (EDITS, {"images": [{"image_url": "../a.png"}]}, "'images[0].image_url' is no URL"),
        (EMBEDDINGS, {"input": ""}, "'input' is empty."),
        (EMBEDDINGS, {"input": [5.5]}, "'input' must be texts, or tokens,"),
        (EMBEDDINGS, {"input": ["a", 1]}, "'input' must be texts, or tokens,"),
        (MODERATIONS, {"input": [{"type": "input_text", "text": "x"}]}, "Here it is 'text'."),
        (VIDEOS, {"seconds": 4}, "'seconds' must be string, not integer."),
        (MODERATIONS, {"input": 3}, "'input' must be string or array"),
        (EMBEDDINGS, {"input": []}, "'input' must be an array of 1 to 2,048, not 0."),
        (EMBEDDINGS, {"input": ["a"] * 2049}, "of 1 to 2,048, not 2,049. Make more items of it."),
        (EMBEDDINGS, {"input": [7] * 2049}, "of 1 to 2,048, not 2,049."),
        (EMBEDDINGS, {"input": ["a", ""]}, "'input[1]' is empty."),
        (EMBEDDINGS, {"input": [[7], []]}, "'input[1]' is empty."),
    ],
)
def test_what_cannot_work_is_refused_and_says_what_to_do(
    url: str, body: JsonObject, said: str
) -> None:
    (found,) = problems(url, body)
    assert said in found


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (COMPLETIONS, {"prompt": [1, 2], "logprobs": 2, "best_of": 2, "suffix": "x"}),
        (GENERATIONS, {"n": 4, "background": "transparent", "output_format": "webp"}),
        (EDITS, {"images": [LINK, FILE], "mask": {"image_url": "data:image/png;base64,AA=="}}),
        (VIDEOS, {"input_reference": FILE, "seconds": "8", "size": "720x1280"}),
        (EMBEDDINGS, {"input": ["a"] * 2048}),
        (EMBEDDINGS, {"input": [0, 1]}),
    ],
)
def test_what_a_batch_takes_is_taken(url: str, body: JsonObject) -> None:
    assert problems(url, body) == ()


@pytest.mark.parametrize(
    ("url", "body", "said"),
    [
        (COMPLETIONS, {"n": 2}, "every choice is paid for"),
        (GENERATIONS, {"response_format": "url"}, "the link expires"),
        (VIDEOS, {}, "24 hours"),
    ],
)
def test_what_may_disappoint_is_a_warning(url: str, body: JsonObject, said: str) -> None:
    (found,) = endpoint_of(url).check_body(body)[1]
    assert said in found


def test_an_item_without_the_images_to_edit_is_refused_and_the_others_are_sent() -> None:
    builder = RequestBuilder(job(EDITS, prompt="Make it {{ colour }}."))
    assert builder.check() == ()
    refused: list[tuple[int, str]] = []
    items: list[JsonObject] = [
        {"id": "a", "colour": "red"},
        {"id": "b", "colour": "blue", "body": {"images": [LINK]}},
    ]
    assert builder.build_plain(items) is None
    built = list(builder.build_all(items, lambda at, why: refused.append((at, why.message))))
    assert [at for at, _ in built] == [1]
    assert refused == [(0, "'images' is missing: /v1/images/edits needs it")]


def test_images_that_the_job_line_names_are_those_of_every_item() -> None:
    builder = RequestBuilder(job(EDITS, prompt="Make it {{ colour }}.", body={"images": [FILE]}))
    plain = builder.build_plain([{"id": "a", "colour": "red"}])
    assert plain is not None
    with pytest.raises(BadItem, match="unknown parameter 'image'"):
        builder.build({"id": "a", "colour": "red", "body": {"image": "x"}})
