"""Amounts of money and limits, as JSON and in a line."""

from batchrun.clock import rfc3339
from batchrun.ledger.standings import LimitStanding, Notice
from batchrun.money.amounts import DOLLAR, dollars


def usd(amount: int) -> str:
    """An amount in dollars, to its last digit: `0.0075`."""
    whole, rest = divmod(abs(amount), DOLLAR)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}.{rest:012d}".rstrip("0").rstrip(".")


def amount_json(amount: int) -> dict[str, object]:
    """An amount as in every document: exact, and in dollars."""
    return {"picodollars": amount, "usd": usd(amount)}


def limit_json(found: LimitStanding) -> dict[str, object]:
    """LIMIT of the documents: a limit, and how it stands."""
    limit, stands = found.limit, found.standing
    return {
        "scope": str(limit.scope),
        "name": limit.name,
        "period": str(limit.period),
        "hard": limit.is_hard,
        "amount": amount_json(limit.amount),
        "percent": found.percent,
        "spent": amount_json(stands.spent),
        "presumed": amount_json(stands.presumed),
        "reserved": amount_json(stands.reserved),
        "set_aside": amount_json(stands.aside),
        "left": amount_json(found.left),
        "ends_at": None if found.ends_at is None else rfc3339(found.ends_at),
        "notices": list(found.notices),
    }


def notice_json(notice: Notice) -> dict[str, object]:
    """A share of a limit that was reached."""
    limit = notice.limit
    return {
        "scope": str(limit.scope),
        "name": limit.name,
        "period": str(limit.period),
        "hard": limit.is_hard,
        "amount": amount_json(limit.amount),
        "percent": notice.percent,
        "spent": amount_json(notice.spent),
        "at": rfc3339(notice.at),
    }


def limit_line(found: LimitStanding) -> str:
    """`$4.70 of $5.00 a month: $0.30 left ($0.10 reserved, $0.05 presumed spent); over 90 %`."""
    stands = found.standing
    parts = [
        f"{dollars(amount)} {what}"
        for amount, what in (
            (stands.reserved, "reserved"),
            (stands.aside, "set aside"),
            (stands.presumed, "presumed spent"),
        )
        if amount
    ]
    inside = f" ({', '.join(parts)})" if parts else ""
    reached = f"; over {found.notices[-1]} % is spent" if found.notices else ""
    return f"{dollars(stands.taken)} of {found.limit.words}: {found.left_words}{inside}{reached}"
