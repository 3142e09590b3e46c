"""The verb ``cache``: what is kept on this machine, whether it is whole, what goes, what travels."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from pathlib import Path

from bench.base.errors import NothingAsked
from bench.cli import options
from bench.cli.options import Group, Verb, print_json, show
from bench.scores.printed import BLANK, size

HOLDS = {
    "clips": "decoded clips, for fine-tuning",
    "features": "features of clips, by encoder",
    "licences.json": "licences agreed to",
    "recordings": "what checking recordings found; no audio",
    "shared": "encoders handed to workers",
    "sounds": "fingerprints of recordings, for audits",
    "weights": "fetched weights and pinned digests",
}
_UNKNOWN = "unknown: no spec.json"
NO_RECORDINGS = "features alone travel; recordings never do"


def ls(arguments: argparse.Namespace) -> int:
    """Runs ``cache ls``."""
    from bench.base.paths import cache_root
    from bench.encoders.features.upkeep import inventory

    rows = [inventory.row(store) for store in inventory.stores()]
    parts = {"features": inventory.size(inventory.features()), **inventory.parts()}
    if arguments.json:
        print_json({"folder": str(cache_root()), "stores": rows, "parts": parts, "bytes": sum(parts.values())})
    else:
        show(listing_text(str(cache_root()), rows, parts))
    return 0


def listing_text(folder: str, rows: list[dict], parts: Mapping[str, int]) -> str:
    """The stores as a Markdown table, then every part of the cache with its size."""
    from bench.encoders.weights.code import named
    from bench.reports.tables import markdown

    header = ["encoder", "store", "weights", "clips as", "input", "layers: poolings", "recordings", "clips", "size"]
    cells = [
        [
            f"{named(row['encoder'], row['code'])} version {row['encoder_version']}" if row["encoder"] else _UNKNOWN,
            row["store"],
            (row["weights"] or BLANK)[:12],
            row["clip"] or BLANK,
            f"{row['rate'] / 1000:g} kHz, {row['dtype']}" if row["rate"] else BLANK,
            "; ".join(f"{layer}: {', '.join(poolings)}" for layer, poolings in row["layers"].items()) or BLANK,
            row["recordings"],
            row["clips"],
            size(row["bytes"]),
            datetime.date.fromtimestamp(row["last_use"]).isoformat(),
        ]
        for row in rows
    ]
    table = markdown([*header, "last use"], cells, right=(6, 7, 8)) if rows else "no features are kept"
    kept = [[name, HOLDS.get(name, ""), size(count)] for name, count in sorted(parts.items())]
    kept.append(["all", folder, size(sum(parts.values()))])
    return f"{table}\n\n{markdown(['part of the cache', 'holds', 'size'], kept, right=(2,))}"


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``cache verify`` takes."""
    parser.add_argument("--repair", action="store_true", help="remove what is damaged; the next run makes it again")
    options.json_output(parser)


def verify(arguments: argparse.Namespace) -> int:
    """``cache verify``: exit status 1 where something is damaged and has not been removed."""
    from bench.base.progress import terminal
    from bench.encoders.features.upkeep import verify

    found = verify.verify(terminal)
    removed = [damage for damage in found.damaged if arguments.repair and verify.repair(damage)]
    if arguments.json:
        print_json(
            {
                "stores": found.stores,
                "shards": found.shards,
                "damaged": [
                    {"path": str(damage.path), "problem": damage.problem, "removed": damage in removed}
                    for damage in found.damaged
                ],
                "nameless": list(map(str, found.nameless)),
                "leftovers": [{"path": str(each.path), "what": each.what} for each in found.leftovers],
            }
        )
    else:
        for damage in found.damaged:
            show(f"damaged: {damage.path}: {damage.problem}" + ("; removed" if damage in removed else ""))
        for path in found.nameless:
            show(f"nameless: {path}: no spec.json; a run that uses these features writes it")
        for leftover in found.leftovers:
            show(f"left over: {leftover.path}: {leftover.what}")
        counted = f"{found.stores} stores, {found.shards} shards"
        show(f"{counted}: " + (f"{len(found.damaged)} damaged" if found.damaged else "every digest holds"))
        if found.damaged and not arguments.repair:
            show("take out what is damaged: respbench cache verify --repair")
        if found.leftovers:
            show("remove what is left over: respbench cache prune --unfinished")
    return 1 if len(removed) < len(found.damaged) else 0


