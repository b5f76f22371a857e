"""Videos as the API tells of them in a batch: made, or failed. Pure; there is no film behind them."""

from typing import Final

from batchrun.model import JsonObject
from batchrun.service.checks import one_of
from batchrun.service.images import check_reference

LIFE_S: Final = 86_400  # of a video that can be fetched. Source: OpenAI's Batch guide
_SECONDS: Final = ("4", "8", "12")
_SIZES: Final = ("720x1280", "1280x720", "1024x1792", "1792x1024")


def check_video(body: JsonObject) -> None:
    """Raise ServiceError 400 for what the API would refuse of a video request, prompt and model aside."""
    for name, supported in (("seconds", _SECONDS), ("size", _SIZES)):
        if body.get(name) is not None:
            one_of(body, name, supported)
    if body.get("input_reference") is not None:
        check_reference("input_reference", body["input_reference"])


def video_body(
    request: JsonObject, *, ident: str, created_at: int, failure: str | None = None
) -> JsonObject:
    """A whole `video` object; `failure` is the message of one that failed."""
    is_made = failure is None
    return {
        "id": f"video_{ident}",
        "object": "video",
        "created_at": created_at,
        "completed_at": created_at if is_made else None,
        "expires_at": created_at + LIFE_S if is_made else None,
        "error": None if is_made else {"code": "server_error", "message": failure},
        "model": request["model"],
        "progress": 100 if is_made else 0,
        "prompt": request["prompt"],
        "remixed_from_video_id": None,
        "seconds": request.get("seconds") or _SECONDS[0],
        "size": request.get("size") or _SIZES[0],
        "status": "completed" if is_made else "failed",
    }
