"""A create that went wrong: without a typed refusal nobody knows whether there is a batch."""

import misbehaving
import pytest
from callkit import LOST, UNREADABLE, create
from misbehaving import Server, answer, page, refusal

from batchrun.backends.base import Traits
from batchrun.backends.credentials import KeySource
from batchrun.backends.openai import OpenAIBackend
from batchrun.errors import Ambiguous, AuthError, BackendError, NotFound, Refused, Transient
from batchrun.profiles import Profile
from batchrun.testing import ManualClock


@pytest.mark.parametrize("fault", [*LOST, *UNREADABLE])
@pytest.mark.fault(4, 11, 13, 19)
def test_a_create_without_a_readable_answer_is_ambiguous(
    backend: OpenAIBackend, server: Server, fault: str
) -> None:
    server.then((LOST | UNREADABLE)[fault])
    with pytest.raises(Ambiguous, match="not known"):
        create(backend)
    assert len(server.seen) == 1  # and nobody sent it twice


@pytest.mark.parametrize(
    "status", [301, 302, 307, 308, 402, 405, 408, 409, 418, 425, 499, 500, 502, 503, 504, 520, 524]
)
@pytest.mark.fault(4, 5, 11)
def test_a_create_with_any_other_status_is_ambiguous_even_if_typed(
    backend: OpenAIBackend, server: Server, status: int
) -> None:
    server.then(refusal(status, location=f"{server.base_url}/elsewhere"))
    with pytest.raises(Ambiguous) as caught:
        create(backend)
    assert caught.value.status == status
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429])
@pytest.mark.fault(19)
def test_a_create_that_a_proxy_refuses_with_a_page_is_ambiguous(
    backend: OpenAIBackend, server: Server, status: int
) -> None:
    server.then(page(status))
    with pytest.raises(Ambiguous):
        create(backend)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, AuthError),
        (403, AuthError),
        (404, NotFound),
        (413, Refused),
        (422, Refused),
        (429, Transient),
    ],
)
def test_a_typed_refusal_of_a_create_means_that_there_is_no_batch(
    backend: OpenAIBackend, server: Server, status: int, kind: type[BackendError]
) -> None:
    server.then(refusal(status, "some_code", x_request_id="req_7"))
    with pytest.raises(BackendError) as caught:
        create(backend)
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code) == (status, "some_code")
    assert caught.value.request_id == "req_7"


def test_where_refusals_are_not_final_even_a_typed_one_leaves_a_create_open(
    server: Server, clock: ManualClock, key: KeySource
) -> None:
    profile = Profile(
        name="x", base_url=server.base_url, key=key, traits=Traits(refusals_final=False)
    )
    backend = OpenAIBackend(profile, clock=clock)
    server.then(refusal(400))
    with pytest.raises(Ambiguous):
        create(backend)
    backend.close()


def test_a_create_that_is_answered_with_another_file_is_ambiguous(
    backend: OpenAIBackend, server: Server
) -> None:
    server.then(answer(misbehaving.batch(input_file_id="file-other")))
    with pytest.raises(Ambiguous, match="file-other"):
        create(backend)


@pytest.mark.parametrize(
    "body",
    [{}, {"error": None}, {"error": {}}, {"error": ""}, {"message": "gateway"}, [], "x", None],
)
def test_json_that_is_no_error_proves_nothing_about_a_create(
    backend: OpenAIBackend, server: Server, body: object
) -> None:
    server.then(answer(body, 400))
    with pytest.raises(Ambiguous):
        create(backend)
