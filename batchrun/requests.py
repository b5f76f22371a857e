"""Items -> requests: the bytes of one request, without the custom_id that tells one sending from the next.

The varying part of most requests is one string. So the body is built once with a sentinel in its place, encoded, and cut there;
an item costs one render and one string encode. Items with a `body` or a structured `input` of their own are built whole.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from batchrun.attachments.attacher import Attacher
from batchrun.attachments.kinds import Content
from batchrun.backends.base import AttachMode
from batchrun.bodyskeleton import INSTRUCTIONS, PROMPT, skeleton
from batchrun.endpoints import endpoint_of
from batchrun.endpoints.attaching import with_attachments
from batchrun.endpoints.base import Endpoint
from batchrun.endpoints.parameters import UNCHECKED
from batchrun.errors import BatchrunError, JobFileError
from batchrun.jobfile import Fault, check_item, id_of
from batchrun.jobfile.ids import ID_LIMIT_BYTES
from batchrun.jobfile.problems import shown
from batchrun.jobfile.template import Template, TemplateError, Where, compile_template
from batchrun.model import ITEM_LINE_LIMIT_BYTES, JobSettings, Json, JsonObject
from batchrun.requesthashes import hash_seed, plain_hash, plain_hashes, whole_hash

_encode: Final = msgspec.json.Encoder().encode
_STEERING: Final = frozenset(
    {"body", "model"}
)  # fields of an item that change more than its prompt
# An item that says nothing of its own asks the same as one that is silent.
_NO_BODY: Final[tuple[Json, ...]] = (None, {})
_CHECKED_BODIES_MAX: Final = (
    1_000  # distinct item bodies remembered as checked; more are simply checked again
)


class Request(NamedTuple):
    """`tail`: `"method":"POST","url":…,"body":{…}}`, everything after custom_id, UTF-8, no newline. `inputs`: embedding inputs, or 1.

    `hash`: 16 bytes that tell whether a request is the same as one asked before. `attached`: the contents that `tail` names by reference, and
    `growth` the bytes that they will certainly add to it when it is sent.
    """

    key: str | None
    tail: bytes
    model: str
    inputs: int
    hash: bytes
    attached: tuple[Content, ...] = ()
    growth: int = 0


class PlainRequests(NamedTuple):
    """A block of requests of one model, all with ids, one input each: in columns, which is how PREPARE reaches its speed.

    The tail of request k is `before` + `prompts[k]` + `after`, and its hash `hashes[k]`.
    """

    keys: list[str]
    before: bytes
    prompts: list[bytes]
    after: bytes
    model: str
    hashes: list[bytes]


@dataclass(eq=False)
class BadItem(BatchrunError):
    """This item cannot become a request; `cause` is a code of planning/causes.py."""

    cause: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        return self.message


def _joined(problems: Iterable[str]) -> str:
    """Several problems as one: each is a sentence by itself, with or without its stop."""
    return "; ".join(problem.rstrip(".") for problem in problems)


class RequestBuilder:
    """Builds the requests of one job. Raises JobFileError-like Problems for the job line at construction, BadItem per item."""

    def __init__(
        self,
        settings: JobSettings,
        attacher: Attacher | None = None,
        mode: AttachMode = AttachMode.AUTO,
    ) -> None:
        """`attacher` (by default one that keeps nothing) finds the attachments; `mode` is how they will travel."""
        self.settings = settings
        self._attacher, self._mode = attacher or Attacher(settings), mode
        self.endpoint: Endpoint = endpoint_of(settings.endpoint)
        self.warnings: list[str] = []
        self.told: frozenset[str] = frozenset()  # problems of the job line that no item repeats
        self._head = f'"method":"POST","url":{_encode(settings.endpoint).decode()},"body":'.encode()
        self.id_of = id_of(settings)
        self._checked: set[bytes] = set()
        self._prompt = self._template("prompt", settings.prompt)
        self._instructions = self._template("instructions", settings.instructions)
        self._varies = bool(self._instructions and self._instructions.variables)
        self._fixed_instructions = self._rendered_once()

    def check(self) -> tuple[str, ...]:
        """Problems of the job line itself (keys that mean nothing here, unknown parameters, wrong kinds), before any item is read."""
        settings = self.settings
        if settings.is_raw:
            return ()
        problems = self.endpoint.check_job(settings)
        if not settings.body_unchecked:
            body = self.endpoint.build(
                settings, model=settings.model or "model", prompt="x", instructions="x", body={}
            )
            unknown, warnings = self.endpoint.check_body(body)
            problems += unknown
            self.warnings += warnings
        return problems

    def uses(self, field: str) -> bool:
        """Whether a template of the job line asks for this field of the items."""
        settings = self.settings
        templates = [self._prompt, self._instructions]
        templates += [self._template("attach", text) for text in settings.attach or ()]
        return settings.is_raw or any(t is not None and field in t.variables for t in templates)

    @property
    def names_fields(self) -> bool:
        """Whether items have a say in what is asked, beside their own `body`: else all ask the same."""
        settings = self.settings
        if settings.is_raw or self._prompt is None:
            return True
        templates = [self._prompt, self._instructions]
        templates += [self._template("attach", text) for text in settings.attach or ()]
        return any(t is not None and t.variables for t in templates)

    def _template(self, key: str, text: str | None) -> Template | None:
        if text is None:
            return None
        settings = self.settings
        return compile_template(text, where=Where(path=settings.path, line=settings.line, key=key))

    def _rendered_once(self) -> str | None:
        """Instructions that no item changes, as they are sent; what is wrong with them is wrong with the job line."""
        if self._instructions is None or self._varies:
            return None
        try:
            return self._instructions.render({})
        except TemplateError as exc:
            fault = Fault(f"'instructions': {exc.message}", exc.fix)
            raise JobFileError((fault.at(shown(self.settings.path), self.settings.line),)) from None

    def build(self, fields: Mapping[str, Json]) -> Request:
        """The request of one item. Raises BadItem."""
        try:
            if self.settings.is_raw:
                return self._raw(fields)
            key = self.id_of(fields)
            if self._is_whole(fields):
                return self._whole(key, fields)
            assert self._prompt is not None
            prompt = _encode(self._prompt.render(fields))
            if not self._varies:
                before, _, after = self._skeleton
                tail = b"%b%b%b" % (before, prompt, after)
                hashed = plain_hash(prompt, self._seed)
            else:
                assert self._instructions is not None
                instructions = _encode(self._instructions.render(fields))
                filled = {PROMPT: prompt, INSTRUCTIONS: instructions}
                tail = b"".join(filled.get(part, part) for part in self._skeleton)
                hashed = whole_hash(tail)
            if len(tail) > ITEM_LINE_LIMIT_BYTES:
                raise _too_large(tail)
            return Request(key, tail, self.settings.model or "", 1, hashed)
        except TemplateError as exc:
            raise BadItem("template_error", exc.what, exc.fix) from None
        except Fault as fault:
            raise BadItem("bad_item", fault.what, fault.fix) from None

    def build_plain(self, block: list[JsonObject]) -> PlainRequests | None:
        """The whole block at once, where each item is nothing but fields for the prompt and a well-formed id; else None: `build_all`."""
        settings = self.settings
        if (
            self._prompt is None
            or self._varies
            or settings.id is not None
            or not settings.model
            or settings.is_raw
            or settings.attach
            or self._leaves_required_to_items
        ):
            return None
        if not all(map(_STEERING.isdisjoint, block)):
            return None
        keys: list[Any] = [fields.get("id") for fields in block]
        if set(map(type, keys)) != {str} or not _are_plain_ids(keys):
            return None
        texts = self._prompt.render_block(block)
        if texts is None:
            return None
        before, _, after = self._skeleton
        prompts = list(map(_encode, texts))
        # Of the texts, too: encoded they are no shorter.
        if max(map(len, prompts)) + len(before) + len(after) > ITEM_LINE_LIMIT_BYTES:
            return None
        hashes = plain_hashes(prompts, self._seed)
        return PlainRequests(keys, before, prompts, after, settings.model, hashes)

    def build_all(
        self, block: list[dict[str, Any]], bad: Callable[[int, BadItem], None]
    ) -> Iterator[tuple[int, Request]]:
        """(index in block, request) of every good item, in order; bad ones go to `bad`. The hot loop of PREPARE."""
        if self.settings.is_raw or self._varies or any(map(self._is_whole, block)):
            yield from self._build_each(block, bad)
            return
        assert self._prompt is not None
        before, _, after = self._skeleton
        render, key_of, model = self._prompt.render, self.id_of, self.settings.model or ""
        seed = self._seed
        for index, fields in enumerate(block):
            try:
                prompt = _encode(render(fields))
                tail = b"%b%b%b" % (before, prompt, after)
                if len(tail) > ITEM_LINE_LIMIT_BYTES:
                    raise _too_large(tail)
                hashed = plain_hash(prompt, seed)
                yield index, Request(key_of(fields), tail, model, 1, hashed)
            except TemplateError as exc:
                bad(index, BadItem("template_error", exc.what, exc.fix))
            except Fault as fault:
                bad(index, BadItem("bad_item", fault.what, fault.fix))
            except BadItem as exc:
                bad(index, exc)

    def _build_each(
        self, block: list[dict[str, Any]], bad: Callable[[int, BadItem], None]
    ) -> Iterator[tuple[int, Request]]:
        for index, fields in enumerate(block):
            try:
                yield index, self.build(fields)
            except BadItem as exc:
                bad(index, exc)

    def _is_whole(self, fields: Mapping[str, Json]) -> bool:
        """Whether this item's body must be built by itself."""
        return (
            self._prompt is None
            or self.settings.model is None
            or bool(self.settings.attach)
            or self._leaves_required_to_items
            or fields.get("body") not in _NO_BODY
            or fields.get("model") not in (None, self.settings.model)
        )

    @functools.cached_property
    def _leaves_required_to_items(self) -> bool:
        """Whether the endpoint needs a parameter that only the items' own bodies can give: the images that are to be edited."""
        body = self.endpoint.build(
            self.settings, model="model", prompt="x", instructions=None, body={}
        )
        return any(body.get(name) is None for name in self.endpoint.required)

    @functools.cached_property
    def _skeleton(self) -> tuple[bytes, ...]:
        """The encoded body around prompt (PROMPT) and, where they vary, instructions (INSTRUCTIONS)."""
        return skeleton(
            lambda prompt, instructions: self.endpoint.build(
                self.settings,
                model=self.settings.model,
                prompt=prompt,
                instructions=instructions,
                body={},
            ),
            self._head,
            None if self._varies else self._fixed_instructions,
            varies=self._varies,
        )

    @functools.cached_property
    def _seed(self) -> int:
        before, _, after = self._skeleton
        return hash_seed(before, after)

    def _whole(self, key: str | None, fields: Mapping[str, Json]) -> Request:
        fault = check_item(fields, self.settings)
        if fault is not None:
            raise BadItem("bad_item", fault)
        body = fields.get("body") or {}
        prompt = self._asked(fields, body)
        instructions = self._instructions.render(fields) if self._instructions else None
        model = fields.get("model") or self.settings.model
        built = self.endpoint.build(
            self.settings, model=model, prompt=prompt, instructions=instructions, body=body
        )
        if built.get(self.endpoint.prompt_key, "") is None:
            del built[self.endpoint.prompt_key]  # another parameter asks
        if not self.settings.attach:
            self._check_item_body(built, body, prompt)
            return self._request(key, built)
        if conflicts := self.endpoint.conflicts(self.settings, body):
            raise BadItem("bad_item", _joined(conflicts))
        attachments = self._attacher.attachments(fields)
        built, growth = with_attachments(
            self.endpoint, built, prompt=prompt, attachments=attachments, mode=self._mode
        )
        self._check_item_body(built, body, len(attachments))
        contents = tuple(one.content for one in attachments if one.content is not None)
        return self._request(key, built)._replace(attached=contents, growth=growth)

    def _asked(self, fields: Mapping[str, Json], body: JsonObject) -> Json:
        """The prompt of an item; None where a `body` says what is asked. Raises BadItem where nothing is, or two things are."""
        if self._prompt is not None:
            return self._prompt.render(fields)
        ours, asks = self.settings.body, self.endpoint.asks
        if fields.get("input") is not None:
            if asks(ours) and not asks(body):
                raise BadItem("bad_item", "an 'input', and the job line's 'body' asks already")
            return fields["input"]
        if asks(body) or asks(ours):
            return None
        raise BadItem(
            "bad_item",
            "nothing to ask: the job line has no 'prompt' and the item has no 'input'",
        )

    def _check_item_body(self, built: JsonObject, body: JsonObject, prompt: Json) -> None:
        # Structured input, or a number of attachments, is part of what is checked; a plain prompt cannot be wrong.
        mark = _encode([body, None if isinstance(prompt, str) and prompt else prompt])
        if mark in self._checked:
            return
        problems = self.endpoint.conflicts(self.settings, body)
        if not self.settings.body_unchecked:
            problems += self.endpoint.check_body(built, is_complete=True)[0]
        if problems := tuple(what for what in problems if what not in self.told):
            raise BadItem("bad_item", _joined(problems))
        if len(self._checked) < _CHECKED_BODIES_MAX:
            self._checked.add(mark)

    def _raw(self, fields: Mapping[str, Json]) -> Request:
        fault = check_item(fields, self.settings)
        if fault is not None:
            raise BadItem("bad_item", fault)
        body = fields["body"]
        found, _ = self.endpoint.check_body(body, is_complete=True)
        # There is no job line to say so in.
        problems = tuple(what.replace(UNCHECKED, "").strip() for what in found)
        if problems:
            raise BadItem("bad_item", _joined(problems))
        return self._request(self.id_of(fields), body)

    def _request(self, key: str | None, body: JsonObject) -> Request:
        tail = self._head + _encode(body) + b"}"
        if len(tail) > ITEM_LINE_LIMIT_BYTES:
            raise _too_large(tail)
        inputs = self.endpoint.input_count(body)
        return Request(key, tail, body["model"], inputs, whole_hash(tail))


def _are_plain_ids(keys: list[str]) -> bool:
    """Whether all are printable ASCII of a length that every id may have; the others are judged one by one."""
    lengths = set(map(len, keys))
    together = "".join(keys)
    return (
        0 not in lengths
        and max(lengths) <= ID_LIMIT_BYTES
        and together.isascii()
        and together.isprintable()
    )


def _too_large(tail: bytes) -> BadItem:
    return BadItem("too_large", f"the request is {len(tail):,} bytes; 16 MB is the most")
