import hashlib
import json

import pandas as pd
import pytest

import bench
from bench.base import registry
from bench.cli.main import main
from bench.publish.sharing.croissant import CONTEXT, croissant


def ids(value):
    """Every ``@id`` that is declared, and every one that is referred to."""
    declared, referred = set(), set()
    if isinstance(value, dict):
        if "@id" in value:
            (declared if "@type" in value else referred).add(value["@id"])
        inner = [each for name, each in value.items() if name != "@context"]
    else:
        inner = value if isinstance(value, list) else []
    for each in inner:
        more = ids(each)
        declared |= more[0]
        referred |= more[1]
    return declared, referred


def test_a_task_at_hand_names_its_clips(simulated, tmp_path, capsys):
    command = ["export", "icbhi.cycles4", "--format", "croissant", "--root", str(simulated), "--out", str(tmp_path)]
    assert main(command) == 0
    body = json.loads((tmp_path / "icbhi.cycles4.croissant.json").read_text())
    table = tmp_path / "icbhi.cycles4.clips.csv"
    (file,) = [each for each in body["distribution"] if each["@id"] == table.name]
    assert file["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
    manifest = bench.load_task("icbhi.cycles4", simulated).manifest
    clips = pd.read_csv(table)
    assert list(clips["clip_id"]) == list(manifest["clip_id"]) and not any(c.startswith("meta_") for c in clips)
    sets = {each["@id"]: each for each in body["recordSet"]}
    assert [field["source"]["extract"]["column"] for field in sets["clips"]["field"]] == list(clips)
    assert sets["classes"]["data"][1] == {"classes/index": 1, "classes/name": "crackle"}
    declared, referred = ids(body)
    assert referred <= declared
    assert body["creator"]["name"] == "Rocha et al." and body["datePublished"] == "2019-01-01"


@pytest.mark.parametrize("card", registry.cards(registry.TASKS), ids=lambda card: card.id)
def test_every_task_has_metadata_without_its_data(card):
    body = croissant(card)
    assert body["@context"] is CONTEXT and body["conformsTo"].endswith("1.0")
    for name in ("name", "description", "license", "url", "version"):
        assert body[name]
    for file in body.get("distribution", ()):
        assert "sha256" in file or "md5" in file
    assert [each["@id"] for each in body["recordSet"]] == ["classes"]
    declared, referred = ids(body)
    assert referred <= declared
    json.dumps(body)


def test_an_unknown_task_writes_nothing(simulated, tmp_path, capsys):
    command = ["export", "icbhi.cycles4", "icbhi.cycles9", "--format", "croissant", "--root", str(simulated)]
    assert main([*command, "--out", str(tmp_path / "x")]) == 2
    assert "icbhi.cycles9" in capsys.readouterr().err and not (tmp_path / "x").exists()
