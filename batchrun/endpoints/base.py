"""What an endpoint is to batchrun: one object that builds request bodies and reads response bodies. Adding one is adding a file.

Building and reading sit together because they must agree: the schema that `build` asks for is the one whose answer `read` returns.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar, TypeAlias

from batchrun.attachments.kinds import Attachment, Kind
from batchrun.endpoints.answer import Answer, Interpret, Reading
from batchrun.endpoints.calling import Calling
from batchrun.endpoints.parameters import BodyRules
from batchrun.endpoints.schemas import (
    format_in,
    judged_schema,
    label_schema,
    strict_faults,
    written_format,
)
from batchrun.endpoints.tables import parameters_of
from batchrun.endpoints.values import interpreter
from batchrun.errors import JobFileError
from batchrun.model import JobSettings, Json, JsonObject

# A reading of the commonest kind of line, or None: read it carefully.
FastReader: TypeAlias = Callable[[bytes], Reading | None]


class Endpoint(ABC):
    """One endpoint of the API. Stateless; the instances are in `batchrun.endpoints.ENDPOINTS`.

    `prompt_key` is the parameter that takes the prompt, `carried_by` those of other keys of the job line, and `asking_keys` are further ones of which one is
    enough to ask something. `structured_key` is the one that carries the job's
    schema, None where there is no structured output. `conversation_key` is the one that holds what was said so far, None where a request
    is no conversation; `cap_keys` are those that bound the answer, the one that wins first. `calling` says how functions are offered and
    called, None where they are not. `unused_keys` are keys of the job line that mean nothing here, each with what to do instead.
    `required` are the parameters of a complete body. `is_live`: a request by itself is answered with what was asked for. `synonyms` maps other endpoints' names to the ones of this endpoint.

    `attach_key` is the parameter that carries attachments, None where there can be none; `attachable` are the kinds that it takes, each with
    whether an uploaded file can stand for it, without the forms in `unattachable`; of `linkable` ones it takes links. `attach_instead` says what
    to do with the others.
    """

    url: ClassVar[str]
    prompt_key: ClassVar[str]
    carried_by: ClassVar[Mapping[str, str]] = {}
    asking_keys: ClassVar[tuple[str, ...]] = ()
    structured_key: ClassVar[str | None] = None
    conversation_key: ClassVar[str | None] = None
    cap_keys: ClassVar[tuple[str, ...]] = ()
    calling: ClassVar[Calling | None] = None
    unused_keys: ClassVar[Mapping[str, str]] = {}
    required: ClassVar[tuple[str, ...]]
    is_live: ClassVar[bool] = True
    attach_key: ClassVar[str | None] = None
    attachable: ClassVar[Mapping[Kind, bool]] = {}
    linkable: ClassVar[frozenset[Kind]] = frozenset({Kind.IMAGE})
    unattachable: ClassVar[frozenset[str]] = frozenset()
    attach_instead: ClassVar[str] = ""
    synonyms: ClassVar[Mapping[str, str]] = {}

    def shape(
        self,
        settings: JobSettings,  # noqa: ARG002 (for those who build more)
        *,
        prompt: Json,
        instructions: str | None,  # noqa: ARG002
    ) -> JsonObject:
        """The body without model and without the user's own `body`, in this endpoint's own terms; here, the prompt and nothing else."""
        return {self.prompt_key: prompt}

    @abstractmethod
    def read(self, body: JsonObject) -> Answer:
        """The answer in a response body of any shape; raises nothing."""

    @abstractmethod
    def fast_reader(self, interpret: Interpret) -> FastReader:
        """A reader for plain successes only: whatever it returns, `read` and the judging in `reading.py` would return as well.

        It may raise msgspec.MsgspecError, UnicodeDecodeError and RecursionError, which also mean: read it carefully.
        """

    def build(
        self,
        settings: JobSettings,
        *,
        model: str | None,
        prompt: Json,
        instructions: str | None,
        body: JsonObject,
    ) -> JsonObject:
        """The whole request body of one item: ours, then the job's `body` over it, then the item's.

        `model` is the item's own, or None for the job's. `prompt` and `instructions` are rendered. The layers are merged by top-level
        key, the later one winning; only the parameter that carries the schema is merged one level deeper where both sides are
        objects, so that `{"text": {"verbosity": "low"}}` does not drop the schema. The order of the keys is fixed: the request hash
        covers the encoded bytes.
        """
        built: JsonObject = {}
        chosen = settings.model if model is None else model
        if chosen is not None:
            built["model"] = chosen
        built.update(self.shape(settings, prompt=prompt, instructions=instructions))
        for layer in (settings.body, body):
            for key, value in layer.items():
                ours = built.get(key)
                if (
                    key == self.structured_key
                    and isinstance(ours, dict)
                    and isinstance(value, dict)
                ):
                    built[key] = {**ours, **value}
                else:
                    built[key] = value
        if settings.tools and self.calling is not None:
            # Behind all layers: whatever a body says of tools, those of the file are offered with them.
            theirs = built.get("tools") or []
            if isinstance(theirs, list):
                built["tools"] = [*map(self.calling.offered, settings.tools), *theirs]
        return built

    def continued(self, body: JsonObject, additions: Sequence[Json]) -> JsonObject:
        """The body with more said at the end of its conversation. Only where there is a `conversation_key`."""
        assert self.conversation_key is not None
        said = body.get(self.conversation_key)
        if not isinstance(said, list):
            said = [] if said is None else [{"role": "user", "content": said}]
        return {**body, self.conversation_key: [*said, *additions]}

    def attached(self, body: JsonObject, attachments: Sequence[Attachment]) -> JsonObject:  # noqa: ARG002
        """A body that was built with a text as its prompt, and attachments to that. Only where there is an `attach_key`."""
        raise AssertionError(f"{self.url} takes no attachments")

    def check_body(
        self, body: JsonObject, *, is_complete: bool = False
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(problems, warnings) of a body, whole (`is_complete`: nothing required may be missing) or partial.

        Each is a sentence or two without the place, which the caller knows. Not to be called where the job says `body_unchecked`.
        """
        problems, warnings = self._rules.check(body)
        problems += (*self.faults(body), *strict_faults(self.url, body))
        if is_complete:
            missing = [name for name in self.required if body.get(name) is None]
            problems += tuple(f"{name!r} is missing: {self.url} needs it." for name in missing)
        return problems, warnings + self.doubts(body)

    def faults(self, body: JsonObject) -> tuple[str, ...]:  # noqa: ARG002 (most endpoints have none)
        """Problems of parameters that are of the right kind, and still cannot work in a batch of this endpoint."""
        return ()

    def doubts(self, body: JsonObject) -> tuple[str, ...]:  # noqa: ARG002 (most endpoints have none)
        """Warnings about sound parameters that do not do in a batch what one may expect."""
        return ()

    def check_job(self, settings: JobSettings) -> tuple[str, ...]:
        """Problems of a job line that this endpoint cannot serve, besides those of `check_body`."""
        # What is made of labels is not told beside them.
        schema_of_labels = label_schema(settings.labels or ())
        problems = [
            f"{key!r} means nothing to {self.url}. {instead}"
            for key, instead in self.unused_keys.items()
            if getattr(settings, key) is not None
            and not (key == "schema" and settings.labels and settings.schema == schema_of_labels)
        ]
        try:
            interpreter(dataclasses.replace(settings, schema=judged_schema(settings)))
        except JobFileError as error:
            problems += [f"{problem.what}. {problem.fix}" for problem in error.problems]
        return (
            *problems,
            *self._idle_repair(settings),
            *self._idle_rounds(settings),
            *self._said_twice(settings),
            *self.conflicts(settings, settings.body),
        )

    def _idle_repair(self, settings: JobSettings) -> Iterator[str]:
        """What `repair` could never do here."""
        repair = settings.repair
        if repair is None:
            return
        if (repair.attempts or repair.model) and self.conversation_key is None:
            yield f"'repair' means nothing to {self.url}: nothing can be said to an answer there. Leave it out."
        elif (repair.attempts or repair.model) and not (
            settings.schema or settings.labels or self.structured_key in settings.body
        ):
            yield "'repair' has nothing to check answers by. Give 'schema' or 'labels', or leave it out."
        if repair.max_output_tokens is not None and not self.cap_keys:
            yield f"'repair.max_output_tokens' means nothing to {self.url}. Leave it out."

    def _idle_rounds(self, settings: JobSettings) -> Iterator[str]:
        """What `rounds` could never do here."""
        if settings.rounds is None:
            return
        if self.calling is None:
            yield f"'rounds' means nothing to {self.url}: its answers call no functions. Leave it out."
        elif settings.body.get("n") not in (None, 1):
            yield "'rounds' and 'body.n': several answers cannot go on as one conversation. Keep one."

    def conflicts(self, settings: JobSettings, body: JsonObject) -> tuple[str, ...]:
        """Problems of a `body`, the job's or an item's, that would undo what the job line says: all its answers are read alike."""
        if settings.attach and self.attach_key in body:
            return (f"'body.{self.attach_key}' would undo 'attach'. Give one of the two.",)
        return (*self._same_names(settings, body), *self._other_format(settings, body))

    def _same_names(self, settings: JobSettings, body: JsonObject) -> Iterator[str]:
        ours = {tool["name"] for tool in settings.tools}
        if ours and self.calling is not None:
            for name in sorted(ours.intersection(self.calling.declared(body))):
                yield f"'body.tools' declares {name!r}, and so does the file of tools. Rename one of the two."

    def _other_format(self, settings: JobSettings, body: JsonObject) -> tuple[str, ...]:
        key = self.structured_key
        if key is None or key not in body:
            return ()
        if not (settings.schema or settings.labels):
            asked, written = format_in(self.url, body), written_format(settings)
            if body is settings.body or written is None or asked in (None, written):
                return ()
            return (f"'body.{key}' asks for another format than the job line's 'body'.",)
        ours = self.shape(settings, prompt="", instructions=None)[key]
        theirs = body[key]
        if isinstance(theirs, dict) and not ours.keys() & theirs.keys():
            return ()
        source = "labels" if settings.labels else "schema"
        return (f"'body.{key}' would undo the job's {source!r}. Give one of the two.",)

    def asks(self, body: JsonObject) -> bool:
        """Whether a `body` of the user's own says what is asked, so that there need be no prompt."""
        return any(body.get(key) is not None for key in (self.prompt_key, *self.asking_keys))

    def _said_twice(self, settings: JobSettings) -> Iterator[str]:
        """What the job line's `body` says, and a key of its own too. An item's own `body` may replace either; this one contradicts."""
        for key, parameter in {"prompt": self.prompt_key, **self.carried_by}.items():
            if parameter in settings.body and getattr(settings, key) is not None:
                yield f"both {key!r} and 'body.{parameter}': each item would be asked two things at once. Give one of the two."

    def input_count(self, body: JsonObject) -> int:  # noqa: ARG002 (embeddings count)
        """How many embedding inputs the request counts for; 1 wherever that is not a thing."""
        return 1

    @cached_property
    def _rules(self) -> BodyRules:
        return BodyRules(url=self.url, table=parameters_of(self.url), synonyms=self.synonyms)
