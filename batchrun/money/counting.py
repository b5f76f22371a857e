"""Requests counted as they stream by: their tokens, images and caps, by model.

Most requests of a job differ in one text. What is the same in all is counted once, and the rest many texts at a time, which is what makes
counting cheap beside preparing them.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

import msgspec

from batchrun.money.asked import Asked, Body
from batchrun.money.counted import ALIKE_MOST, Counted, Key, Look, Watch
from batchrun.money.readers import asked
from batchrun.money.repeated import Repetition
from batchrun.money.tokens import count_texts, tokenizer_of

CHUNK: Final = 1_000  # requests that are counted together
IMAGE_URLS: Final = frozenset({"/v1/images/generations", "/v1/images/edits"})
_METHOD: Final = b'"method":'  # the first field after the custom_id
_Sort: TypeAlias = tuple[str, Key]  # of one model


class _Line(msgspec.Struct, gc=False):
    body: Body


_decode: Final = msgspec.json.Decoder(_Line).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_encode: Final = msgspec.json.Encoder().encode


class _Alike(NamedTuple):
    """A sort of requests, by one of them: all of a line after its custom_id up to the text that they differ in, and all behind that."""

    sort: _Sort
    before: bytes
    after: bytes


class RequestCounter:
    """Counts the requests to one endpoint, each as its own model does, and all of them as each of `others` would.

    `watch` is shown each, by its own model. `look` knows how large the images are that requests only name.
    `repetition`, where it is wanted, learns what they have in common.
    """

    def __init__(
        self,
        url: str,
        others: Iterable[str] = (),
        *,
        watch: Watch | None = None,
        look: Look = lambda _: None,
        repetition: Repetition | None = None,
    ) -> None:
        self._url = url
        self._watch = watch
        self._look = look
        self._repetition = repetition
        self.own: dict[str, Counted] = {}
        self.others = {model: self._counted(model) for model in others}
        self._templates: dict[_Sort, Asked] = {}
        self._last: _Alike | None = None

    @property
    def _is_chat(self) -> bool:
        return self._url == "/v1/chat/completions"

    def _counted(self, model: str, watch: Watch | None = None) -> Counted:
        tokenizer = tokenizer_of(model)
        return Counted(
            model=model, url=self._url, tokenizer=tokenizer, watch=watch, look=self._look
        )

    def take(self, lines: Iterable[bytes]) -> None:
        """Some request lines, best about CHUNK of them: JSON objects with a `body`, as in a request file."""
        alike: dict[_Sort, list[str]] = {}
        odd: dict[str, list[Asked]] = {}
        last, texts = self._last, []
        if last is not None:
            texts = alike.setdefault(last.sort, [])
        for line in lines:
            # Mostly it is one more like the last one: then nothing but its text is looked at.
            if last is not None:
                at = line.find(_METHOD)
                if line.startswith(last.before, at) and line.endswith(last.after):
                    try:
                        text = _decode_text(line[at + len(last.before) : -len(last.after)])
                    except msgspec.MsgspecError:  # other fields are between the two
                        pass
                    else:
                        texts.append(text)
                        continue
            body = _decode(line).body
            model = body.model if isinstance(body.model, str) else ""
            key, text = self._key_of(body)
            sort = (model, key or ())
            if key is None or (sort not in alike and len(alike) >= ALIKE_MOST):
                odd.setdefault(model, []).append(asked(self._url, body))
                continue
            if sort not in self._templates:
                self._templates[sort] = self._template(body, text)
            texts = alike.setdefault(sort, [])
            texts.append(text)
            last = self._seen_in(line, sort, text)
        self._last = last
        for model in dict.fromkeys((*(model for model, _ in alike), *odd)):
            mine = {key: texts for (of, key), texts in alike.items() if of == model and texts}
            own = self.own.get(model)
            if own is None:
                own = self.own[model] = self._counted(model, self._watch)
            self._take(mine, odd.get(model, []), (own, *self.others.values()))
        if len(self._templates) > ALIKE_MOST:
            self._templates.clear()
            self._last = None

    def _seen_in(self, line: bytes, sort: _Sort, text: str) -> _Alike | None:
        """The sort of a line, to know others of it by; None where the text cannot be told from other fields."""
        name = b'"content":' if self._is_chat else b'"input":'
        needle = name + _encode(text)
        if line.count(needle) != 1:
            return None
        at, method = line.index(needle), line.find(_METHOD)
        if not 0 <= method < at:
            return None
        return _Alike(sort, line[method : at + len(name)], line[at + len(needle) :])

    def _take(
        self,
        alike: Mapping[Key, Sequence[str]],
        odd: Sequence[Asked],
        targets: tuple[Counted, ...],
    ) -> None:
        """The requests to one model, which is the first of the targets."""
        model = targets[0].model
        if self._repetition is not None:
            for key, group in alike.items():
                self._repetition.meet(model, key, self._templates[model, key], group)
            if odd:
                self._repetition.meet_odd(model, odd)
        texts = [text for group in alike.values() for text in group]
        for one in odd:
            texts += one.texts
            texts += one.loose
        counted = {
            encoding: count_texts(texts, encoding)
            for encoding in {target.tokenizer.encoding for target in targets}
        }
        known = {key: self._templates[model, key] for key in alike}
        for target in targets:
            self._spread(target, counted[target.tokenizer.encoding], known, alike, odd)

    def _spread(
        self,
        target: Counted,
        counts: Sequence[int],
        known: Mapping[Key, Asked],
        alike: Mapping[Key, Sequence[str]],
        odd: Sequence[Asked],
    ) -> None:
        """Give one model its part of the counts, which are in the order of `alike`, then `odd`."""
        at = 0
        for key, group in alike.items():
            target.add_alike(key, known[key], counts[at : at + len(group)])
            at += len(group)
        for one in odd:
            middle, end = at + len(one.texts), at + len(one.texts) + len(one.loose)
            target.add_odd(one, sum(counts[at:middle]), sum(counts[middle:end]))
            at = end

    def _key_of(self, body: Body) -> tuple[Key | None, str]:
        """What a request has in common with others of its sort, and the one text that they differ in; None where it is of no sort."""
        known = (body.max_output_tokens, body.max_completion_tokens, body.max_tokens)
        plain = (*known, body.n, body.max_tool_calls, body.service_tier)
        beside = (bytes(body.reasoning), bytes(body.prompt_cache_options))
        if not _SCALARS.issuperset(map(type, plain)) or _RARE(body) != _NONE:
            return None, ""
        if self._is_chat:
            said = body.messages
            if type(said) is not list or not said:
                return None, ""
            if not all(type(m) is dict and m.keys() == _PLAIN for m in said):
                return None, ""
            values = [value for message in said for value in message.values()]
            if set(map(type, values)) != {str}:
                return None, ""
            text = said[-1]["content"]
            # The text is most of what there is: everything before it is the key.
            before = tuple((m["role"], m["content"]) for m in said[:-1])
            shown = (bytes(body.tools), bytes(body.functions), bytes(body.response_format))
            return (before, said[-1]["role"], plain, shown, beside), text
        if self._url != "/v1/responses" or type(body.input) is not str:
            return None, ""
        if body.instructions is not None and type(body.instructions) is not str:
            return None, ""
        shown_too = (bytes(body.tools), bytes(body.text))
        return (body.instructions, plain, shown_too, beside), body.input

    def _template(self, body: Body, text: str) -> Asked:
        """The request without the text that its sort differs in."""
        template = asked(self._url, body)
        template.texts.remove(text)
        return template


_PLAIN: Final = {"role", "content"}
_SCALARS: Final = frozenset({type(None), int, str})
# Whoever has one of these is of no sort.
_RARE: Final = attrgetter(
    *("previous_response_id", "conversation", "prompt"),
    *("modalities", "audio", "prediction", "web_search_options", "context_management"),
    *("models", "plugins"),
)
_NONE: Final = (None,) * 10
