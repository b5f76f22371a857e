"""Answers with a real small model on this machine: text, JSON to a schema, labels, calls of functions, embeddings. No key, no network.

The model runs in processes of its own (`service/llama/`), each started by the first request that needs it. Answers are greedy unless a
request sets a temperature, and do not depend on what was asked before: requests share nothing but the priors of their labels.
"""

import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from batchrun.clock import Clock, SystemClock
from batchrun.model import JsonObject, Usage
from batchrun.service import bodies
from batchrun.service.bodies import COMPLETIONS, RESPONSES, Call, Finish, Message
from batchrun.service.llama import requests
from batchrun.service.llama.calls import Rules, call_in, rules_of, shown, unusable_parameters
from batchrun.service.llama.discovery import find_model
from batchrun.service.llama.engine import (
    Engine,
    EngineDied,
    EngineRefused,
    EngineSettings,
    model_closed,
)
from batchrun.service.llama.labeller import Labeller
from batchrun.service.llama.labels import LabelQuestion, label_question
from batchrun.service.llama.supported import check_supported, check_tools, unanswered
from batchrun.service.refusals import error_body
from batchrun.service.responders.base import Reply, Responder
from batchrun.service.tools import offer_of

__all__ = ["CONTEXT_TOKENS", "EMBEDDING_TOKENS", "LlamaResponder", "find_model"]

