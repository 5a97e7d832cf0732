"""The commands of card fraud: train a model, score a file of transactions, write simulated ones. No language model."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli_admin import EXIT_FAILED, Tenant
from service.cli_parts import open_parts, print_card, put_in_force, require_file
from service.progress import show_progress
from verticals.contract import InvalidInput

SHOWN_ERRORS = 20
fraud_app = typer.Typer()


@fraud_app.command("train-fraud")
def train_fraud_model(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder of .parquet or .csv files: at, customer, terminal, amount, fraud (or the handbook's names).",
        ),
    ],
    false_positives: Annotated[
        float, typer.Option(help="Share of genuine transactions that people may look at for nothing.")
    ] = 0.01,
    simulated: Annotated[bool, typer.Option(help="The transactions are simulated, and answers say so.")] = False,
) -> None:
    """Train the fraud model on card transactions, measure it on the last days, and bring it into force."""
    from verticals.finance.fraud.files import read_folder, to_transactions
    from verticals.finance.fraud.model import FRAUD
    from verticals.finance.fraud.training import train_fraud

    if not 0 < false_positives < 1:
        raise InvalidInput("must be above 0 and below 1", field="--false-positives", value=false_positives)
    with show_progress() as on_progress:
        on_progress("Reading", 0.0)
        table = read_folder(folder)
        told = f"Read from files of {len(table):,} transactions."
        files, card = train_fraud(
            to_transactions(table),
            on_progress,
            trained_on=f"SIMULATED. {told}" if simulated else told,
            synthetic=simulated,
            false_positives=false_positives,
        )
    made = put_in_force(FRAUD, files, card)
    print_card(made, digits=4)
    print("A server that runs takes it within a second.")


@fraud_app.command("cards")
def score_card_file(
    file: Annotated[
        Path, typer.Argument(help="CSV: transaction_id, at, customer, terminal, amount; with --history also fraud.")
    ],
    history: Annotated[bool, typer.Option(help="Keep them as history; score nothing.")] = False,
    tenant: Tenant = "demo",
) -> None:
    """Score a file of card transactions, a thousand at a time; exit 1 if a row was refused. Send it again at will."""
    from verticals.finance.fraud import card_schemas as s
    from verticals.finance.fraud.cards import CardDesk

    require_file(file)
    counts: Counter[str] = Counter()
    with open_parts() as parts:
        desk, context = CardDesk(parts.sessions, parts.registry), parts.context(tenant)
        for start, rows in _chunks(file, s.MAX_ROWS, labels=history):
            if history:
                kept = desk.keep(s.KeepCardsRequest(transactions=rows), context)
                counts.update({"kept": kept.kept, "known": kept.known})
                errors = kept.errors
            else:
                found = desk.score(s.ScoreCardsRequest(transactions=rows), context)
                counts.update("known" if item.known else "scored" for item in found.items)
                counts["flagged"] += sum(item.flagged for item in found.items)
                errors = found.errors
            for error in errors[: max(0, SHOWN_ERRORS - counts["refused"])]:
                print(f"row {start + error.row + 1}: {error.field}: {error.rule}. {error.remedy}")
            counts["refused"] += len(errors)
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    if counts["refused"]:
        raise typer.Exit(EXIT_FAILED)


@fraud_app.command("simulate-cards")
def write_simulated_cards(
    out: Annotated[Path, typer.Argument(help="CSV to write: the day after the demo's history, for `cards`.")],
) -> None:
    """Write simulated card transactions (SYNTHETIC) to try `cards` with."""
    from datetime import UTC, datetime

    from verticals.finance.fraud.demo import demo_days

    _, today = demo_days()
    with out.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(["transaction_id", "at", "customer", "terminal", "amount"])
        for row in today.to_dict("records"):
            at = datetime.fromtimestamp(row["at_s"], UTC).isoformat()
            amount = f"{row['amount_cents'] / 100:.2f}"
            writer.writerow([row["transaction_id"], at, row["customer"], row["terminal"], amount])
    print(f"{out}: {len(today)} simulated transactions")


def _chunks(file: Path, size: int, *, labels: bool) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """(number of rows before, rows) of a CSV; an empty label is none."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as source:
            rows, start = csv.DictReader(source, strict=True), 0
            while part := list(islice(rows, size)):
                if labels:
                    part = [{**row, "fraud": row.get("fraud") or None} for row in part]
                yield start, [{str(name): value for name, value in row.items()} for row in part]
                start += len(part)
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "must be UTF-8", field="FILE", value=f"byte {error.start}", remedy="Save it as CSV (UTF-8)."
        ) from None
    except csv.Error as error:
        raise InvalidInput(f"is not valid CSV: {error}", field="FILE") from None
