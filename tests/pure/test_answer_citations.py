"""What an answer cites: pages and files, with offsets that count in its whole text."""

from reading_lines import (
    CHAT,
    cited,
    completion,
    extras,
    extras_of,
    line,
    message,
    output,
    page,
    read,
    response,
)


def test_citations_of_every_kind_are_plain_fields_and_offsets_count_in_the_whole_text() -> None:
    first = cited("Abc [1].", page(4, 7))
    second = cited(
        " Déf.",
        page(1, 4),
        {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 3},
        {
            "type": "container_file_citation",
            "container_id": "k",
            "file_id": "f",
            "filename": "plot.png",
            "start_index": 0,
            "end_index": 1,
        },
        {"type": "file_path", "file_id": "f", "index": 0},
        {"type": "hologram", "depth": 3},
    )
    reading = read(line(response(first, second)))
    found = extras(reading)["citations"]
    assert found == [
        {"type": "url", "url": "https://example.org/a", "title": "A", "start": 4, "end": 7},
        {"type": "url", "url": "https://example.org/a", "title": "A", "start": 9, "end": 12},
        {"type": "file", "file_id": "f", "filename": "a.pdf", "index": 3},
        {
            "type": "container_file",
            "container_id": "k",
            "file_id": "f",
            "filename": "plot.png",
            "start": 8,
            "end": 9,
        },
        {"type": "file_path", "file_id": "f", "index": 0},
        {"type": "hologram", "depth": 3},
    ]
    text = output(reading)
    assert [text[one["start"] : one["end"]] for one in found[:2]] == ["[1]", "Déf"]


def test_citations_of_a_commentary_go_with_it() -> None:
    before = {**cited("Hm.", page(0, 1)), "phase": "commentary"}
    assert extras_of(before, message("42", phase="final_answer")) == {}


def test_a_completion_cites_pages_too() -> None:
    annotation = {
        "type": "url_citation",
        "url_citation": {"url": "u", "title": "t", "start_index": 1, "end_index": 2},
    }
    assert extras(read(line(completion("text", annotations=[annotation])), CHAT)) == {
        "citations": [{"type": "url", "url": "u", "title": "t", "start": 1, "end": 2}]
    }
