"""Makes samples/shop.db, a small shop's database with a table of reviews, for jobs/shop.jsonl. Usage: shop.py [FILE]"""

import csv
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

SAMPLES = Path(__file__).parent


def main() -> None:
    """A table `reviews` of the rows of reviews.csv, with an empty column `mood`; one that is there gets the rows that it lacks."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES / "shop.db"
    with (SAMPLES / "reviews.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["id"], row["product"], row["text"]) for row in csv.DictReader(file)]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "create table if not exists reviews (id text primary key, product text not null, text text not null, mood text, state text)"
        )
        database.executemany(
            "insert or ignore into reviews (id, product, text) values (?, ?, ?)", rows
        )
    print(f"{path}: a table of {len(rows)} reviews. Next: batchrun run jobs/shop.jsonl")


if __name__ == "__main__":
    main()