def prune_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``cache prune`` takes."""
    parser.add_argument("--encoder", nargs="+", default=(), metavar="ID", help="features of these encoders")
    parser.add_argument("--older-than", type=days, metavar="DAYS", help="features not used for so many days")
    parser.add_argument("--unfinished", action="store_true", help="what killed processes left behind")
    parser.add_argument("--yes", action="store_true", help="remove it; without this it is only said")
    options.json_output(parser)


def days(text: str) -> float:
    """A number of days. Raises ``ValueError``."""
    days = float(text)
    if not 0 <= days < float("inf"):
        raise ValueError(text)
    return days


def prune(arguments: argparse.Namespace) -> int:
    """Runs ``cache prune``."""
    from bench.encoders.features.upkeep import prune

    chosen = prune.candidates(arguments.encoder, arguments.older_than, arguments.unfinished)
    rows = []
    for each in chosen:
        stays = each.stays
        if arguments.yes and not stays and not prune.remove(each):
            stays = "a process is encoding into it"
        rows.append({"path": str(each.item.path), "what": each.label, "bytes": each.bytes, "stays": stays})
    freed = sum(row["bytes"] for row in rows if not row["stays"])
    if arguments.json:
        print_json({"removed": arguments.yes, "bytes": freed, "items": rows})
        return 0
    verb = "removed" if arguments.yes else "would remove"
    for row in rows:
        said = f"left alone: {row['stays']}" if row["stays"] else f"{verb} {size(row['bytes'])}"
        show(f"{row['path']}: {row['what']}: {said}")
    going = sum(not row["stays"] for row in rows)
    done = f"{size(freed)} freed" if arguments.yes else f"{size(freed)} to be freed; nothing was removed, --yes does it"
    show(f"{going} of {len(rows)}: {done}" if rows else "there is nothing to remove")
    return 0


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``cache export`` takes."""
    parser.add_argument("file", type=Path, metavar="FILE.tar")
    parser.add_argument("--encoder", nargs="+", default=(), metavar="ID", help="of these encoders; default: all")
    options.json_output(parser)


def export(arguments: argparse.Namespace) -> int:
    """Runs ``cache export``."""
    from bench.base.progress import terminal
    from bench.encoders.features.upkeep.export import export

    if arguments.file.is_dir():
        raise NothingAsked(f"{arguments.file} is a folder; give the name of the file to write")
    done = export(arguments.file, arguments.encoder, terminal)
    if arguments.json:
        print_json({"file": str(arguments.file), **done})
    else:
        show(f"{done['stores']} stores, {done['shards']} shards, {size(done['bytes'])}; {NO_RECORDINGS}")
        show(arguments.file)
    return 0


def import_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``cache import`` takes."""
    parser.add_argument("file", type=Path, metavar="FILE.tar")
    options.json_output(parser)


def import_file(arguments: argparse.Namespace) -> int:
    """Runs ``cache import``."""
    from bench.base.progress import terminal
    from bench.encoders.features.upkeep.importing import import_archive

    done = import_archive(arguments.file, terminal)
    if arguments.json:
        print_json(done)
    else:
        shards = f"{done['landed']} shards taken in ({size(done['bytes'])}), {done['kept']} were there already"
        show(f"{done['stores']} stores of {', '.join(done['encoders']) or 'nothing'}: {shards}")
    return 0


CACHE = Group(
    "cache",
    "what is kept on this machine: list it, verify it, remove it, take features to another machine",
    (
        Verb("ls", "list features by encoder, and every part of the cache with its size", options.json_output, ls),
        Verb("verify", "hold every file of features against its SHA-256", verify_arguments, verify),
        Verb(
            "prune", "remove features, or what killed processes left; without --yes only say so", prune_arguments, prune
        ),
        Verb("export", f"pack features into a file; {NO_RECORDINGS}", export_arguments, export),
        Verb("import", "take in features that export packed, verified one by one", import_arguments, import_file),
    ),
)
