"""Shows what `make demo` made: reads the output files as any program of yours would. Usage: show.py FOLDER_OF_OUTPUTS"""

import csv
import json
import sys
import textwrap
from pathlib import Path

WIDTH = 78
LABELS_SHOWN = 6
SUMMARIES_SHOWN = 2


def main() -> None:
    """Print labels beside their gold column, two summaries, and where everything is."""
    outputs = Path(sys.argv[1])
    reviews, digest = outputs / "reviews@local", outputs / "digest@local"
    show_labels(reviews / "results.csv")
    show_summaries(digest / "results.jsonl")
    print(
        f"\nEverything is in {outputs}/ (results.jsonl, results.csv, report.md, one .md per summary).\n"
        "A 135M model is for demonstration: about half of its summaries contain an error.\n"
        "\nNext:  .venv/bin/batchrun status --home .demo/.batchrun\n"
        "       .venv/bin/batchrun failures --home .demo/.batchrun\n"
        "       the same jobs for real, at half price:  export OPENAI_API_KEY=...\n"
        "       .venv/bin/batchrun run jobs/reviews.jsonl"
    )


def show_labels(path: Path) -> None:
    """Compare column `output` with column `gold`, which the model never saw."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "succeeded"]
    print(f"\nreviews: label, and what a person said\n{'-' * WIDTH}")
    for row in rows[:: max(1, len(rows) // LABELS_SHOWN)][:LABELS_SHOWN]:
        mark = " " if row["output"] == row["gold"] else "x"
        text = textwrap.shorten(row["text"], WIDTH - 32, placeholder=" ...")
        print(f"{mark} {row['id']:5}{row['output']:10} {row['gold']:10}  {text}")
    right = sum(row["output"] == row["gold"] for row in rows)
    print(f"... {right} of {len(rows)} labels agree with the person ({right / len(rows):.0%})")


def show_summaries(path: Path) -> None:
    """The first summaries as they came back."""
    print(f"\ndigest: one sentence for an article\n{'-' * WIDTH}")
    with path.open(encoding="utf-8") as file:
        answered = [line for line in map(json.loads, file) if line["status"] == "succeeded"]
    for line in answered[:SUMMARIES_SHOWN]:
        print(f"{line['id']}:")
        print(textwrap.indent(textwrap.fill(line["output"].strip(), WIDTH - 4), "    "))


if __name__ == "__main__":
    main()
