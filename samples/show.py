"""Shows what `make demo` made: reads the output files as any program of yours would. Usage: show.py FOLDER_OF_OUTPUTS"""

import csv
import json
import sys
import textwrap
from pathlib import Path

WIDTH = 78
LABELS_SHOWN = 7  # of 36: every fifth
SUMMARIES_SHOWN = 2


def main() -> None:
    """Print labels beside their gold column, two summaries, and where everything is."""
    outputs = Path(sys.argv[1])
    show_labels(outputs / "reviews@local" / "results.csv")
    show_summaries(outputs / "digest@local" / "results.jsonl")
    home = outputs.parent / ".batchrun"
    print(
        f"""
All of it is in {outputs}/: results.jsonl, results.csv, report.md, and a file for
each summary. The model is for demonstration; a real one is not so often wrong.

Next, look around:    .venv/bin/batchrun status --home {home}
                      .venv/bin/batchrun explain reviews r01 --home {home}
or do it for real:    export OPENAI_API_KEY=...
                      .venv/bin/batchrun run jobs/reviews.jsonl"""
    )


def show_labels(path: Path) -> None:
    """Compare column `output` with column `gold`, which the model never saw."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "succeeded"]
    print(f"\nreviews: the model's label, what a person said, the review\n{'-' * WIDTH}")
    for row in rows[:: max(1, len(rows) // LABELS_SHOWN)]:
        mark = "  " if row["output"] == row["gold"] else "x "
        text = textwrap.shorten(row["text"], WIDTH - 29, placeholder=" ...")
        print(f"{mark}{row['id']:5}{row['output']:10} {row['gold']:10} {text}")
    right = sum(row["output"] == row["gold"] for row in rows)
    print(f"Of all {len(rows)} labels {right} are as the person said.")


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
