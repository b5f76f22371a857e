"""`batchrun spend`: what was spent, by whom, and what limits leave."""

from pathlib import Path

import click

from batchrun.cli.invocation import Invocation
from batchrun.cli.options import shared
from batchrun.cli.printing import put, put_bytes, put_json

_BY = ("day", "month", "job", "model", "profile", "tag", "account")


@click.command(short_help="Show what was spent, and what limits leave.")
@click.option(
    "--by",
    type=click.Choice(_BY),
    default="day",
    show_default=True,
    help="What the rows are.",
)
@click.option(
    "--month",
    metavar="2026-11",
    help="This month (default: the current one; by month, the last twelve).",
)
@click.option("--since", metavar="DAY", help="From this day on, or the first of a month (UTC).")
@click.option("--until", metavar="DAY", help="To this day, or the last of a month; it counts too.")
@click.option("--csv", "is_csv", is_flag=True, help="Print the rows as CSV.")
@click.option(
    "--html", metavar="FILE", help="Write one page with charts to this file, to be sent or printed."
)
@shared("home", "json", "yes")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    by: str,
    month: str | None,
    since: str | None,
    until: str | None,
    is_csv: bool,
    html: str | None,
    home: str | None,
    yes: bool,
) -> int:
    """Show what was spent: requests, tokens and cost, what batches saved, and how every limit stands.

    Days and months are those of UTC; a batch counts on the day of its end. Looks at the ledger only. A file that exists is only
    replaced with --yes.
    """
    from batchrun.cli.opening import open_batchrun
    from batchrun.cli.spendfigures import spending_csv, spending_json
    from batchrun.cli.spending import spending_text, terminal
    from batchrun.errors import UsageError
    from batchrun.spending.report import By

    if sum((invocation.is_json, is_csv, html is not None)) > 1:
        raise UsageError("--json, --csv and --html say the same in three ways. Choose one.")
    found = open_batchrun(invocation, home).spend(
        by_month=by == By.MONTH, month=month, since=since, until=until
    )
    if invocation.is_json:
        put_json(spending_json(found, By(by)))
    elif is_csv:
        put_bytes(spending_csv(found, By(by)))
    elif html is None:
        put(spending_text(found, By(by), terminal()))
    else:
        from batchrun.spending.page import page

        _write(Path(html), page(found, By(by)), replaces=yes)
        put(f"Wrote {html}.")
    return 0


def _write(path: Path, text: str, *, replaces: bool) -> None:
    from batchrun.errors import UsageError

    try:
        with path.open("w" if replaces else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path}: exists already. --yes replaces it.") from None
    except OSError as exc:
        raise UsageError(f"{path}: cannot be written: {exc.strerror}.") from exc