CONTEXT_TOKENS = 4096  # prompt and answer together
EMBEDDING_TOKENS = (
    2048  # of one text: it is read in one piece, which needs memory by the square of it
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What the model made of a conversation: text or a call."""

    text: str
    finish: Finish
    usage: Usage
    calls: tuple[Call, ...] = ()


class LlamaResponder(Responder):
    """`Responder` over one GGUF: `model_file`, or that of the installed weights package.

    Making one costs nothing and checks nothing; the first request raises BackendError where something is missing (`find_model` says
    so beforehand). Whatever model a request names, this one answers, and the answer bears its name.
    """

    def __init__(
        self,
        model_file: Path | None = None,
        *,
        clock: Clock | None = None,
        context_tokens: int = CONTEXT_TOKENS,
    ) -> None:
        self._model_file = model_file
        self._clock = clock or SystemClock()
        self._context_tokens = context_tokens
        self._lock = threading.Lock()
        self._engines: list[Engine] = []
        self._is_closed = False
        self._known_schemas: set[str] = set()

    @cached_property
    def model_path(self) -> Path:
        """The GGUF that answers. Raises BackendError naming what is missing."""
        return find_model(self._model_file)

    @property
    def process_ids(self) -> list[int]:
        """The model processes that live now."""
        return [pid for engine in self._engines if (pid := engine.process_id) is not None]

    def models(self) -> list[str]:
        """The one model, by the name that its answers bear."""
        return [self.model_path.stem]

    def respond(self, url: str, body: JsonObject, *, custom_id: str | None) -> Reply:  # noqa: ARG002
        """Answer one request.

        What the model cannot do raises ServiceError 4xx. A model process that dies meanwhile gives a Reply of 500, and the next request
        starts another. Raises BackendError where no process can be had.
        """
        try:
            match url:
                case bodies.RESPONSES | bodies.CHAT:
                    answer = self._answer(url, body)
                case bodies.COMPLETIONS:
                    answer = self._complete(body)
                case bodies.EMBEDDINGS:
                    answer = self._embed(body)
                case _:
                    raise unanswered(url)
        except EngineDied as death:
            message = f"The local model's process ended during this request: {death}."
            error = error_body(message, type="server_error", code="local_model_died")
            return Reply(status_code=500, body=error)
        except EngineRefused as refused:
            raise requests.refusal_of(url, refused) from refused
        return Reply(status_code=200, body=answer)

    def close(self) -> None:
        """End the model processes. Idempotent."""
        with self._lock:
            self._is_closed = True
        for engine in self._engines:
            engine.close()

    @cached_property
    def _writer(self) -> Engine:
        return self._engine(context_tokens=self._context_tokens)

    @cached_property
    def _embedder(self) -> Engine:
        # A process of its own: a server set up to embed reads every prompt in one piece, at three times the memory.
        return self._engine(
            context_tokens=min(self._context_tokens, EMBEDDING_TOKENS), embedding=True
        )

    @cached_property
    def _labeller(self) -> Labeller:
        return Labeller(self._writer)

    def _engine(self, *, context_tokens: int, embedding: bool = False) -> Engine:
        settings = EngineSettings(
            model_file=self.model_path, context_tokens=context_tokens, embedding=embedding
        )
        with self._lock:
            if self._is_closed:
                raise model_closed()
            engine = Engine(settings)
            self._engines.append(engine)
            return engine

    def _answer(self, url: str, body: JsonObject) -> JsonObject:
        offer = offer_of(url, body)
        check_supported(url, body)
        check_tools(offer)
        messages = requests.messages_of(url, body)
        rules = rules_of(
            offer,
            messages,
            bodies.schema_of(url, body),
            calls_if_it_may=self._model_file is None,
        )
        question = None if rules.schema is None else label_question(rules.schema)
        if question is not None and not rules.functions:
            answer = self._label(messages, question)
        else:
            answer = self._write(url, body, messages, rules)
        more: JsonObject = {"request": body} if url == RESPONSES else {}
        build = bodies.responses_body if url == RESPONSES else bodies.chat_body
        return build(
            self.model_path.stem,
            answer.text,
            usage=answer.usage,
            created_at=self._clock.now(),
            ident=secrets.token_hex(16),
            finish=answer.finish,
            calls=answer.calls,
            **more,
        )

    def _write(
        self, url: str, body: JsonObject, messages: Sequence[Message], rules: Rules
    ) -> _Written:
        for param, schema in rules.schemas.items():
            self._check_schema(messages, schema, param)
        request = requests.chat_request(url, body, messages, rules)
        answer = self._writer.post("/v1/chat/completions", request)
        choice, used = answer["choices"][0], answer["usage"]
        text = choice["message"].get("content") or ""
        finish = Finish.LENGTH if choice["finish_reason"] == "length" else Finish.STOP
        is_whole = finish is Finish.STOP
        usage = Usage(input_tokens=used["prompt_tokens"], output_tokens=used["completion_tokens"])
        call = call_in(text, is_whole=is_whole) if rules.functions else None
        if call is not None:
            return _Written(text="", finish=finish, usage=usage, calls=(call,))
        if rules.must_call:
            if is_whole:
                raise unusable_parameters(rules.functions[0].param, "its answer was no call")
            text = ""  # cut before the name of the function was said
        elif rules.schema is not None:
            requests.check_is_json(text, is_whole=is_whole)
        return _Written(text=text, finish=finish, usage=usage)

    def _check_schema(
        self, messages: Sequence[Message], schema: JsonObject, param: str | None
    ) -> None:
        """Raise ServiceError 400 for a schema that the engine cannot read; asked once for each schema."""
        key = json.dumps(schema, sort_keys=True)
        if key in self._known_schemas:
            return
        try:
            self._writer.post("/apply-template", requests.schema_check_request(messages, schema))
        except EngineRefused as refused:
            why = refused.message.rstrip(".")
            raise (
                requests.unusable_schema(why) if param is None else unusable_parameters(param, why)
            ) from refused
        self._known_schemas.add(key)

    def _label(self, messages: Sequence[Message], question: LabelQuestion) -> _Written:
        choice = self._labeller.choose(shown(messages), question)
        text = json.dumps({question.key: choice.label}, ensure_ascii=False)
        usage = Usage(input_tokens=choice.prompt_tokens, output_tokens=self._labeller.count(text))
        return _Written(text=text, finish=Finish.STOP, usage=usage)

    def _complete(self, body: JsonObject) -> JsonObject:
        check_supported(COMPLETIONS, body)
        answer = self._writer.post("/completion", requests.completion_request(body))
        return bodies.completions_body(
            self.model_path.stem,
            answer["content"],
            usage=Usage(
                input_tokens=answer["tokens_evaluated"], output_tokens=answer["tokens_predicted"]
            ),
            created_at=self._clock.now(),
            ident=secrets.token_hex(16),
            finish=Finish.LENGTH if answer["stop_type"] == "limit" else Finish.STOP,
        )

    def _embed(self, body: JsonObject) -> JsonObject:
        request = requests.embedding_request(body)
        answer = self._embedder.post("/v1/embeddings", request)
        return bodies.embeddings_body(
            self.model_path.stem,
            requests.vectors_of(answer, body),
            prompt_tokens=answer["usage"]["prompt_tokens"],
            encoding_format=str(body.get("encoding_format", "float")),
        )
