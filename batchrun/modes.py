"""How a profile asks, as far as that changes what it costs."""

from batchrun.model import JsonObject
from batchrun.money.price import Mode
from batchrun.profiles import BackendKind, Profile


def mode_of(profile: Profile, body: JsonObject) -> Mode | None:
    """The mode whose price requests pay that are sent with a profile, by the parameters of their job; None where they cost nothing."""
    match profile.kind:
        case BackendKind.LOCAL:
            return None
        case BackendKind.OPENAI:
            return Mode.BATCH
        case BackendKind.DIRECT:
            tier = body.get("service_tier")
            return Mode(tier) if tier in {Mode.FLEX, Mode.PRIORITY} else Mode.LIVE
