"""docs/endpoints.md says of every endpoint what the code does, and every endpoint has a golden result of each of its kinds of answers."""

from endpointpage import GOLDEN, PAGE, page, table
from exchanges import EXCHANGES

from batchrun.endpoints import ENDPOINTS


def test_the_table_of_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_endpoint_has_a_row_and_golden_results() -> None:
    assert EXCHANGES.keys() == ENDPOINTS.keys()
    written = {path.stem for path in GOLDEN.glob("*.jsonl")}
    assert written >= {url.strip("/").replace("/", "-") for url in ENDPOINTS}
    rows = table().splitlines()[2:]
    assert [row.split("**")[1].strip("`") for row in rows] == list(ENDPOINTS)
