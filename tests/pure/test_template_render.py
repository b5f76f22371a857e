"""Templates: plain ones and minijinja's give the same text, and errors name fields and show no data."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchrun.errors import JobFileError
from batchrun.jobfile.fulltemplate import FullTemplate, compile_full
from batchrun.jobfile.template import Template, TemplateError, Where, compile_template
from batchrun.model import ITEM_LINE_LIMIT_BYTES

WHERE = Where(path="jobs/a.jsonl", line=3, key="prompt")


def rendered(text: str, /, **fields: Any) -> str:
    return compile_template(text, where=WHERE).render(fields)


def refusal(text: str, /, **fields: Any) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        rendered(text, **fields)
    return caught.value


def is_plain(template: Template) -> bool:
    return not isinstance(template, FullTemplate)


VALUES = [
    ("a <b> & 'c'\n", "a <b> & 'c'\n"),
    ("", ""),
    (True, "true"),
    (False, "false"),
    (0, "0"),
    (10**29, "1" + "0" * 29),
    (-(10**60), "-1" + "0" * 60),
    (0.5, "0.5"),
    (4.0, "4"),
    (1e16, "10000000000000000"),
    (1e22, "1e+22"),
    (5e-324, "5e-324"),
    ([], "[]"),
    ([1, None, "é<", 2.0, [True]], '[1, null, "é<", 2.0, [true]]'),
    ({"a": {"b": 10**40}}, '{"a": {"b": 1' + "0" * 40 + "}}"),
]


@pytest.mark.parametrize(("value", "text"), VALUES)
def test_a_value_has_one_text_in_either_kind_of_template(value: Any, text: str) -> None:
    assert rendered("[{{ x }}]\n", x=value) == f"[{text}]\n"
    assert rendered("{# full #}[{{ x }}]\n", x=value) == f"[{text}]\n"


def test_a_template_of_gaps_only_is_plain_and_one_with_a_filter_is_not() -> None:
    assert is_plain(compile_template("a {{ x }} b {{y}}", where=WHERE))
    assert not is_plain(compile_template("a {{ x|upper }}", where=WHERE))


@pytest.mark.parametrize(
    "text",
    ["{{{ x }}}", "{{ true }}", "{{ range }}", "{{ item }}", "{{- x }}", "{{ x.y }}", "{# #}", "{{ é }}"],
)  # fmt: skip
def test_anything_that_may_mean_more_goes_to_minijinja(text: str) -> None:
    try:
        template = compile_template(text, where=WHERE)
    except JobFileError:
        return
    assert not is_plain(template)


@pytest.mark.parametrize("head", ["", "{# full #}"])
def test_a_missing_field_is_named(head: str) -> None:
    error = refusal(head + "{{ text }}", txt="secret")
    assert (error.message, error.variable) == ("the item has no field 'text'", "text")
    assert '{{ text | default("") }}' in error.fix


@pytest.mark.parametrize("text", ["{{ text }}", "{# full #}{{ text }}", "{{ text|trim }}"])
def test_a_null_field_is_named(text: str) -> None:
    error = refusal(text, text=None)
    assert (error.message, error.variable) == ("field 'text' is null", "text")


def test_a_null_inside_a_field_is_named_by_its_expression() -> None:
    assert refusal("{{ a.b }}", a={"b": None, "c": [1]}).message == "field 'a.b' is null"


def test_a_null_in_a_list_is_an_error_of_the_list() -> None:
    assert refusal("{% for b in bs %}{{ b }}{% endfor %}", bs=[1, None]).variable == "bs"


@pytest.mark.parametrize("fields", [{}, {"x": None}])
def test_default_stands_in_for_missing_and_for_null(fields: dict[str, Any]) -> None:
    assert rendered('{{ x | default("-") }}{{ x | d("+") }}', **fields) == "-+"
    assert rendered("{% if x is defined %}a{% else %}b{% endif %}", **fields) == "b"


def test_default_with_true_stands_in_for_empty_too() -> None:
    assert rendered('{{ x | default("-", true) }}{{ x | default("-") }}', x="") == "-"


def test_a_variable_that_is_set_from_the_field_of_its_name_works() -> None:
    assert rendered('{% set x = x | default("-") %}{{ x }}', x="v") == "v"


@pytest.mark.parametrize(
    "name", ["self", "range", "dict", "loop", "name", "class", "template_name"]
)
def test_a_field_may_be_called(name: str) -> None:
    assert rendered("{{ " + name + " }}", **{name: "v"}) == "v"
    assert rendered("{{ " + name + "|upper }}", **{name: "v"}) == "V"
    template = compile_template("{{ " + name + "|upper }}", where=WHERE)
    assert template.variables == {name}
    with pytest.raises(TemplateError, match=f"no field '{name}'"):
        template.render({})


def test_a_field_called_self_does_not_stay_for_the_next_item() -> None:
    template = compile_template("{{ self|upper }}", where=WHERE)
    assert template.render({"self": "a"}) == "A"
    with pytest.raises(TemplateError):
        template.render({})


def test_a_function_stays_one_when_the_item_has_a_field_of_its_name() -> None:
    text = "price range: {% for i in range(2) %}{{ i }}{% endfor %}"
    assert rendered(text, range="x") == "price range: 01"
    assert compile_template(text, where=WHERE).variables == frozenset()


def test_item_reaches_fields_whose_names_are_no_identifiers() -> None:
    assert rendered('{{ item["Review Text"] }}', **{"Review Text": "good"}) == "good"
    assert refusal('{{ item["Review Text"] }}', **{"Review Text": None}).message.endswith("is null")
    assert rendered("{{ item }}", item="its own") == "its own"
    assert rendered("{{ item }}", a=1) == '{"a": 1}'


def test_tojson_writes_no_html_escapes() -> None:
    assert rendered("{{ x | tojson }}", x={"a": "<é>"}) == '{"a": "<é>"}'
    assert rendered("{{ x | tojson(indent=1) }}", x=[1]) == "[\n 1\n]"


def test_what_lists_itself_renders_as_a_list() -> None:
    assert rendered("{{ x.keys() }}", x={"a": 1}) == '["a"]'


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("{{ x | int }}", {"x": "s3cret"}),
        ("{{ x + 1 }}", {"x": "s3cret"}),
        ("{{ x.nope() }}", {"x": "s3cret"}),
        ("{{ y[x] }}", {"x": "s3cret", "y": {}}),
        ("{{ x | round }}", {"x": "s3cret"}),
        ("{{ y[x].z }}", {"x": "s3cret", "y": {"s3cret": {"s3cret": 1}}}),
    ],
)
def test_no_error_shows_what_an_item_holds(text: str, fields: dict[str, Any]) -> None:
    error = refusal(text, **fields)
    assert "s3cret" not in str(error) + error.fix + error.variable


def test_an_error_in_a_template_of_many_lines_says_which() -> None:
    assert "(line 3 of the template)" in refusal("a\n\n{{ x | int }}", x="q").message


@pytest.mark.fault(58)
def test_a_template_that_never_ends_is_stopped() -> None:
    loop = "{% for i in range(99999) %}"
    error = refusal(loop + loop + "{% endfor %}{% endfor %}")
    assert error.message == "the template takes more than 1,000,000 steps for this item"


@pytest.mark.fault(58)
def test_a_rendered_text_over_the_limit_is_refused_in_bytes() -> None:
    fits = "é" * (ITEM_LINE_LIMIT_BYTES // 2)
    for head in ("", "{# full #}"):
        assert rendered(head + "{{ x }}", x=fits) == fits
        assert "over 16,000,000 bytes" in refusal(head + "{{ x }}!", x=fits).message


def test_a_value_too_deep_to_write_is_an_error_of_its_field() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    try:
        assert refusal("{{ x }}", x=deep).message == "field 'x' is nested too deeply"
    finally:
        while deep:  # taken apart by hand: freeing it at once would recurse
            deep = deep.pop()


def test_an_object_that_json_cannot_write_is_an_error() -> None:
    error = refusal("{% if x %}{{ {(1, 2): 3} }}{% endif %}", x=True)
    assert error.message == "a value has no text form"


def test_a_constant_that_json_cannot_write_is_found_when_compiling() -> None:
    with pytest.raises(JobFileError, match="'prompt': a value has no text form"):
        compile_template("{{ {(1, 2): 3} }}", where=WHERE)


def test_safe_and_escaped_text_stay_text() -> None:
    assert rendered("{{ x | safe }} {{ x | e }}", x="<a>") == "<a> &lt;a&gt;"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a\n{{ x", "'prompt': syntax error on line 2 of the template: unexpected end of input"),
        ("{% if %}", "'prompt': syntax error on line 1 of the template"),
        ("{{ x | nope }}", "'prompt': unknown filter on line 1 of the template: filter nope is unknown"),
        ("{% if x is nope %}{% endif %}", "'prompt': unknown test on line 1"),
        ("{{ nope() }}", "'prompt': unknown function on line 1"),
        ('{% include "x" %}', "'prompt': template not found on line 1"),
        ("{{ debug() }}", "'prompt': unknown function on line 1"),
    ],
)  # fmt: skip
def test_a_broken_template_is_a_problem_of_its_job_line(text: str, what: str) -> None:
    with pytest.raises(JobFileError) as caught:
        compile_template(text, where=WHERE)
    assert str(caught.value).startswith(f"jobs/a.jsonl:3: {what}")


def test_checking_the_names_of_a_template_tolerates_what_only_items_can_tell() -> None:
    assert rendered("{{ x.a.b + 1 }}{{ none | default(2) }}", x={"a": {"b": 1}}) == "22"
    compile_template("{{ none }}", where=WHERE)


def test_variables_are_the_fields_a_template_may_ask_for() -> None:
    text = "{% for a in b %}{{ a }}{{ loop.index }}{% endfor %}{{ c.d }}{{ range(2) }} itself"
    assert compile_template(text, where=WHERE).variables == {"b", "c"}
    assert compile_template("{{ a }}{{ b }}{{a}}", where=WHERE).variables == {"a", "b"}
    assert compile_template("nothing", where=WHERE).variables == frozenset()


# --- the plain way gives what minijinja gives

names = st.sampled_from(["a", "b", "text", "_x1", "loop", "self", "in", "if"])
pieces = st.one_of(
    names.map("{{{{ {} }}}}".format),
    names.map("{{{{{}}}}}".format),
    names.map("{{{{\n\t{}\r\n}}}}".format),
    st.sampled_from(
        ["{", "}", "}}", "%}", "#}", "{ {", "\n", "\r\n", " ", "{{ ", "é\u2028\0", "-", "\\"]
    ),
    st.text(max_size=5),
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**140), 2**140),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-(2.0**66), 2.0**66).map(round).map(float),
    st.text(max_size=6),
    st.recursive(
        st.none() | st.integers(-(2**140), 2**140) | st.text(max_size=3) | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
)  # fmt: skip


def outcome(template: Template, fields: dict[str, Any]) -> tuple[str, str]:
    try:
        return "text", template.render(fields)
    except TemplateError as error:
        return error.variable, error.message


@given(st.lists(pieces, max_size=6).map("".join), st.dictionaries(names, values))
@example("{{a}}\n", {"a": -0.0})
@example("{{a}}", {"a": 2.0**63})
@example("{{a}}", {"a": -(2.0**63)})
def test_a_plain_template_gives_what_minijinja_gives(text: str, fields: dict[str, Any]) -> None:
    try:
        template = compile_template(text, where=WHERE)
    except JobFileError:
        return
    full = compile_full(text)
    assert template.variables == full.variables
    assert outcome(template, fields) == outcome(full, fields)


@given(
    st.text(max_size=30) | st.lists(pieces, max_size=6).map("".join),
    st.dictionaries(st.text(max_size=3), values),
)
def test_any_text_is_a_template_or_a_job_file_error(text: str, fields: dict[str, Any]) -> None:
    try:
        template = compile_template(text, where=WHERE)
    except JobFileError:
        return
    with contextlib.suppress(TemplateError):
        json.dumps(template.render(fields))


@given(
    st.lists(pieces, max_size=6).map("".join),
    st.lists(st.dictionaries(names, st.text(max_size=4) | values), min_size=1, max_size=4),
)
@example("{{ a }}", [{"a": "x"}, {"a": "y"}])
@example("{{ a }}-{{ text }}", [{"a": "x", "text": "y"}])
@example("{{ a }}", [{"a": "x"}, {"a": 1}])
@example("plain", [{}, {}])
def test_a_block_of_items_renders_as_its_items_do_or_not_at_all(
    text: str, block: list[dict[str, Any]]
) -> None:
    try:
        template = compile_template(text, where=WHERE)
    except JobFileError:
        return
    texts = template.render_block(block)
    if texts is not None:
        assert list(texts) == [template.render(fields) for fields in block]


def test_a_block_with_an_item_that_needs_a_look_is_left_to_single_renders() -> None:
    template = compile_template("{{ x }}!", where=WHERE)
    assert list(template.render_block([{"x": "a"}, {"x": "b"}]) or ()) == ["a!", "b!"]
    assert template.render_block([{"x": "a"}, {"x": 1}]) is None
    assert template.render_block([{"x": "a"}, {}]) is None
    assert compile_template("{{ x|upper }}", where=WHERE).render_block([{"x": "a"}]) is None
